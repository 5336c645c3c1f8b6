package main

import (
	"context"
	"net"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// mqttClient uses package mqtt of this module; messages pass its router. With relay, Go
// makes the connection and the client relays its bytes to the library. A relay with TLS
// uses crypto/tls instead of OpenSSL.
type mqttClient struct {
	relay bool
	o     Options
	c     *mqtt.Client
}

func (b *mqttClient) Connect(o Options) (err error) {
	b.o = o
	options := []mqtt.Option{mqtt.WithClientID(o.ID), mqtt.WithStateHandler(b.stateChanged)}
	if o.InFlight > 0 {
		options = append(options, mqtt.WithInflight(o.InFlight))
	}
	switch {
	case b.relay && o.TLS != nil:
		options = append(options, mqtt.WithTLSConfig(o.TLS))
	case b.relay:
		options = append(options, mqtt.WithDialer(new(net.Dialer).DialContext))
	case o.TLS != nil:
		options = append(options, mqtt.WithTLS(mqtt.TLS{CAFile: o.CAFile}))
	}
	if o.Always != "" {
		options = append(options, mqtt.WithBackoff(time.Second, longestDelay, 0.5))
	}
	b.c, err = mqtt.Dial(context.Background(), []string{o.server("mqtt", "mqtts")}, options...)
	if err != nil {
		return err
	}
	if o.Always != "" { // the client subscribes again by itself
		return b.Subscribe(o.Always, 0)
	}
	return nil
}

func (b *mqttClient) stateChanged(c *mqtt.Client, change mqtt.StateChange) {
	if change.State == mqtt.StateClosed {
		b.o.OnLost(c.Err())
	}
}

func (b *mqttClient) Disconnect() error { return b.c.Close(context.Background()) }

func (b *mqttClient) Subscribe(filter string, qos byte) error {
	return b.c.Subscribe(context.Background(), filter, mqtt.QoS(qos), func(_ context.Context, m mqtt.Message) { b.o.OnMessage(m.Payload) })
}

func (b *mqttClient) Send(topic string, payload []byte, qos byte) error {
	return b.c.PublishAsync(context.Background(), topic, payload, mqtt.WithQoS(mqtt.QoS(qos))).Err()
}

func (b *mqttClient) SendAll(topic string, payload []byte, count int) error {
	l := newLimiter(b.o.Window)
	tokens := make(chan *mqtt.Token, b.o.Window)
	done := make(chan error, 1)
	go func() {
		for t := range tokens {
			<-t.Done()
			if err := t.Err(); err != nil {
				fail(err)
			}
			l.leave()
		}
		done <- nil
	}()
	for range count {
		l.enter()
		tokens <- b.c.PublishAsync(context.Background(), topic, payload)
	}
	close(tokens)
	return <-done
}

func (b *mqttClient) SendAwaited(topic string, payload []byte) error {
	return b.c.Publish(context.Background(), topic, payload)
}
