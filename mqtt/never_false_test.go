//go:build cgo

package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// Never: a success for what was not acknowledged.

// late is a context that has ended, but lets it be known only when a condition
// holds: then the end of the wait and of the context come in the same moment.
type late struct {
	context.Context
	until func() bool
}

func (l late) Err() error { return nil }

func (l late) Done() <-chan struct{} {
	for !l.until() {
		time.Sleep(100 * time.Microsecond)
	}
	ended := make(chan struct{})
	close(ended)
	return ended
}

// What is left of a wait that ended in the same moment as its context is not the
// end of the next.
func TestNeverFalseAfterContextEndsWithTheAnswer(t *testing.T) {
	_, proxy := proxied(t)
	c := dial(t, proxy.Port)
	for range 50 {
		before := c.Stats().Published
		err := c.Publish(late{context.Background(), func() bool { return c.Stats().Published > before }}, "a", nil)
		require.NoError(t, err)
	}
	proxy.Stall(2)
	for range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		require.ErrorIs(t, c.Publish(ctx, "a", nil), context.DeadlineExceeded)
		cancel()
	}
}

// A call with several filters is granted when all are.
func TestNeverFalseForOneFilterOfTwo(t *testing.T) {
	t.Parallel()
	for range 10 {
		p := peer.Listen(t)
		c, conn := meet(t, p, mqtt.WithProtocol(mqtt.V5)) // with identifiers each filter has a packet
		granted := make(chan struct{})
		ended := outcome(func() error {
			return c.SubscribeMultiple(late{context.Background(), func() bool {
				select {
				case <-granted:
					return c.Stats().Unhandled > 0
				default:
					return false
				}
			}}, mqtt.Subscription{Filter: "a", QoS: 1, Handler: ignore}, mqtt.Subscription{Filter: "b", QoS: 1, Handler: ignore})
		})
		conn.Expect(peer.SUBSCRIBE)
		second := conn.Expect(peer.SUBSCRIBE)
		conn.Send(peer.V5.Suback(second.MID(), []byte{1}))
		conn.Send(peer.PublishV5(0, "c", 0, nil, "")) // what tells that the answer was read
		close(granted)
		require.Error(t, await(t, ended, "the calls"), "a is not granted")
	}
}
