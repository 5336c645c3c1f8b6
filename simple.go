//go:build cgo

package mosquitto

import (
	"context"
	"time"
)

// SimpleOptions are the server, the credentials and the other settings of the one-shot
// helpers.
type SimpleOptions struct {
	Host               string        // required
	Port               int           // required
	ClientID           string        // "" with CleanSession: chosen by the library
	Keepalive          time.Duration // 0 (off), or 5 s to 65,535 s
	CleanSession       bool          // whether the broker discards the session at the end
	Username, Password string        // "" for none
	Will               *Will         // nil for none
	TLS                *TLS          // nil for none; its files are read again after a lost connection
}

// SubscribeCallback wraps mosquitto_subscribe_callback: it connects, subscribes, and
// calls f with each message until f returns false.
//
// It returns nil after f has returned false. It reconnects as [Client.LoopForever]
// does. Unlike the C function, it also returns when ctx ends, and when the broker
// refuses the connection ([ConnackError]) or the subscription ([ReasonError]).
func SubscribeCallback(ctx context.Context, o SimpleOptions, topic string, qos QoS, f func(*Client, Message) bool) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ended := make(chan error, 2) // the first value is the reason
	leave := func(c *Client, why error) {
		select {
		case ended <- why:
		default:
		}
		_ = c.Disconnect()
	}
	c.OnConnect(func(c *Client, ack Connack) {
		err := ack.Err()
		if err == nil {
			_, err = c.Subscribe(topic, qos)
		}
		if err != nil {
			leave(c, err)
		}
	})
	if o.TLS != nil {
		c.OnDisconnect(func(c *Client, d Disconnection) {
			if d.Err == nil {
				return
			}
			if err := c.SetTLS(*o.TLS); err != nil {
				leave(c, err)
			}
		})
	}
	c.OnSubscribe(func(c *Client, _ int, granted []ReasonCode, _ Properties) {
		for _, code := range granted {
			if code.Failed() {
				leave(c, code.Err())
			}
		}
	})
	over := false
	c.OnMessage(func(c *Client, m Message) {
		if !over && !f(c, m) {
			over = true
			leave(c, nil)
		}
	})
	return c.runUntil(ctx, o, ended)
}

// runUntil connects and runs the loop in another goroutine, because the library can
// block where ctx has no effect. Close ends that goroutine.
func (c *Client) runUntil(ctx context.Context, o SimpleOptions, ended chan error) error {
	panicked := make(chan any, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				panicked <- r
			}
		}()
		err := c.Connect(o.Host, o.Port, o.Keepalive)
		if err == nil {
			err = c.LoopForever(-1)
		}
		ended <- err
	}()
	select {
	case r := <-panicked:
		panic(r)
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SubscribeSimple wraps mosquitto_subscribe_simple: it connects, subscribes, and
// returns the next count messages. It counts retained messages only if wantRetained is
// true. It ends early as [SubscribeCallback] does, and then returns the messages
// received so far beside the error.
func SubscribeSimple(ctx context.Context, o SimpleOptions, topic string, qos QoS, count int, wantRetained bool) ([]Message, error) {
	if count < 1 {
		return nil, badArgument("subscribe_simple", ErrInval, "count: %d is less than 1", count)
	}
	received := make(chan Message, count)
	err := SubscribeCallback(ctx, o, topic, qos, func(_ *Client, m Message) bool {
		if !m.Retain || wantRetained {
			received <- m
		}
		return len(received) < count
	})
	messages := make([]Message, 0, count)
	for {
		select {
		case m := <-received:
			messages = append(messages, m)
		default:
			return messages, err
		}
	}
}

// client makes the client that the options describe.
func (o SimpleOptions) client() (*Client, error) {
	c, err := New(o.ClientID, o.CleanSession, nil)
	if err != nil {
		return nil, err
	}
	if err := o.apply(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (o SimpleOptions) apply(c *Client) error {
	if o.Username != "" || o.Password != "" {
		if err := c.UsernamePwSet(o.Username, o.Password); err != nil {
			return err
		}
	}
	if w := o.Will; w != nil {
		if err := c.WillSetV5(w.Topic, w.Payload, w.QoS, w.Retain, w.Properties); err != nil {
			return err
		}
	}
	if o.TLS != nil {
		return c.SetTLS(*o.TLS)
	}
	return nil
}
