package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// ours uses the root package of this module, with Run or with LoopStart.
type ours struct {
	thread bool // LoopStart instead of Run
	o      Options
	c      *mosquitto.Client
	reply  chan error    // of a CONNECT or SUBSCRIBE
	ended  chan struct{} // closed when Run has returned

	awaiting sync.Once
	signals  []atomic.Pointer[chan struct{}] // by message id; nil in idle clients
}

func (b *ours) Connect(o Options) (err error) {
	b.o, b.reply = o, make(chan error, 1)
	if b.c, err = mosquitto.New(o.ID, true, nil); err != nil {
		return err
	}
	if o.InFlight > 0 {
		if err := b.c.IntOption(mosquitto.OptSendMaximum, o.InFlight); err != nil {
			return err
		}
	}
	if o.NoDelay {
		if err := b.c.IntOption(mosquitto.OptTCPNodelay, 1); err != nil {
			return err
		}
	}
	if o.CAFile != "" {
		if err := b.c.SetTLS(mosquitto.TLS{CAFile: o.CAFile}); err != nil {
			return err
		}
	}
	b.c.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) { b.connected(ack) })
	if o.Always != "" {
		if err := b.c.ReconnectDelaySet(time.Second, longestDelay, false); err != nil {
			return err
		}
	}
	if o.OnMessage != nil {
		b.c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { b.o.OnMessage(m.Payload) })
	}
	if err := b.c.Connect(o.Host, o.Port, keepalive*time.Second); err != nil {
		return err
	}
	if b.thread {
		if err := b.c.LoopStart(); err != nil {
			return err
		}
	} else {
		b.ended = make(chan struct{})
		go b.run()
	}
	return <-b.reply
}

// run returns when the client has disconnected.
func (b *ours) run() {
	defer close(b.ended)
	if err := b.c.Run(context.Background()); err != nil {
		b.o.OnLost(err)
	}
}

// connected is called after every connect, also after a reconnect.
func (b *ours) connected(ack mosquitto.Connack) {
	if b.o.Always != "" && ack.Err() == nil {
		if _, err := b.c.Subscribe(b.o.Always, 0); err != nil {
			b.o.OnLost(err)
		}
	}
	select {
	case b.reply <- ack.Err():
	default: // a reconnect
	}
}

func (b *ours) Disconnect() error {
	err := b.c.Disconnect()
	if errors.Is(err, mosquitto.ErrNoConn) { // the connection was lost after the CONNACK, seen once in 1,500 with LoopStart
		err = nil
	}
	if b.thread {
		err = errors.Join(err, b.c.LoopStop(false))
	} else {
		<-b.ended
	}
	return errors.Join(err, b.c.Close())
}

func (b *ours) Subscribe(filter string, qos byte) error {
	b.c.OnSubscribe(func(*mosquitto.Client, int, []mosquitto.ReasonCode, mosquitto.Properties) { b.reply <- nil })
	if _, err := b.c.Subscribe(filter, mosquitto.QoS(qos)); err != nil {
		return err
	}
	return <-b.reply
}

func (b *ours) Send(topic string, payload []byte, qos byte) error {
	_, err := b.c.Publish(topic, payload, mosquitto.QoS(qos), false)
	return err
}

// SendAwaited waits for the acknowledgement of its own message, which may arrive before
// Publish has returned the message id.
func (b *ours) SendAwaited(topic string, payload []byte) error {
	b.awaiting.Do(func() {
		b.signals = make([]atomic.Pointer[chan struct{}], 1<<16)
		b.c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
			b.signal(mid) <- struct{}{}
		})
	})
	mid, err := b.c.Publish(topic, payload, 1, false)
	if err != nil {
		return err
	}
	<-b.signal(mid)
	return nil
}

// signal returns the channel that reports the acknowledgement of a message id. Ids are
// reused after their acknowledgement.
func (b *ours) signal(mid int) chan struct{} {
	ch := b.signals[mid].Load()
	if ch == nil {
		fresh := make(chan struct{}, 1)
		if !b.signals[mid].CompareAndSwap(nil, &fresh) {
			return *b.signals[mid].Load()
		}
		return fresh
	}
	return *ch
}

func (b *ours) SendAll(topic string, payload []byte, count int) error {
	l := newLimiter(b.o.Window)
	b.c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) { l.leave() })
	for range count {
		l.enter()
		if _, err := b.c.Publish(topic, payload, 1, false); err != nil {
			return err
		}
	}
	l.until(0)
	return nil
}
