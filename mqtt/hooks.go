//go:build cgo

package mqtt

import (
	"context"
	"slices"
	"sync/atomic"
)

// Handler is called with each message of a subscription. ctx ends with the client. It
// holds the values that [Hooks] have added. By default handlers run on the loop
// goroutine: see [WithHandlerMode].
type Handler func(ctx context.Context, m Message)

// Hooks are functions that a client calls for its messages, for traces and metrics. They
// must return quickly and must not wait for the broker. Every field may be nil.
type Hooks struct {
	// Publish is called before a message is queued, with the caller's context and on the
	// caller's goroutine. It may add properties if the protocol is V5. If the returned
	// function is not nil, the client calls it exactly once with the outcome.
	Publish func(ctx context.Context, p *Publication) func(error)
	// Receive is called on the loop goroutine before the handlers of a message, which
	// get the returned context. If the returned function is not nil, the client calls it
	// after all handlers have returned, or when the message is dropped. With a [Worker]
	// the function runs on the worker's goroutine. For an iterator the function runs
	// when the message is queued.
	Receive func(ctx context.Context, m *Message) (context.Context, func())
	// SubscriptionLost is called when the broker refuses to restore a subscription after
	// a reconnect. The client tries the subscription again at the next reconnect.
	SubscriptionLost func(err *SubscribeError)
	// Dropped is called for each received message that a full queue drops: see
	// [Overflow].
	Dropped func(m *Message)
}

// Publication is an outgoing message.
type Publication struct {
	Topic      string     // the topic of the message
	Payload    []byte     // the payload; may be empty
	QoS        QoS        // 1 unless [WithQoS] sets it
	Retain     bool       // whether the broker stores the message for later subscribers
	Properties Properties // they need MQTT 5

	Protocol Protocol // the version of the connection, or of the attempt; set for hooks

	onlineOnly bool // the message is not queued without a connection
}

// size returns how many bytes of the queue's limit the message uses.
func (p *Publication) size() int {
	size := len(p.Topic) + len(p.Payload)
	for i := range p.Properties {
		q := &p.Properties[i]
		size += len(q.Name) + len(q.Text) + len(q.Data)
	}
	return size
}

// published runs the Publish hooks. The caller must call the result with the outcome,
// unless it is nil.
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

// received runs the Receive hooks of a message.
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

// receiveEnds calls the functions that Receive hooks returned, when all handlers of a
// message have returned. A nil *receiveEnds does nothing.
type receiveEnds struct {
	pending   atomic.Int32 // handlers that have not returned, plus 1 for the loop
	functions []func()
}

// add adds a handler whose return must be awaited.
func (p *receiveEnds) add() *receiveEnds {
	if p != nil {
		p.pending.Add(1)
	}
	return p
}

// done calls the functions if it was called for the last pending handler.
func (p *receiveEnds) done() {
	if p == nil || p.pending.Add(-1) > 0 {
		return
	}
	for _, end := range slices.Backward(p.functions) {
		end()
	}
}
