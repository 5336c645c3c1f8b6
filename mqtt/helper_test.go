//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m, stopExampleServers) }

// plain starts a broker that accepts every client and sends small packets at once.
func plain(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
}

// url returns the address of a server on this machine.
func url(port int) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", port) }

// fast makes a client reconnect after at most 20 ms.
func fast() mqtt.Option { return mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0) }

// dial connects a client and closes it at the end of the test.
func dial(t testing.TB, port int, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	return dialAll(t, []string{url(port)}, options...)
}

func dialAll(t testing.TB, servers []string, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	c, err := mqtt.Dial(wait.Soon(t), servers, append([]mqtt.Option{fast(), mqtt.WithConnectRetry()}, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() { closeNow(t, c) })
	return c
}

// closeNow closes a client within 100 ms. Queued messages may be lost.
func closeNow(t testing.TB, c *mqtt.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx)
	wait.For(t, c.Done(), "the end of the client")
}

// collect returns a handler that sends each message on a channel.
func collect() (mqtt.Handler, <-chan mqtt.Message) {
	ch := make(chan mqtt.Message, 100_000)
	return func(_ context.Context, m mqtt.Message) { ch <- m }, ch
}
