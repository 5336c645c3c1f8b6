//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// reached publishes on a topic until something comes.
func reached(t *testing.T, direct *mqtt.Client, topic string, got <-chan mqtt.Message) {
	t.Helper()
	for len(got) > 0 {
		<-got
	}
	wait.Until(t, "a message on "+topic, func() bool {
		require.NoError(t, direct.Publish(wait.Soon(t), topic, nil))
		return len(got) > 0
	})
}

// Whether or not the broker has kept the session. Removed subscriptions receive nothing.
func TestDelivery_SubscriptionsSurviveFaults(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			during(t, []mqtt.Option{mqtt.WithProtocol(version)}, func(t *testing.T, x trouble, p *fault.Proxy, c, direct *mqtt.Client) {
				filters := map[string]<-chan mqtt.Message{}
				subscribe := func(ctx context.Context, filter string) error {
					h, got := collect()
					filters[filter] = got
					return c.Subscribe(ctx, filter, 1, h)
				}
				for n := range 20 {
					require.NoError(t, subscribe(wait.Soon(t), fmt.Sprint(t.Name(), n)))
				}
				ctx, cancel := context.WithCancel(context.Background())
				iterated, ended := make(chan mqtt.Message, 100_000), make(chan bool)
				go func() {
					defer close(ended)
					for m, err := range c.Messages(ctx, t.Name()+"iterator", 1) {
						if err == nil {
							iterated <- m
						}
					}
				}()
				filters[t.Name()+"iterator"] = iterated
				reached(t, direct, t.Name()+"iterator", iterated)
				x.begin(p)
				meanwhile := outcome(func() error { return subscribe(context.Background(), t.Name()+"meanwhile") })
				given, back := collect()
				if c.Subscribe(brief(t), t.Name()+"given up", 1, given) == nil {
					require.True(t, expected(c.Unsubscribe(brief(t), t.Name()+"given up")))
				}
				x.end(p)
				require.NoError(t, wait.For(t, meanwhile, "Subscribe"))
				for filter, got := range filters {
					reached(t, direct, filter, got)
				}
				wait.None(t, back, "message of a subscription that was taken back")
				cancel()
				wait.For(t, ended, "the end of the iterator")
			})
		})
	}
}

// The broker restores the session that it has saved last, and says that it has kept the session.
func TestDelivery_OlderSessionOfAKilledBroker(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Persistence: true})
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithClientID("id"), mqtt.WithSession(time.Hour))
	require.NoError(t, c.Publish(wait.Soon(t), "old", []byte("retained"), mqtt.WithRetain(true)))
	h, old := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "old", 0, h)) // with QoS 1 it may come again, if the broker stops before its PUBACK
	require.Equal(t, "retained", string(wait.For(t, old, "the retained message").Payload))
	restart := func(end func()) {
		end()
		wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
		b.Restart()
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
	restart(b.Stop) // which saves
	h, latest := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "new", 1, h))
	restart(b.Kill)
	direct := dial(t, b.Port)
	reached(t, direct, "new", latest)
	require.NoError(t, direct.Publish(wait.Soon(t), "old", []byte("another")))
	require.Equal(t, "another", string(wait.For(t, old, "a message").Payload), "the retained one came once")
}

// Also if the connection is lost before SUBACK. A filter that was never granted asks for them.
func TestDelivery_ResubscribeAsksForNoRetainedMessages(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	session := []mqtt.Option{mqtt.WithProtocol(mqtt.V5), mqtt.WithClientID("id"), mqtt.WithSession(time.Hour)}
	c := dial(t, p.Port, append(session, mqtt.WithBackgroundConnect(), mqtt.WithSubscription("a", 1, ignore))...)
	const asAlways, onlyIfNew = 0x01, 0x11
	for _, connection := range []struct {
		kept     bool
		options  byte
		answered bool
	}{
		{false, asAlways, false},
		{true, asAlways, true},
		{true, onlyIfNew, false},
		{true, onlyIfNew, false},
		{true, onlyIfNew, true},
		{true, onlyIfNew, true},
		{false, asAlways, false},
		{true, asAlways, true},
	} {
		conn := p.Accept()
		conn.Expect(peer.CONNECT)
		conn.Send(peer.V5.Connack(connection.kept, 0))
		subscribe := conn.Expect(peer.SUBSCRIBE)
		require.Equal(t, connection.options, subscribe.Body[len(subscribe.Body)-1])
		if connection.answered {
			conn.Send(peer.V5.Suback(subscribe.MID(), []byte{1}))
			require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		}
		conn.Close()
	}
}

// The connection ends after each byte of the requests, and of their replies.
func TestDelivery_SubscribeWithACutAfterEachByte(t *testing.T) {
	t.Parallel()
	b, p := proxied(t)
	c, direct := dial(t, p.Port), dial(t, b.Port)
	for _, d := range []fault.Direction{fault.Up, fault.Down} {
		for after := range 24 {
			p.CutAfter(d, after)
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
			reached(t, direct, "a", got)
			p.CutAfter(d, after)
			require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
			p.CutAfter(d, -1)
		}
	}
}

// asked is a context that tells when a call begins to wait for its end.
type asked struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func ask(ctx context.Context) *asked { return &asked{Context: ctx, waits: make(chan struct{})} }

func (a *asked) Done() <-chan struct{} {
	a.once.Do(func() { close(a.waits) })
	return a.Context.Done()
}

// A handler whose call was cancelled does not return with its successor, when that is cancelled, too.
func TestDelivery_CancelledHandlerDoesNotReturn(t *testing.T) {
	t.Parallel()
	b, p := proxied(t)
	c, direct := dial(t, p.Port), dial(t, b.Port)
	kept, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, kept))
	p.Stall(fault.Both)
	subscribe := func() (never <-chan mqtt.Message, cancel func(), ended <-chan error) {
		h, never := collect()
		ctx, cancel := context.WithCancel(context.Background())
		waiting := ask(ctx)
		ended = outcome(func() error { return c.Subscribe(waiting, "a", 1, h) })
		wait.For(t, waiting.waits, "Subscribe")
		return never, cancel, ended
	}
	first, cancelFirst, firstEnded := subscribe()
	second, cancelSecond, secondEnded := subscribe()
	cancelFirst()
	require.ErrorIs(t, wait.For(t, firstEnded, "the first call"), context.Canceled)
	cancelSecond()
	require.ErrorIs(t, wait.For(t, secondEnded, "the second call"), context.Canceled)
	p.Resume(fault.Both)
	reached(t, direct, "a", got)
	wait.None(t, first, "message for a handler that was given up")
	wait.None(t, second, "message for a handler that was given up")
}
