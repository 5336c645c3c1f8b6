//go:build cgo

package mqtt

import (
	"context"

	"github.com/mosquitto-go/mosquitto"
)

// Message is a message that was received. It may be kept.
type Message = mosquitto.Message

// Properties are the properties of an MQTT 5 packet.
type Properties = mosquitto.Properties

// QoSLevel is 0, at most once; 1, at least once; 2, exactly once.
type QoSLevel = mosquitto.QoS

// Handler is called with each message of a subscription. ctx ends with the
// client; what [Hooks] have put into it is there too.
type Handler func(ctx context.Context, m Message)

// Hooks are told of what passes through a client: for traces and metrics. They
// run where the message does and must not wait. Any of them may be nil.
type Hooks struct {
	// Publish is called before a message is queued, with the caller's context,
	// and may add to its properties. The function that it returns, unless nil,
	// is told the outcome, once.
	Publish func(ctx context.Context, p *Publication) func(error)
	// Receive is called before the handlers of a message. They get its context;
	// the function that it returns, unless nil, is called when they have
	// returned. A message that an iterator takes has passed when it is queued.
	Receive func(ctx context.Context, m *Message) (context.Context, func())
	// SubscriptionLost is told when a broker refuses to restore a subscription
	// after a reconnect. It is tried again at the next one.
	SubscriptionLost func(err *SubscribeError)
	// Dropped is called for each message that a full queue of handlers dropped.
	Dropped func(m *Message)
}

// Publication is a message on its way out.
type Publication struct {
	Topic      string
	Payload    []byte
	QoS        QoSLevel
	Retain     bool
	Properties Properties // need MQTT 5
}

// published runs the Publish hooks; the result, unless nil, is for the outcome.
func published(hooks []Hooks, ctx context.Context, p *Publication) func(error) {
	var ends []func(error)
	for i := range hooks {
		if f := hooks[i].Publish; f != nil {
			if end := f(ctx, p); end != nil {
				ends = append(ends, end)
			}
		}
	}
	if ends == nil {
		return nil
	}
	return func(err error) {
		for i := len(ends) - 1; i >= 0; i-- {
			ends[i](err)
		}
	}
}

// received runs the Receive hooks around handle.
func received(hooks []Hooks, ctx context.Context, m *Message, handle func(context.Context)) {
	if len(hooks) == 0 {
		handle(ctx)
		return
	}
	if f := hooks[0].Receive; f != nil {
		var end func()
		if ctx, end = f(ctx, m); end != nil {
			defer end()
		}
	}
	received(hooks[1:], ctx, m, handle)
}
