package main

import (
	"crypto/tls"
	"fmt"
	"time"
)

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
	// most Options.Window messages are not acknowledged.
	SendAll(topic string, payload []byte, count int) error
	// Disconnect disconnects the client and releases what it holds.
	Disconnect() error
}

// Options are the settings of a client.
type Options struct {
	Host      string
	Port      int
	CAFile    string      // certificate authority; empty without TLS
	TLS       *tls.Config // the same for clients that use crypto/tls; nil without TLS
	ID        string
	Window    int    // limit of QoS 1 messages that are not acknowledged, for the program
	InFlight  int    // limit of messages in flight, for the library; 0 is its default
	NoDelay   bool   // no Nagle delay; Go's own sockets never have one
	Many      bool   // for thousands of clients: use small buffers if possible
	Always    string // filter to subscribe with QoS 0 after every connect, also after a reconnect
	OnMessage func(payload []byte)
	OnLost    func(error) // called when the client has lost the connection for good
}

// keepalive is the keepalive of every client, in seconds.
const keepalive = 60

// longestDelay is the longest delay between attempts to reconnect, for all clients. The
// other settings of reconnecting are the defaults.
const longestDelay = 2 * time.Second

// server returns the server's address as a URL. The contenders use different schemes.
func (o Options) server(plain, encrypted string) string {
	if o.TLS != nil {
		return encrypted + "://" + o.addr()
	}
	return plain + "://" + o.addr()
}

func (o Options) addr() string { return fmt.Sprintf("%s:%d", o.Host, o.Port) }

// finished waits for a token of paho's API.
func finished(t interface {
	Wait() bool
	Error() error
}) error {
	t.Wait()
	return t.Error()
}
