package main

import (
	"context"
	"sync"
	"time"

	atwat "github.com/at-wat/mqtt-go"
)

// atWatClient is the BaseClient of at-wat/mqtt-go, without the queue for retries and
// its lock. Its documentation says: "All functions are safe to be used from multiple
// goroutines". Publish waits for the acknowledgement, so QoS 1 messages are published
// from as many goroutines as messages may be in flight.
type atWatClient struct {
	o     Options
	c     *atwat.BaseClient
	start sync.Once
	queue chan *atwat.Message // read by the goroutines that send QoS 1 messages
}

func (a *atWatClient) Connect(o Options) (err error) {
	a.o = o
	ctx := context.Background()
	var options []atwat.DialOption
	if o.TLS != nil {
		options = append(options, atwat.WithTLSConfig(o.TLS))
	}
	if a.c, err = atwat.DialContext(ctx, o.server("mqtt", "mqtts"), options...); err != nil {
		return err
	}
	if o.OnMessage != nil {
		a.c.Handle(atwat.HandlerFunc(func(m *atwat.Message) { o.OnMessage(m.Payload) }))
	}
	if _, err := a.c.Connect(ctx, o.ID, atwat.WithKeepAlive(keepalive), atwat.WithCleanSession(true)); err != nil {
		return err
	}
	go func() { o.OnLost(atwat.KeepAlive(ctx, a.c, keepalive*time.Second, 10*time.Second)) }()
	return nil
}

func (a *atWatClient) Disconnect() error { return a.c.Disconnect(context.Background()) }

func (a *atWatClient) Subscribe(filter string, qos byte) error {
	_, err := a.c.Subscribe(context.Background(), atwat.Subscription{Topic: filter, QoS: atwat.QoS(qos)})
	return err
}

func (a *atWatClient) Send(topic string, payload []byte, qos byte) error {
	message := &atwat.Message{Topic: topic, Payload: payload, QoS: atwat.QoS(qos)}
	if qos == 0 {
		return a.c.Publish(context.Background(), message)
	}
	a.start.Do(func() {
		a.queue = make(chan *atwat.Message)
		for range max(a.o.Window, 1) {
			go a.sendQueued(a.queue)
		}
	})
	a.queue <- message
	return nil
}

func (a *atWatClient) sendQueued(queue <-chan *atwat.Message) {
	for m := range queue {
		if err := a.c.Publish(context.Background(), m); err != nil {
			fail(err)
		}
	}
}

func (a *atWatClient) SendAwaited(topic string, payload []byte) error {
	return a.c.Publish(context.Background(), &atwat.Message{Topic: topic, Payload: payload, QoS: atwat.QoS1})
}

func (a *atWatClient) SendAll(topic string, payload []byte, count int) error {
	queue := make(chan *atwat.Message)
	var group sync.WaitGroup
	for range a.o.Window {
		group.Add(1)
		go func() {
			defer group.Done()
			a.sendQueued(queue)
		}()
	}
	for range count {
		queue <- &atwat.Message{Topic: topic, Payload: payload, QoS: atwat.QoS1}
	}
	close(queue)
	group.Wait()
	return nil
}
