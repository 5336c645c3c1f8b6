package main

import "fmt"

// Client has the functions that the benchmark needs of a library. Each contender
// implements them as its own documentation shows, in a file of its own.
type Client interface {
	// Connect returns when the broker has accepted the client.
	Connect(o Options) error
	// Subscribe returns when the broker has granted the subscription.
	Subscribe(filter string, qos byte) error
	// Send submits a message and does not wait for the acknowledgement.
	Send(topic string, payload []byte, qos byte) error
	// SendAll publishes with QoS 1 and returns when all messages are acknowledged. At
	// most Options.Window messages are in flight.
	SendAll(topic string, payload []byte, count int) error
}

// Options are the settings of a client.
type Options struct {
	Host      string
	Port      int
	ID        string
	Window    int  // limit of QoS 1 messages in flight
	InFlight  int  // limit of libmosquitto, if it is not Window
	NoDelay   bool // no Nagle delay; Go's own sockets never have one
	Many      bool // for thousands of clients: use small buffers if possible
	OnMessage func(payload []byte)
}

// keepalive is the keepalive of every client, in seconds.
const keepalive = 60

func (o Options) addr() string { return fmt.Sprintf("%s:%d", o.Host, o.Port) }

// inFlight returns the limit of messages in flight for libmosquitto.
func (o Options) inFlight() int {
	if o.InFlight > 0 {
		return o.InFlight
	}
	return o.Window
}

// finished waits for a token of paho's API.
func finished(t interface {
	Wait() bool
	Error() error
}) error {
	t.Wait()
	return t.Error()
}
