//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/leak"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m, endStage) }

// plain starts a broker that lets everybody in, and holds no small packets back.
func plain(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
}

// url is the address of a server on this machine.
func url(port int) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", port) }

// fast makes a client try again without much of a pause.
func fast() mqtt.Option { return mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0) }

// dial connects a client that is closed when the test ends.
func dial(t testing.TB, port int, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	return dialAll(t, []string{url(port)}, options...)
}

func dialAll(t testing.TB, servers []string, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	c, err := mqtt.Dial(wait.Soon(t), servers, append([]mqtt.Option{fast(), mqtt.WithConnectRetry()}, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() { shut(t, c) })
	return c
}

// shut ends a client at once: what it has not sent is not missed.
func shut(t testing.TB, c *mqtt.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx)
	wait.For(t, c.Done(), "the end of the client")
}

// collect is a handler that sends on a channel.
func collect() (mqtt.Handler, <-chan mqtt.Message) {
	ch := make(chan mqtt.Message, 100_000)
	return func(_ context.Context, m mqtt.Message) { ch <- m }, ch
}
