//go:build cgo

package mqtt_test

import (
	"context"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestSubscribe_NilMeansAllFiltersAreGranted(t *testing.T) {
	t.Parallel()
	for range 10 {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V5)) // with subscription identifiers the client sends a SUBSCRIBE for each filter
		granted := make(chan struct{})
		ended := inBackground(func() error {
			return c.SubscribeMultiple(&lateContext{Context: context.Background(), until: func() bool {
				select {
				case <-granted:
					return c.Stats().Unhandled > 0
				default:
					return false
				}
			}}, mqtt.Subscription{Filter: "a", QoS: 1, Handler: ignore}, mqtt.Subscription{Filter: "b", QoS: 1, Handler: ignore})
		})
		conn.Expect(fakebroker.SUBSCRIBE)
		second := conn.Expect(fakebroker.SUBSCRIBE)
		conn.Send(fakebroker.V5.Suback(second.MID(), []byte{1}))
		conn.Send(fakebroker.PublishV5(0, "c", 0, nil, "")) // Stats.Unhandled counts this message: the client has read SUBACK
		close(granted)
		require.ErrorIs(t, wait.For(t, ended, "SubscribeMultiple"), context.Canceled, "the filter a is not granted")
	}
}

// The subscription is also removed from the broker.
func TestSubscribe_ContextThatEndsCancels(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() error { return c.Subscribe(ctx, "a", 1, ignore) })
	mid := conn.Expect(fakebroker.SUBSCRIBE).MID()
	cancel()
	require.ErrorIs(t, wait.For(t, ended, "Subscribe"), context.Canceled)
	conn.Send(fakebroker.V311.Suback(mid, []byte{1}))
	conn.Send(fakebroker.V311.Unsuback(conn.Expect(fakebroker.UNSUBSCRIBE).MID(), nil))
	conn.Close()
	conn = p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	c.PublishAsync(wait.Soon(t), "p", nil)
	conn.Expect(fakebroker.PUBLISH) // the client sends no SUBSCRIBE
}

// The library drops SUBSCRIBE and UNSUBSCRIBE when the connection is lost. The client sends
// them again.
func TestSubscribe_LostPacketIsSentAgain(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, mqtt.WithClientID("x"), mqtt.WithSession(-1))
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	for range 2 {
		conn.Expect(fakebroker.SUBSCRIBE)
		conn.Close()
		conn = p.AcceptConnect()
		wait.None(t, ended, "end of Subscribe")
	}
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	ended = inBackground(func() error { return c.Unsubscribe(wait.Soon(t), "a") })
	conn.Expect(fakebroker.UNSUBSCRIBE)
	wait.None(t, ended, "end of Unsubscribe")
	conn.Close()
	conn = p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(true, 0)) // the session is kept, so the client sends UNSUBSCRIBE again
	conn.Send(fakebroker.V311.Unsuback(conn.Expect(fakebroker.UNSUBSCRIBE).MID(), nil))
	require.NoError(t, wait.For(t, ended, "Unsubscribe"))
}

// The last call for a filter supersedes the earlier calls. The broker does not reply to the
// superseded calls.
func TestSubscribe_SupersededCallsEnd(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	const rounds = 50
	ended := make(chan error, 4*rounds)
	for range rounds {
		for _, call := range []func() error{
			func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) },
			func() error { return c.Unsubscribe(wait.Soon(t), "a") },
			func() error { return c.Unsubscribe(wait.Soon(t), "a") },
			func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) },
		} {
			go func() { ended <- call() }()
		}
	}
	for range 4 * rounds {
		require.NotErrorIs(t, wait.For(t, ended, "a call to return"), context.DeadlineExceeded)
	}
}

// The connection was lost before the broker replied to the first call.
func TestSubscribe_SupersededCallsEndAcrossALoss(t *testing.T) {
	t.Parallel()
	t.Run("Unsubscribe after Subscribe", func(t *testing.T) {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p)
		overtaken := inBackground(func() error { return c.Subscribe(context.Background(), "a", 1, ignore) })
		conn.Expect(fakebroker.SUBSCRIBE)
		last := inBackground(func() error { return c.Unsubscribe(context.Background(), "a") })
		require.ErrorIs(t, wait.For(t, overtaken, "Subscribe"), mqtt.ErrSuperseded)
		conn.Close()
		p.AcceptConnect()
		require.NoError(t, wait.For(t, last, "Unsubscribe"))
	})
	t.Run("Subscribe after Unsubscribe", func(t *testing.T) {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p)
		overtaken := inBackground(func() error { return c.Unsubscribe(context.Background(), "a") })
		conn.Expect(fakebroker.UNSUBSCRIBE)
		last := inBackground(func() error { return c.Subscribe(context.Background(), "a", 1, ignore) })
		require.ErrorIs(t, wait.For(t, overtaken, "Unsubscribe"), mqtt.ErrSuperseded)
		conn.Close()
		acknowledgeSubscribe(p.AcceptConnect(), 1)
		require.NoError(t, wait.For(t, last, "Subscribe"))
	})
}

// The fault proxy cuts the connection after each byte of the requests and of the replies.
func TestSubscribe_SurvivesACutAfterEachByte(t *testing.T) {
	t.Parallel()
	b, p := startProxiedBroker(t)
	c, direct := dial(t, p.Port), dial(t, b.Port)
	for _, d := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
		for after := range 24 {
			p.CutAfter(d, after)
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
			requireDelivery(t, direct, "a", got)
			p.CutAfter(d, after)
			require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
			p.CutAfter(d, -1)
		}
	}
}
