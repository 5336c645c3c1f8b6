package main

import (
	"context"
	"errors"
	"math/rand"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// window bounds the messages of one QoS that wait for their acknowledgement.
const window = 50

// publisher publishes with every QoS, from one goroutine, and enters it into
// the ledger.
type publisher struct {
	*client
	number int
	ledger *ledger
	random *rand.Rand

	mu      sync.Mutex
	pending map[int]id   // by message id
	early   map[int]bool // message ids that were acknowledged before Publish returned
	open    [3]int       // messages pending, by QoS
}

func (s *soak) publisher(number int, l line, port int) *publisher {
	p := &publisher{
		number: number, ledger: s.ledger, random: rand.New(rand.NewSource(s.config.seed + int64(number))),
		pending: make(map[int]id), early: make(map[int]bool),
	}
	p.client = s.newClient("pub "+l.name, l, port, func(c *client) {
		c.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) { c.connected.Store(ack.Err() == nil) })
		c.OnPublish(func(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
			p.done(mid, code)
		})
	})
	return p
}

// done is told of an acknowledgement, or of a QoS 0 message that was sent.
func (p *publisher) done(mid int, code mosquitto.ReasonCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.pending[mid]
	if !ok {
		p.early[mid] = true
		return
	}
	p.settle(mid, m)
	if err := code.Err(); err != nil {
		p.report.broken("%s: the broker refused %v: %v", p.name, m, err)
	}
}

// settle enters the acknowledgement. The caller holds the mutex.
func (p *publisher) settle(mid int, m id) {
	delete(p.pending, mid)
	p.open[m.qos]--
	p.ledger.ack(m)
}

// full tells whether enough messages of the QoS wait.
func (p *publisher) full(qos int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[qos] >= window
}

// publish publishes one message.
func (p *publisher) publish(qos int) {
	m := p.ledger.publish(p.number, qos)
	mid, err := p.Publish(m.topic(), encode(m, p.random), mosquitto.QoS(qos), false)
	if err != nil && !errors.Is(err, mosquitto.ErrNoConn) { // with that the library keeps it, or drops QoS 0
		p.report.broken("%s: publish: %v", p.name, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if qos > 0 {
		p.pending[mid] = m
		p.open[qos]++
		if p.early[mid] {
			p.settle(mid, m)
		}
	}
	clear(p.early) // the others are QoS 0
}

// work publishes a message of each QoS after every pause, until the context ends.
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
