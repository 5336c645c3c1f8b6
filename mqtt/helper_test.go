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
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m, endStage) }

// patience bounds every wait of these tests; nothing takes that long.
const patience = 10 * time.Second

// soon is a context that bounds a call of a test.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await receives from a channel that a handler sends on.
func await[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
	}
	return v
}

// none asserts that nothing was sent on the channel.
func none[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		require.FailNow(t, "unexpected "+what, "%+v", v)
	default:
	}
}

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
	c, err := mqtt.Dial(soon(t), servers, append([]mqtt.Option{fast()}, options...)...)
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
	await(t, c.Done(), "the end of the client")
}

// collect is a handler that sends on a channel.
func collect() (mqtt.Handler, <-chan mqtt.Message) {
	ch := make(chan mqtt.Message, 100_000)
	return func(_ context.Context, m mqtt.Message) { ch <- m }, ch
}

// eventually polls a condition that nothing tells of.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain for "+what)
		}
	}
}
