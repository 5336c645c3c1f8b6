package main

import (
	"context"
	"net"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// mqttClient uses package mqtt of this module; messages pass its router. With relay, Go
// makes the connection and the client relays its bytes to the library.
type mqttClient struct {
	relay bool
	o     Options
	c     *mqtt.Client
}

func (b *mqttClient) Connect(o Options) (err error) {
	b.o = o
	options := []mqtt.Option{mqtt.WithClientID(o.ID)}
	if n := o.inFlight(); n > 0 {
		options = append(options, mqtt.WithInflight(n))
	}
	if b.relay {
		options = append(options, mqtt.WithDialer(new(net.Dialer).DialContext))
	}
	b.c, err = mqtt.Dial(context.Background(), []string{"mqtt://" + o.addr()}, options...)
	if err != nil {
		return err
	}
	go func() {
		<-b.c.Done()
		fail(b.c.Err())
	}()
	return nil
}

func (b *mqttClient) Subscribe(filter string, qos byte) error {
	return b.c.Subscribe(context.Background(), filter, mqtt.QoS(qos), func(_ context.Context, m mqtt.Message) { b.o.OnMessage(m.Payload) })
}

func (b *mqttClient) Send(topic string, payload []byte, qos byte) error {
	return b.c.PublishAsync(context.Background(), topic, payload, mqtt.WithQoS(mqtt.QoS(qos))).Err()
}

func (b *mqttClient) SendAll(topic string, payload []byte, count int) error {
	r := newRoom(b.o.Window)
	tokens := make(chan *mqtt.Token, b.o.Window)
	done := make(chan error, 1)
	go func() {
		for t := range tokens {
			<-t.Done()
			if err := t.Err(); err != nil {
				fail(err)
			}
			r.leave()
		}
		done <- nil
	}()
	for range count {
		r.enter()
		tokens <- b.c.PublishAsync(context.Background(), topic, payload)
	}
	close(tokens)
	return <-done
}

func (b *mqttClient) SendAwaited(topic string, payload []byte) error {
	return b.c.Publish(context.Background(), topic, payload)
}
