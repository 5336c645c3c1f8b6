package main

import (
	"context"
	"errors"
	"math/rand"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// window is the maximum number of unacknowledged messages of one QoS.
const window = 50

// publisher publishes with every QoS from one goroutine, and records the messages in
// the ledger.
type publisher struct {
	*client
	number int
	ledger *ledger
	random *rand.Rand

	mu      sync.Mutex
	pending map[int]id   // unacknowledged messages by packet id
	early   map[int]bool // packet ids that were acknowledged before Publish returned
	open    [3]int       // number of pending messages by QoS
}

func (s *soak) publisher(number int, v variant, port int) *publisher {
	p := &publisher{
		number: number, ledger: s.ledger, random: rand.New(rand.NewSource(s.config.seed + int64(number))),
		pending: make(map[int]id), early: make(map[int]bool),
	}
	p.client = s.newClient("pub "+v.name, v, port, func(c *client) {
		c.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) { c.connected.Store(ack.Err() == nil) })
		c.OnPublish(func(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
			p.done(mid, code)
		})
	})
	return p
}

// done handles an acknowledgement, or the report that a QoS 0 message was sent.
func (p *publisher) done(mid int, code mosquitto.ReasonCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.pending[mid]
	if !ok {
		p.early[mid] = true
		return
	}
	p.acknowledge(mid, m)
	if err := code.Err(); err != nil {
		p.report.fail("%s: the broker refused %v: %v", p.name, m, err)
	}
}

// acknowledge records an acknowledgement. The caller must hold mu.
func (p *publisher) acknowledge(mid int, m id) {
	delete(p.pending, mid)
	p.open[m.qos]--
	p.ledger.ack(m)
}

// full reports whether window messages of the QoS are unacknowledged.
func (p *publisher) full(qos int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[qos] >= window
}

// publish publishes one message.
func (p *publisher) publish(qos int) {
	m := p.ledger.publish(p.number, qos)
	mid, err := p.Publish(m.topic(), encode(m, p.random), mosquitto.QoS(qos), false)
	if err != nil && !errors.Is(err, mosquitto.ErrNoConn) { // after ErrNoConn the library keeps the message (QoS 1 and 2) or drops it (QoS 0)
		p.report.fail("%s: publish: %v", p.name, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if qos > 0 {
		p.pending[mid] = m
		p.open[qos]++
		if p.early[mid] {
			p.acknowledge(mid, m)
		}
	}
	clear(p.early) // the remaining packet ids belong to QoS 0 messages
}

// work publishes a message of each QoS at every interval of length pause, until the
// context ends.
func (p *publisher) work(ctx context.Context, pause time.Duration) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		for qos := range 3 {
			if !p.full(qos) {
				p.publish(qos)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
