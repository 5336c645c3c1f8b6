// Package harness has test helpers for the adapters.
package harness

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Broker starts a broker.
func Broker(t testing.TB) *broker.Broker { return broker.Start(t, broker.Config{}) }

// URL returns a broker's address.
func URL(b *broker.Broker) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port) }

// Dial connects a client. It is closed when the test ends.
func Dial(t testing.TB, b *broker.Broker, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	options = append([]mqtt.Option{mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0)}, options...)
	c, err := mqtt.Dial(wait.Soon(t), []string{URL(b)}, options...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = c.Close(ctx)
		wait.For(t, c.Done(), "the end of the client")
	})
	return c
}
