//go:build cgo

package mqtt

import (
	"context"
	"slices"
	"sync/atomic"

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
	// and may add to its properties if the protocol is V5. The function that it
	// returns, unless nil, is told the outcome, once.
	Publish func(ctx context.Context, p *Publication) func(error)
	// Receive is called before the handlers of a message. They get its context;
	// the function that it returns, unless nil, is called when they have
	// returned, on a worker's goroutine if that runs them, or when the message was
	// dropped. A message that an iterator takes has passed when it is queued.
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

	Protocol Protocol // of the connection, or the attempt: for hooks
}

// size is how many bytes count in the queue.
func (p *Publication) size() int {
	size := len(p.Topic) + len(p.Payload)
	for i := range p.Properties {
		q := &p.Properties[i]
		size += len(q.Name) + len(q.Text) + len(q.Data)
	}
	return size
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
		for _, end := range slices.Backward(ends) {
			end(err)
		}
	}
}

// received runs the Receive hooks of a message. The passage is for its end.
func received(hooks []Hooks, ctx context.Context, m *Message) (context.Context, *receiveEnds) {
	p := &receiveEnds{}
	p.pending.Store(1)
	for i := range hooks {
		if f := hooks[i].Receive; f != nil {
			var end func()
			if ctx, end = f(ctx, m); end != nil {
				p.functions = append(p.functions, end)
			}
		}
	}
	return ctx, p
}

// passage calls the ends of the Receive hooks when all handlers of a message have
// returned. Its methods do nothing without hooks.
type receiveEnds struct {
	pending   atomic.Int32 // handlers that it still waits for, and the loop
	functions []func()
}

// also lets it wait for one more.
func (p *receiveEnds) add() *receiveEnds {
	if p != nil {
		p.pending.Add(1)
	}
	return p
}

func (p *receiveEnds) done() {
	if p == nil || p.pending.Add(-1) > 0 {
		return
	}
	for _, end := range slices.Backward(p.functions) {
		end()
	}
}
