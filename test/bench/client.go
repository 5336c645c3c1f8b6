package main

import "fmt"

// Client is what the benchmark needs of a library. Each contender does it in
// the way that its own documentation shows, in a file of its own.
type Client interface {
	// Connect returns when the broker has accepted.
	Connect(o Options) error
	// Subscribe returns when the broker has granted it.
	Subscribe(filter string, qos byte) error
	// Send hands a message over; an acknowledgement is not waited for.
	Send(topic string, payload []byte, qos byte) error
	// SendAll publishes with QoS 1 and returns when all are acknowledged. At
	// most Options.Window are under way at a time.
	SendAll(topic string, payload []byte, count int) error
}

// Options are the settings of a client.
type Options struct {
	Host      string
	Port      int
	ID        string
	Window    int  // QoS 1 messages under way at most
	InFlight  int  // how many of them libmosquitto gets, if not all
	NoDelay   bool // no Nagle delay; Go's own sockets never have one
	Many      bool // one of thousands: small buffers, where the library has a choice
	OnMessage func(payload []byte)
}

// keepalive is that of every client, in seconds.
const keepalive = 60

func (o Options) addr() string { return fmt.Sprintf("%s:%d", o.Host, o.Port) }

// inFlight is how many messages libmosquitto gets at a time.
func (o Options) inFlight() int {
	if o.InFlight > 0 {
		return o.InFlight
	}
	return o.Window
}

// Names of the contenders.
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

// newClient makes a client of a contender in Go.
func newClient(contender string) (Client, error) {
	switch contender {
	case oursRun:
		return &ours{}, nil
	case oursStart:
		return &ours{thread: true}, nil
	case oursMqtt:
		return &mqttClient{}, nil
	case oursRelay:
		return &mqttClient{relay: true}, nil
	case oursPaho:
		return &facade{}, nil
	case pahoV3:
		return &paho{}, nil
	case pahoV5:
		return &pahoFive{}, nil
	case atWat:
		return &atWatClient{}, nil
	}
	return nil, fmt.Errorf("no contender %q", contender)
}

// finished waits for a token of paho's API.
func finished(t interface {
	Wait() bool
	Error() error
}) error {
	t.Wait()
	return t.Error()
}
