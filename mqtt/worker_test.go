//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// After Unsubscribe has returned, the handler is not called for queued messages.
func TestWorker_StartsNoHandlerAfterUnsubscribe(t *testing.T) {
	t.Parallel()
	const queued = 100
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		return p.Type() == fakebroker.SUBSCRIBE && p.names()[0] == "a" && publishesAfterSubscribe("a", queued)(c, p)
	})
	c := dial(t, b.port, mqtt.WithHandlerMode(mqtt.Worker(1000, mqtt.Block)))
	started, release := make(chan string, queued), make(chan struct{})
	defer func() { closeOnce(release) }()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(_ context.Context, m mqtt.Message) {
		started <- string(m.Payload)
		<-release
	}))
	require.Equal(t, "0", wait.For(t, started, "the first message"))
	wait.Until(t, "the other messages", func() bool { return c.Stats().Received == queued })
	require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
	closeOnce(release)
	requireWorkerIsIdle(t, b, c)
	wait.None(t, started, "message that a handler got after Unsubscribe")
}

// The handler itself calls Unsubscribe.
func TestWorker_StartsNoHandlerAfterItsUnsubscribe(t *testing.T) {
	t.Parallel()
	const queued = 100
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		return p.Type() == fakebroker.SUBSCRIBE && p.names()[0] == "a" && publishesAfterSubscribe("a", queued)(c, p)
	})
	c := dial(t, b.port, mqtt.WithHandlerMode(mqtt.Worker(1000, mqtt.Block)))
	unsubscribed := make(chan error, queued)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, _ mqtt.Message) {
		for c.Stats().Received < queued && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		unsubscribed <- c.Unsubscribe(ctx, "a")
	}))
	require.NoError(t, wait.For(t, unsubscribed, "Unsubscribe"))
	requireWorkerIsIdle(t, b, c)
	wait.None(t, unsubscribed, "message that a handler got after Unsubscribe")
}

// A handler that replaces another handler gets all later messages. The replaced handler gets no
// later message.
func TestWorker_StartsOnlyTheHandlerThatReplaced(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithHandlerMode(mqtt.Worker(1000, mqtt.Block)))
	first, gotFirst := collect()
	second, gotSecond := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, first))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, second))
	b.conn().publish(0, "a", 0, "x")
	wait.For(t, gotSecond, "a message")
	wait.None(t, gotFirst, "message for the handler that was replaced")
}

// requireWorkerIsIdle waits until the worker has handled a message that is queued
// behind all others.
func requireWorkerIsIdle(t *testing.T, b *fakeBroker, c *mqtt.Client) {
	t.Helper()
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "end", 1, h))
	b.conn().publish(0, "end", 0, "x")
	wait.For(t, got, "the message behind all others")
}

// A handler waits for goroutines that publish. Their acknowledgements are behind more messages
// than the queue of the worker can hold.
func TestWorker_MayWaitForGoroutinesThatPublish(t *testing.T) {
	t.Parallel()
	const messages, goroutines = 50, 3
	for _, bound := range []int{1, 4} {
		t.Run(fmt.Sprint("queue of ", bound), func(t *testing.T) {
			t.Parallel()
			flooded := false
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() == fakebroker.PUBLISH && !flooded {
					flooded = true
					for n := range messages - 1 {
						c.publish(0, "a", 0, fmt.Sprint(n+1))
					}
				}
				return p.Type() == fakebroker.SUBSCRIBE && publishesAfterSubscribe("a", 1)(c, p)
			})
			c := dial(t, b.port, mqtt.WithHandlerMode(mqtt.Worker(bound, mqtt.Block)))
			handled := make(chan error, messages)
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
				var all sync.WaitGroup
				errs := make([]error, goroutines)
				for n := range goroutines {
					all.Add(1)
					go func() {
						defer all.Done()
						errs[n] = c.Publish(ctx, "answer", m.Payload)
					}()
				}
				all.Wait()
				handled <- errors.Join(errs...)
			}))
			for range messages {
				require.NoError(t, wait.For(t, handled, "a handler"))
			}
			require.Len(t, b.published("answer"), messages*goroutines)
		})
	}
}

// A slow handler that makes no call of this client causes backpressure: the client stops reading
// and the queue does not grow.
func TestWorker_SlowHandlerCausesBackpressure(t *testing.T) {
	t.Parallel()
	const bound, some, messages = 10, 20, 5000
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithHandlerMode(mqtt.Worker(bound, mqtt.Block)), mqtt.WithKeepAlive(5*time.Second))
	first, release := make(chan struct{}), make(chan struct{})
	defer func() { closeOnce(release) }()
	var handled atomic.Int32
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(context.Context, mqtt.Message) {
		if handled.Add(1) == 1 {
			close(first)
			<-release
		}
	}))
	conn := b.conn()
	var batch []byte
	for n := range messages {
		batch = append(batch, conn.version.Publish(0, "a", 0, fmt.Sprintf("%0100d", n))...)
	}
	sent := inBackground(func() error {
		conn.write(batch)
		return nil
	})
	wait.For(t, first, "the first message")
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		require.LessOrEqual(t, c.Stats().Handling, bound+some)
	}
	require.Positive(t, c.Stats().Handling)
	closeOnce(release)
	require.NoError(t, wait.For(t, sent, "the end of the messages"))
	wait.Until(t, "all messages", func() bool { return handled.Load() == messages })
	require.EqualValues(t, 1, c.Stats().Connects)
	require.Zero(t, c.Stats().Dropped)
}

func TestWorker_MayPublish(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port, mqtt.WithHandlerMode(mqtt.Worker(4, mqtt.Block)))
	ended := make(chan error, 1000)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
		ended <- c.Publish(ctx, "b", m.Payload)
	}))
	for i := range 300 {
		require.NoError(t, c.Publish(wait.Soon(t), "a", fmt.Append(nil, i)))
	}
	for range 300 {
		require.NoError(t, wait.For(t, ended, "Publish in a handler"))
	}
}
