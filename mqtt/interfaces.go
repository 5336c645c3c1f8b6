//go:build cgo

package mqtt

import "context"

// Publisher is the publishing part of a [Client]. Code that depends on it can be tested
// without a broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload []byte, options ...PublishOption) error
	PublishAsync(ctx context.Context, topic string, payload []byte, options ...PublishOption) *Token
}

// Subscriber is the subscribing part of a [Client].
type Subscriber interface {
	Subscribe(ctx context.Context, filter string, qos QoS, h Handler, options ...SubscribeOption) error
	Unsubscribe(ctx context.Context, filters ...string) error
}

var (
	_ Publisher  = (*Client)(nil)
	_ Subscriber = (*Client)(nil)
)

// CompletedToken returns a token that has ended with err. A [Publisher] in a test can return
// it.
func CompletedToken(err error) *Token {
	t := &Token{ended: make(chan struct{}), phase: completed, err: err}
	close(t.ended)
	return t
}
