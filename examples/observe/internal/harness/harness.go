// Package harness is what the tests of the adapters share.
package harness

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait; nothing takes that long.
const patience = 10 * time.Second

// Broker starts a broker.
func Broker(t testing.TB) *broker.Broker { return broker.Start(t, broker.Config{}) }

// URL is a broker's address.
func URL(b *broker.Broker) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port) }

// Soon is a context that bounds a call.
func Soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Dial connects a client that is closed when the test ends.
func Dial(t testing.TB, b *broker.Broker, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	options = append([]mqtt.Option{mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0)}, options...)
	c, err := mqtt.Dial(Soon(t), []string{URL(b)}, options...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = c.Close(ctx)
		Await(t, c.Done(), "the end of the client")
	})
	return c
}

// Await receives from a channel.
func Await[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
	}
	return v
}

// Eventually polls a condition that nothing tells of.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain for "+what)
		}
	}
}
