package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// running is a client in Run, in a goroutine of its own.
type running struct {
	cancel context.CancelFunc
	ended  chan error
}

// run runs a client until the test ends.
func run(t testing.TB, c *mosquitto.Client) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan error, 1)}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.ended <- c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		await(t, gone, "the end of Run")
	})
	return r
}

// connectRun connects, runs and waits for the broker's acceptance.
func connectRun(t testing.TB, c *mosquitto.Client, e *events, port int) *running {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	r := run(t, c)
	require.NoError(t, await(t, e.connect, "OnConnect").Err())
	return r
}

func TestRunMovesMessages(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	r := connectRun(t, c, e, b.Port)
	subscribe(t, c, e, "a/#", 2)
	for i := range 30 {
		mid, err := c.Publish("a/b", fmt.Append(nil, i), mosquitto.QoS(i%3), false)
		require.NoError(t, err)
		require.NotZero(t, mid)
	}
	for range 30 {
		await(t, e.message, "OnMessage")
		await(t, e.publish, "OnPublish")
	}
	require.NoError(t, c.Disconnect())
	require.NoError(t, await(t, r.ended, "the end of Run"))
	require.Equal(t, 0, await(t, e.disconnect, "OnDisconnect").Code)
	require.Equal(t, -1, c.Socket())
}

func TestRunEndsWithItsContext(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	r := connectRun(t, c, e, b.Port)
	r.cancel()
	require.ErrorIs(t, await(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, 0, await(t, e.disconnect, "OnDisconnect").Code)
	require.Contains(t, b.Log(), "Client run disconnected.")

	// the client can be used again
	r = connectRun(t, c, e, b.Port)
	subscribe(t, c, e, "a", 1)
}

func TestRunReconnectsAfterARestart(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	connectRun(t, c, e, b.Port)
	b.Kill()
	require.NotZero(t, await(t, e.disconnect, "OnDisconnect").Code)
	b.Restart()
	require.NoError(t, await(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a", 1)
}

func TestRunFlood(t *testing.T) {
	const n = 300000
	p := peer.Listen(t)
	c, err := mosquitto.New("flood", true, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	done := make(chan struct{})
	got := 0
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		if got++; got == n {
			close(done)
		}
	})
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	run(t, c)
	conn := p.AcceptConnect()
	one := peer.Publish(0, "flood", 0, string(make([]byte, 64)))
	var burst []byte
	for range 1000 {
		burst = append(burst, one...)
	}
	start := time.Now()
	for range n / 1000 {
		conn.Send(burst)
	}
	await(t, done, "the last message")
	t.Logf("%.0f messages/s", n/time.Since(start).Seconds())
}
