//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// closedPort returns a port on which no server listens.
func closedPort(t *testing.T) int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The context of the waits ends at the same time as Close ends the messages. Each message must
// leave the queue exactly once.
func TestQueue_ContextThatEndsBesideCloseEndsAMessageOnce(t *testing.T) {
	for range 20 {
		c := dial(t, closedPort(t), mqtt.WithBackgroundConnect())
		cancellable, cancel := context.WithCancel(context.Background())
		ctx := observe(cancellable)
		var waits sync.WaitGroup
		for range 3000 {
			token := c.PublishAsync(t.Context(), "a", nil)
			waits.Add(1)
			go func() {
				defer waits.Done()
				_ = token.Wait(ctx)
			}()
		}
		wait.Until(t, "the waits", func() bool { return ctx.calls.Load() == 3000 })
		cancel()
		_ = c.Close(ctx)
		wait.For(t, c.Done(), "the end")
		waits.Wait()
		require.Zero(t, c.Stats().Queued)
	}
}

// Wait calls with a cancelled context run at the same time as the broker closes the connection
// and the message ends.
func TestQueue_MessageEndsBesideCancelledWaits(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.PUBLISH {
			c.Close()
			return true
		}
		return false
	})
	c := dial(t, b.port, mqtt.WithDeliveryAttempts(0))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for n := range 30 {
		token := c.PublishAsync(wait.Soon(t), fmt.Sprint(n), nil, mqtt.WithQoS(2))
		wait.Until(t, "the PUBLISH", func() bool { return len(b.published(fmt.Sprint(n))) > 0 })
		for range 2 {
			go func() {
				for {
					select {
					case <-token.Done():
						return
					default:
						_ = token.Wait(over)
					}
				}
			}()
		}
		wait.For(t, token.Done(), "the end of the token")
	}
}

// panicky is an outbox with a Put that panics.
type panicky struct{}

func (panicky) Put(*mqtt.Publication) (uint64, error) { panic("put") }

func (panicky) Delete(uint64) {}

func (panicky) Load(uint64, func(uint64, *mqtt.Publication) bool) error { return nil }

func TestQueue_PanicOfAnOutboxReleasesCapacity(t *testing.T) {
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithOutbox(panicky{}))
	require.Panics(t, func() { _ = c.Publish(context.Background(), "a", nil) })
	require.Zero(t, c.Stats().Queued)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	begun := time.Now()
	require.NoError(t, c.Close(ctx))
	require.Less(t, time.Since(begun), time.Second)
}

// The contexts of the calls end at the same time as Close. The hook must be called exactly once
// for each message.
func TestQueue_PublishHookReportsAnEndOnce(t *testing.T) {
	for range 10 {
		ended := make(chan struct{}, 100_000)
		c := dial(t, closedPort(t), mqtt.WithBackgroundConnect(), mqtt.WithHooks(mqtt.Hooks{Publish: func(context.Context, *mqtt.Publication) func(error) {
			return func(error) { ended <- struct{}{} }
		}}))
		cancellable, cancel := context.WithCancel(context.Background())
		ctx := observe(cancellable)
		returned := make(chan struct{}, 3000)
		for range 3000 {
			go func() { _ = c.Publish(ctx, "a", nil); returned <- struct{}{} }()
		}
		wait.Until(t, "the waits", func() bool { return ctx.calls.Load() == 3000 })
		cancel()
		_ = c.Close(ctx)
		for range 3000 {
			<-returned
		}
		<-c.Done()
		for range 3000 {
			wait.For(t, ended, "the outcomes")
		}
		wait.None(t, ended, "second outcome of a message")
		require.Zero(t, c.Stats().Queued)
	}
}

// acknowledgesNothing is a script that acknowledges no message.
func acknowledgesNothing(_ *brokerConn, p packet) bool { return p.Type() == fakebroker.PUBLISH }

// Publishers wait for capacity in the queue. Each acknowledgement wakes one publisher.
func TestQueue_EachAcknowledgementWakesAPublisher(t *testing.T) {
	t.Parallel()
	const capacity = 100
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port, mqtt.WithQueue(capacity, 1<<20, mqtt.WaitForRoom))
	for range capacity {
		c.PublishAsync(wait.Soon(t), "queued", nil)
	}
	wait.Until(t, "the first messages", func() bool { return len(b.published("queued")) >= 2 })
	queued := make(chan *mqtt.Token, 2)
	for n := range 2 {
		waiting := observe(context.Background())
		go func() { queued <- c.PublishAsync(waiting, "waits", nil) }()
		wait.For(t, waiting.waits, "a publisher that waits")
		wait.None(t, queued, "message in a queue that is full")
		b.conn().acknowledge(b.published("queued")[n])
		require.NoError(t, wait.For(t, queued, "the publisher that waits").Err())
		require.Equal(t, capacity, c.Stats().Queued)
	}
}

// The client must not search a long queue for each cancelled message: the test would exceed
// its time limit.
func TestQueue_ManyMessagesAreCancelled(t *testing.T) {
	t.Parallel()
	const messages = 200_000
	c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect(), mqtt.WithQueue(messages, 1<<30, mqtt.WaitForRoom))
	all := make([]*mqtt.Token, messages)
	for n := range all {
		all[n] = c.PublishAsync(context.Background(), "a", nil)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	limit := wait.Soon(t)
	for n := range all {
		require.NoError(t, limit.Err(), "%d of %d messages are cancelled", n, messages)
		err := all[len(all)-1-n].Wait(ended) // from the last to the first: a search from the front would take longest
		if !errors.Is(err, context.Canceled) || errors.Is(err, mqtt.ErrAbandoned) {
			require.FailNow(t, "not cancelled", "%v", err)
		}
	}
	require.Zero(t, c.Stats().Queued)
}
