//go:build cgo

package mqtt

import "context"

// Publisher is the part of a [Client] that publishes. Code that depends on it can be
// tested without a broker.
type Publisher interface {
	// Publish publishes a message as [Client.Publish] does.
	Publish(ctx context.Context, topic string, payload []byte, options ...PublishOption) error
	// PublishAsync queues a message as [Client.PublishAsync] does.
	PublishAsync(ctx context.Context, topic string, payload []byte, options ...PublishOption) *Token
}

// Subscriber is the part of a [Client] that subscribes.
type Subscriber interface {
	// Subscribe subscribes to a filter as [Client.Subscribe] does.
	Subscribe(ctx context.Context, filter string, qos QoS, h Handler, options ...SubscribeOption) error
	// Unsubscribe removes subscriptions as [Client.Unsubscribe] does.
	Unsubscribe(ctx context.Context, filters ...string) error
}

var (
	_ Publisher  = (*Client)(nil)
	_ Subscriber = (*Client)(nil)
)

// CompletedToken returns a token that has ended with err. A [Publisher] in a test can return
// it.
func CompletedToken(err error) *Token {
	t := &Token{done: make(chan struct{}), phase: completed, err: err}
	t.ended.Store(true)
	close(t.done)
	return t
}
