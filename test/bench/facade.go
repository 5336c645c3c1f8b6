package main

import (
	mqtt "github.com/mosquitto-go/mosquitto/paho"
)

// facade is package paho of this module: paho's API on package mqtt. This file differs
// from paho.go only in the import, the type's name and this comment.
type facade struct {
	o Options
	c mqtt.Client
}

func (p *facade) Connect(o Options) error {
	p.o = o
	opts := mqtt.NewClientOptions().AddBroker(o.server("tcp", "ssl")).SetClientID(o.ID).
		SetProtocolVersion(4).SetCleanSession(true).SetOrderMatters(true)
	opts.KeepAlive = keepalive
	if o.OnMessage != nil {
		opts.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { o.OnMessage(m.Payload()) })
	}
	if o.TLS != nil {
		opts.SetTLSConfig(o.TLS)
	}
	if o.Always != "" {
		opts.SetMaxReconnectInterval(longestDelay)
		opts.SetOnConnectHandler(func(c mqtt.Client) { c.Subscribe(o.Always, 0, nil) })
	}
	opts.SetConnectionLostHandler(func(_ mqtt.Client, err error) { o.OnLost(err) })
	p.c = mqtt.NewClient(opts)
	return finished(p.c.Connect())
}

// Disconnect waits at most for the 250 ms that the examples use.
func (p *facade) Disconnect() error {
	p.c.Disconnect(250)
	return nil
}

func (p *facade) Subscribe(filter string, qos byte) error {
	return finished(p.c.Subscribe(filter, qos, nil)) // nil selects the default handler, without a router
}

// Send does not wait for the token. With QoS 0 the token is done when the message is
// written, and Publish blocks while the writer is busy.
func (p *facade) Send(topic string, payload []byte, qos byte) error {
	p.c.Publish(topic, qos, false, payload)
	return nil
}

func (p *facade) SendAwaited(topic string, payload []byte) error {
	return finished(p.c.Publish(topic, 1, false, payload))
}

func (p *facade) SendAll(topic string, payload []byte, count int) error {
	tokens := make(chan mqtt.Token, p.o.Window-1) // the goroutine below waits for one more
	done := make(chan error, 1)
	go func() {
		for t := range tokens {
			if err := finished(t); err != nil {
				fail(err)
			}
		}
		done <- nil
	}()
	for range count {
		tokens <- p.c.Publish(topic, 1, false, payload)
	}
	close(tokens)
	return <-done
}
