package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	five "github.com/eclipse/paho.golang/paho"
)

// pahoFive is Eclipse's paho.golang, MQTT 5, as its example stdoutsub uses it, with a
// TCP connection of the program. (It reads the first bytes of a packet one by one from
// the connection. A wrapper with buffered reads would prevent its single gathered write
// per packet, and its documentation does not suggest one.) The capacity of the
// library's message channel is the receive maximum. This benchmark keeps the default of
// 65,535, except with Options.Many. With PublishMethod_AsyncSend many QoS 1 messages can be in flight: the broker's
// receive maximum is the limit.
type pahoFive struct {
	o Options
	c *five.Client
}

func (p *pahoFive) Connect(o Options) error {
	p.o = o
	conn, err := o.dial()
	if err != nil {
		return err
	}
	p.c = five.NewClient(five.ClientConfig{
		Conn:          conn,
		OnClientError: o.OnLost,
		OnPublishReceived: []func(five.PublishReceived) (bool, error){func(r five.PublishReceived) (bool, error) {
			if o.OnMessage != nil {
				o.OnMessage(r.Packet.Payload)
			}
			return true, nil
		}},
	})
	connect := &five.Connect{ClientID: o.ID, CleanStart: true, KeepAlive: keepalive}
	if o.Many { // otherwise each channel would need 512 KiB
		few := uint16(20)
		connect.Properties = &five.ConnectProperties{ReceiveMaximum: &few}
	}
	ack, err := p.c.Connect(context.Background(), connect)
	if err == nil && ack.ReasonCode != 0 {
		err = fmt.Errorf("refused: %#x", ack.ReasonCode)
	}
	return err
}

// dial opens the connection, which the program passes to paho.golang.
func (o Options) dial() (net.Conn, error) {
	if o.TLS != nil {
		return tls.Dial("tcp4", o.addr(), o.TLS)
	}
	return net.Dial("tcp4", o.addr())
}

func (p *pahoFive) Disconnect() error { return p.c.Disconnect(&five.Disconnect{}) }

func (p *pahoFive) Subscribe(filter string, qos byte) error {
	_, err := p.c.Subscribe(context.Background(), &five.Subscribe{
		Subscriptions: []five.SubscribeOptions{{Topic: filter, QoS: qos}},
	})
	return err
}

func (p *pahoFive) Send(topic string, payload []byte, qos byte) error {
	return p.send(topic, payload, qos, five.PublishMethod_AsyncSend)
}

func (p *pahoFive) send(topic string, payload []byte, qos byte, method five.PublishMethod) error {
	message := &five.Publish{Topic: topic, QoS: qos, Payload: payload}
	_, err := p.c.PublishWithOptions(context.Background(), message, five.PublishOptions{Method: method})
	return err
}

func (p *pahoFive) SendAwaited(topic string, payload []byte) error {
	return p.send(topic, payload, 1, five.PublishMethod_Blocking)
}

// SendAll waits only for the last acknowledgement, because acknowledgements arrive in
// order.
func (p *pahoFive) SendAll(topic string, payload []byte, count int) error {
	for range count - 1 {
		if err := p.Send(topic, payload, 1); err != nil {
			return err
		}
	}
	return p.send(topic, payload, 1, five.PublishMethod_Blocking)
}
