package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// paho is Eclipse's paho.mqtt.golang.
//
// Its README asks for SetOrderMatters(false) where handlers may block. The handlers of
// the benchmark do not block. With ordered delivery it is faster and allocates less,
// because otherwise every message needs a goroutine. According to its documentation,
// SetMessageChannelDepth has no effect. Publish returns a token; the README shows how
// to wait for it on another goroutine to see errors.
type paho struct {
	o Options
	c mqtt.Client
}

func (p *paho) Connect(o Options) error {
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
func (p *paho) Disconnect() error {
	p.c.Disconnect(250)
	return nil
}

func (p *paho) Subscribe(filter string, qos byte) error {
	return finished(p.c.Subscribe(filter, qos, nil)) // nil selects the default handler, without a router
}

// Send does not wait for the token. With QoS 0 the token is done when the message is
// written, and Publish blocks while the writer is busy.
func (p *paho) Send(topic string, payload []byte, qos byte) error {
	p.c.Publish(topic, qos, false, payload)
	return nil
}

func (p *paho) SendAwaited(topic string, payload []byte) error {
	return finished(p.c.Publish(topic, 1, false, payload))
}

func (p *paho) SendAll(topic string, payload []byte, count int) error {
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
