//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

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
		ctx, cancel := context.WithCancel(context.Background())
		var waits sync.WaitGroup
		for range 3000 {
			token := c.PublishAsync(t.Context(), "a", nil)
			waits.Add(1)
			go func() {
				defer waits.Done()
				_ = token.Wait(ctx)
			}()
		}
		time.Sleep(20 * time.Millisecond)
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
		ctx, cancel := context.WithCancel(context.Background())
		returned := make(chan struct{}, 3000)
		for range 3000 {
			go func() { _ = c.Publish(ctx, "a", nil); returned <- struct{}{} }()
		}
		time.Sleep(100 * time.Millisecond)
		cancel()
		_ = c.Close(ctx)
		for range 3000 {
			<-returned
		}
		<-c.Done()
		time.Sleep(50 * time.Millisecond)
		require.Len(t, ended, 3000)
		require.Zero(t, c.Stats().Queued)
	}
}
