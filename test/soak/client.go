package main

import (
	"context"
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
	report *report

	connected atomic.Bool // and subscribed, if that is its part
	ended     chan error
}

func (s *soak) newClient(name string, l line) *client {
	m, err := mosquitto.New(name, false, nil)
	s.check(err)
	s.tb.Cleanup(func() { m.Close() })
	s.check(m.IntOption(mosquitto.OptProtocolVersion, l.version))
	s.check(m.IntOption(mosquitto.OptTCPNodelay, 1))
	if l.tls {
		s.check(m.TLSSet(s.ca, "", "", "", nil))
	}
	c := &client{Client: m, name: name, line: l, report: s.report, ended: make(chan error, 1)}
	m.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) {
		c.connected.Store(false)
		s.report.figures.losses.Add(1)
	})
	s.clients = append(s.clients, c)
	return c
}

// run connects to a port, and drives the client until ctx ends.
func (c *client) run(ctx context.Context, port int) error {
	var props mosquitto.Properties
	if c.line.version == mosquitto.ProtocolV5 {
		if err := props.AddInt32(mosquitto.PropSessionExpiryInterval, 3600); err != nil {
			return err
		}
	}
	if err := c.ConnectBindV5("127.0.0.1", port, keepalive, "", props); err != nil {
		return err
	}
	go func() {
		err := c.Run(ctx)
		if ctx.Err() == nil {
			c.report.broken("Run of %s ended: %v", c.name, err)
		}
		c.ended <- err
	}()
	return nil
}

// subscriber enters what it receives into the ledger.
func (s *soak) subscriber(l line, qos ...int) {
	c := s.newClient(fmt.Sprint("sub ", l.name, " QoS ", qos), l)
	// See duplicates_test.go: 20, the default, is soon used up by repeated QoS 2
	// messages, and with MQTT 5 no connection lasts after that.
	s.check(c.IntOption(mosquitto.OptReceiveMaximum, 65535))
	me := &reader{name: c.name, qos: qos}
	s.readers = append(s.readers, me)
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
