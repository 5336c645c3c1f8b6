package test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// drain reads and discards the client's packets until the connection is closed.
func drain(conn *fakebroker.Conn) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = conn.SetReadDeadline(time.Time{})
		_, _ = io.Copy(io.Discard, conn)
	}()
	return done
}

// OnPublish publishes the next message. Run still reads, and still ends.
func TestOnPublish_MayPublishTheNextMessage(t *testing.T) {
	for name, takes := range map[string]time.Duration{"fast": 0, "slow": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			conn, r := meetRun(t, c, e, p)
			drained := drain(conn)
			failed := make(chan error, 1)
			c.OnPublish(func(c *mosquitto.Client, _ int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
				time.Sleep(takes)
				if _, err := c.Publish("a", nil, 0, false); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
			for range 100 {
				_, err := c.Publish("a", nil, 0, false)
				require.NoError(t, err)
			}
			for range 5 {
				conn.Send(fakebroker.Publish(0, "a", 0, "x"))
				wait.For(t, e.message, "a message between the callbacks")
			}
			require.Empty(t, failed)
			r.cancel()
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
			wait.For(t, drained, "the end of the connection")
		})
	}
}

// OnPublish reports each QoS 0 message once and in order, even if the callback is slow
// sometimes.
func TestOnPublish_ReportsEachMessageOfQoS0InOrder(t *testing.T) {
	const messages = 20_000
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	conn, r := meetRun(t, c, e, p)
	drained := drain(conn)
	sent := make(chan int, messages)
	c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		if mid%1000 == 0 {
			time.Sleep(20 * time.Millisecond) // longer than a pass of the loop
		}
		sent <- mid
	})
	for i := range messages {
		mid, err := c.Publish("a", nil, 0, false)
		require.NoError(t, err)
		require.Equal(t, i+1, mid)
	}
	for i := range messages {
		require.Equal(t, i+1, wait.For(t, sent, "OnPublish"))
	}
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	wait.For(t, drained, "the end of the connection")
	require.Empty(t, sent)
}

func TestOnPublish_RunsWhileReadingIsPaused(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	conn, _ := meetRun(t, c, e, p)
	drain(conn)
	sent := make(chan int, 100)
	c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		time.Sleep(15 * time.Millisecond) // longer than a pass of the loop
		sent <- mid
	})
	require.NoError(t, c.PauseReading())
	for range 20 {
		_, err := c.Publish("a", nil, 0, false)
		require.NoError(t, err)
	}
	for i := range 20 {
		require.Equal(t, i+1, wait.For(t, sent, "OnPublish"))
	}
}

func TestOnPublish_PanicLeavesRunAsPanicError(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) { panic("ouch") })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	raised := make(chan any, 1)
	go func() {
		defer func() { raised <- recover() }()
		_ = c.Run(context.Background())
	}()
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	_, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	fault, ok := wait.For(t, raised, "the panic").(*mosquitto.PanicError)
	require.True(t, ok)
	require.Equal(t, "ouch", fault.Value)
	conn.ExpectClosed()
}
