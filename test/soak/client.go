package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// line is a kind of connection: a version of MQTT, with or without TLS.
type line struct {
	name    string
	version int
	tls     bool
}

var lines = []line{
	{"3.1.1", mosquitto.ProtocolV311, false},
	{"5", mosquitto.ProtocolV5, false},
	{"3.1.1 TLS", mosquitto.ProtocolV311, true},
	{"5 TLS", mosquitto.ProtocolV5, true},
}

const keepalive = 5 * time.Second // the shortest that every version has

// client is a client under Run, with a session that is kept.
type client struct {
	*mosquitto.Client
	name   string
	line   line
	port   int
	setup  func(c *client) // its callbacks
	report *report

	connected atomic.Bool // and subscribed, if that is its part
	cancel    context.CancelFunc
	ended     chan error
}

// newClient makes a client and connects it.
func (s *soak) newClient(name string, l line, port int, setup func(c *client)) *client {
	c := &client{name: name, line: l, port: port, setup: setup, report: s.report}
	s.clients = append(s.clients, c)
	s.tb.Cleanup(func() { c.Close() })
	s.open(c)
	return c
}

// open makes the library's client, connects it and runs it.
func (s *soak) open(c *client) {
	m, err := mosquitto.New(c.name, false, nil)
	s.check(err)
	c.Client = m
	s.check(c.IntOption(mosquitto.OptProtocolVersion, c.line.version))
	s.check(c.IntOption(mosquitto.OptTCPNodelay, 1))
	// See duplicates_test.go: 20, the default, is soon used up by repeated QoS 2
	// messages, and with MQTT 5 no connection lasts after that.
	s.check(c.IntOption(mosquitto.OptReceiveMaximum, 65535))
	if c.line.tls {
		s.check(c.TLSSet(s.ca, "", "", "", nil))
	}
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) {
		c.connected.Store(false)
		s.report.figures.losses.Add(1)
	})
	c.setup(c)
	var props mosquitto.Properties
	if c.line.version == mosquitto.ProtocolV5 {
		s.check(props.AddInt32(mosquitto.PropSessionExpiryInterval, 3600))
	}
	c.run(props)
}

// run drives the client until it is stopped.
func (c *client) run(props mosquitto.Properties) {
	_ = c.ConnectBindV5("127.0.0.1", c.port, keepalive, "", props) // Run tries again
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.ended = cancel, make(chan error, 1)
	go func() {
		err := c.Run(ctx)
		if ctx.Err() == nil {
			c.report.broken("Run of %s ended: %v", c.name, err)
		}
		c.ended <- err
	}()
}

// stop ends Run and the client, and tells how long Run took for it.
func (c *client) stop() (took time.Duration) {
	begun := time.Now()
	c.cancel()
	select {
	case err := <-c.ended:
		if !errors.Is(err, context.Canceled) {
			c.report.broken("Run of %s returned %v", c.name, err)
		}
	case <-time.After(patience):
		c.report.broken("Run of %s does not end", c.name)
	}
	took = time.Since(begun)
	c.Close()
	return took
}

// subscriber enters what it receives into the ledger.
func (s *soak) subscriber(l line, port int, qos ...int) {
	me := &reader{name: fmt.Sprint("sub ", l.name, " QoS ", qos), qos: qos}
	s.readers = append(s.readers, me)
	c := s.newClient(me.name, l, port, func(c *client) {
		c.OnConnect(func(m *mosquitto.Client, ack mosquitto.Connack) {
			if ack.Err() != nil {
				return // Run tries again, or tells
			}
			for _, q := range qos {
				if _, err := m.Subscribe(fmt.Sprintf("soak/+/%d", q), mosquitto.QoS(q)); err != nil {
					s.report.broken("%s: subscribe: %v", c.name, err)
				}
			}
		})
		c.OnSubscribe(func(_ *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
			if err := granted[0].Err(); err != nil {
				s.report.broken("%s: subscription refused: %v", c.name, err)
			}
			c.connected.Store(true)
		})
		c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { s.received(me, m.Topic, m.Payload) })
	})
	if me.wants(2) {
		s.hoarders = append(s.hoarders, c)
	}
}

// renew gives clients that receive QoS 2 a new life: the library keeps copies of
// repeated messages until the client is closed.
func (s *soak) renew() {
	for _, c := range s.hoarders {
		s.goodbye(c)
		s.open(c)
	}
}

func (s *soak) goodbye(c *client) {
	s.report.figures.goodbye = max(s.report.figures.goodbye, c.stop())
}

// received enters what a reader received.
func (s *soak) received(r *reader, topic string, payload []byte) {
	m, err := decode(topic, payload)
	if err != nil {
		s.report.broken("%s: %v: %s, %d bytes", r.name, err, topic, len(payload))
		return
	}
	s.ledger.receive(r, m)
}
