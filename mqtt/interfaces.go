//go:build cgo

package mqtt

import "context"

// Publisher is the part of a [Client] that publishes: for code that is to be
// tested without a broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload []byte, options ...PublishOption) error
	PublishAsync(ctx context.Context, topic string, payload []byte, options ...PublishOption) *Token
}

// Subscriber is the part of a [Client] that subscribes.
type Subscriber interface {
	Subscribe(ctx context.Context, filter string, qos QoSLevel, h Handler, options ...SubscribeOption) error
	Unsubscribe(ctx context.Context, filters ...string) error
}

var (
	_ Publisher  = (*Client)(nil)
	_ Subscriber = (*Client)(nil)
)

// EndedToken is a token that has come to its end with err: for a [Publisher] of a
// test's.
func EndedToken(err error) *Token {
	t := &Token{ended: make(chan struct{}), phase: completed, err: err}
	close(t.ended)
	return t
}
