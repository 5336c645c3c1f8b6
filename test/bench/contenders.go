package main

import (
	"fmt"
	"slices"
	"strings"
)

// The names of the contenders.
const (
	oursRun   = "ours, Run"
	oursStart = "ours, LoopStart"
	oursMqtt  = "ours, mqtt"
	oursRelay = "ours, mqtt, WithDialer"
	oursPaho  = "ours, paho facade"
	cForever  = "C, loop_forever"
	cStart    = "C, loop_start"
	pahoV3    = "paho.mqtt.golang"
	pahoV5    = "paho.golang"
	atWat     = "at-wat/mqtt-go"
)

// contender is a client that is measured.
type contender struct {
	short string // for -contender
	name  string
	class string // colour in the chart: ours, c or go
	new   func() Client
}

var contenders = []contender{
	{"run", oursRun, "ours", func() Client { return &ours{} }},
	{"start", oursStart, "ours", func() Client { return &ours{thread: true} }},
	{"mqtt", oursMqtt, "ours", func() Client { return &mqttClient{} }},
	{"dialer", oursRelay, "ours", func() Client { return &mqttClient{relay: true} }},
	{"facade", oursPaho, "ours", func() Client { return &facade{} }},
	{"cforever", cForever, "c", nil}, // nil: it runs in the worker in C
	{"c", cStart, "c", nil},
	{"paho", pahoV3, "go", func() Client { return &paho{} }},
	{"paho5", pahoV5, "go", func() Client { return &pahoFive{} }},
	{"atwat", atWat, "go", func() Client { return &atWatClient{} }},
}

// find returns the contender with a name. All names in the tables of works exist.
func find(name string) contender {
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
	if i < 0 {
		panic("no contender " + name)
	}
	return contenders[i]
}

func inC(name string) bool { return find(name).new == nil }

// shortNames returns the values of -contender.
func shortNames() string {
	var list []string
	for _, c := range contenders {
		list = append(list, c.short)
	}
	return strings.Join(list, ", ")
}

// choice is the value of -contender: the names of the chosen contenders. If it is empty,
// all contenders are chosen.
type choice []string

func (c *choice) String() string { return strings.Join(*c, ",") }

// Set is called by package flag.
func (c *choice) Set(list string) error {
	for short := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.short == short })
		if i < 0 {
			return fmt.Errorf("no contender %q, only %s", short, shortNames())
		}
		*c = append(*c, contenders[i].name)
	}
	return nil
}

// of returns the chosen contenders of a list.
func (c choice) of(list []string) (chosen []string) {
	for _, name := range list {
		if len(c) == 0 || slices.Contains(c, name) {
			chosen = append(chosen, name)
		}
	}
	return chosen
}
