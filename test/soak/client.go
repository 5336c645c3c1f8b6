package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// variant is a combination of an MQTT version and TLS or no TLS.
type variant struct {
	name    string
	version int
	tls     bool
}

var variants = []variant{
	{"3.1.1", mosquitto.ProtocolV311, false},
	{"5", mosquitto.ProtocolV5, false},
	{"3.1.1 TLS", mosquitto.ProtocolV311, true},
	{"5 TLS", mosquitto.ProtocolV5, true},
}

const keepalive = 5 * time.Second // the shortest that every library version accepts

// client is a library client without clean session, driven by Run.
type client struct {
	*mosquitto.Client
	name    string
	variant variant
	port    int
	setup   func(c *client) // sets the callbacks
	report  *report

	connected atomic.Bool // a subscriber is also subscribed
	cancel    context.CancelFunc
	ended     chan error // gets the result of Run
}

// newClient creates a client and connects it.
func (s *soak) newClient(name string, v variant, port int, setup func(c *client)) *client {
	c := &client{name: name, variant: v, port: port, setup: setup, report: s.report}
	s.clients = append(s.clients, c)
	s.tb.Cleanup(func() { c.Close() })
	s.open(c)
	return c
}

// open creates the library client, connects it and starts Run.
func (s *soak) open(c *client) {
	m, err := mosquitto.New(c.name, false, nil)
	s.check(err)
	c.Client = m
	s.check(c.IntOption(mosquitto.OptProtocolVersion, c.variant.version))
	s.check(c.IntOption(mosquitto.OptTCPNodelay, 1))
	// Repeated QoS 2 messages soon use up the default receive maximum of 20. With
	// MQTT 5 every connection then ends with an error (see duplicates_test.go).
	s.check(c.IntOption(mosquitto.OptReceiveMaximum, 65535))
	if c.variant.tls {
		s.check(c.TLSSet(s.ca, "", "", "", nil))
	}
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) {
		c.connected.Store(false)
		s.report.figures.losses.Add(1)
	})
	c.setup(c)
	var props mosquitto.Properties
	if c.variant.version == mosquitto.ProtocolV5 {
		s.check(props.AddInt32(mosquitto.PropSessionExpiryInterval, 3600))
	}
	c.run(props)
}

// run connects the client and starts Run, which continues until stop.
func (c *client) run(props mosquitto.Properties) {
	_ = c.ConnectBindV5("127.0.0.1", c.port, keepalive, "", props) // after an error Run retries
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.ended = cancel, make(chan error, 1)
	go func() {
		err := c.Run(ctx)
		if ctx.Err() == nil {
			c.report.fail("Run of %s ended: %v", c.name, err)
		}
		c.ended <- err
	}()
}

// stop ends Run, closes the client, and returns how long Run took to end.
func (c *client) stop() (took time.Duration) {
	begun := time.Now()
	c.cancel()
	select {
	case err := <-c.ended:
		if !errors.Is(err, context.Canceled) {
			c.report.fail("Run of %s returned %v", c.name, err)
		}
	case <-time.After(patience):
		c.report.fail("Run of %s has not ended after %v", c.name, patience)
	}
	took = time.Since(begun)
	c.Close()
	return took
}

// subscriber connects a client that subscribes with these QoS and records received
// messages in the ledger.
func (s *soak) subscriber(v variant, port int, qos ...int) {
	me := &recipient{name: fmt.Sprint("sub ", v.name, " QoS ", qos), qos: qos}
	s.recipients = append(s.recipients, me)
	c := s.newClient(me.name, v, port, func(c *client) {
		c.OnConnect(func(m *mosquitto.Client, ack mosquitto.Connack) {
			if ack.Err() != nil {
				return // Run retries, or returns the error
			}
			for _, q := range qos {
				if _, err := m.Subscribe(fmt.Sprintf("soak/+/%d", q), mosquitto.QoS(q)); err != nil {
					s.report.fail("%s: subscribe: %v", c.name, err)
				}
			}
		})
		c.OnSubscribe(func(_ *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
			if err := granted[0].Err(); err != nil {
				s.report.fail("%s: subscription refused: %v", c.name, err)
			}
			c.connected.Store(true)
		})
		c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { s.received(me, m.Topic, m.Payload) })
	})
	if me.wants(2) {
		s.qos2Subscribers = append(s.qos2Subscribers, c)
	}
}

// renew replaces the clients that receive QoS 2. The library keeps copies of repeated
// messages until a client is closed.
func (s *soak) renew() {
	for _, c := range s.qos2Subscribers {
		s.stopClient(c)
		s.open(c)
	}
}

func (s *soak) stopClient(c *client) {
	s.report.figures.longestStop = max(s.report.figures.longestStop, c.stop())
}

// received checks a received message and records it in the ledger.
func (s *soak) received(r *recipient, topic string, payload []byte) {
	m, err := decode(topic, payload)
	if err != nil {
		s.report.fail("%s: %v: %s, %d bytes", r.name, err, topic, len(payload))
		return
	}
	s.ledger.receive(r, m)
}
