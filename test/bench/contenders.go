package main

import (
	"fmt"
	"slices"
	"strings"
)

// The names of the contenders.
const (
	oursRun    = "ours, Run"
	oursInside = "ours, Run in callback"
	oursStart  = "ours, LoopStart"
	oursMqtt   = "ours, mqtt"
	oursRelay  = "ours, mqtt, WithDialer"
	oursPaho   = "ours, paho facade"
	cForever   = "C, loop_forever"
	cStart     = "C, loop_start"
	pahoV3     = "paho.mqtt.golang"
	pahoV5     = "paho.golang"
	atWat      = "at-wat/mqtt-go"
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
	{"inside", oursInside, "ours", func() Client { return &ours{} }}, // it publishes inside OnMessage
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

// selection is the value of a flag: names, separated by commas. Without names everything
// is selected.
type selection struct {
	allowed map[string]string // names by the words of the flag
	names   []string
}

func (s *selection) String() string { return strings.Join(s.names, ",") }

// Set is called by package flag.
func (s *selection) Set(list string) error {
	for word := range strings.SplitSeq(list, ",") {
		name, ok := s.allowed[word]
		if !ok {
			return fmt.Errorf("unknown name %q", word)
		}
		s.names = append(s.names, name)
	}
	return nil
}

func (s *selection) has(name string) bool {
	return len(s.names) == 0 || slices.Contains(s.names, name)
}

// contenderFlag returns the value of -contender. The words are the short names.
func contenderFlag() selection {
	allowed := make(map[string]string)
	for _, c := range contenders {
		allowed[c.short] = c.name
	}
	return selection{allowed: allowed}
}

// onlyFlag returns the value of -only. The words are the names of sections and works.
func onlyFlag() selection {
	allowed := make(map[string]string)
	for _, name := range names() {
		allowed[name] = name
	}
	return selection{allowed: allowed}
}
