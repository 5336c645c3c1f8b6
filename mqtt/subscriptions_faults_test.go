//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// requireDelivery publishes on a topic until a message arrives.
func requireDelivery(t *testing.T, direct *mqtt.Client, topic string, got <-chan mqtt.Message) {
	t.Helper()
	for len(got) > 0 {
		<-got
	}
	wait.Until(t, "a message on "+topic, func() bool {
		require.NoError(t, direct.Publish(wait.Soon(t), topic, nil))
		return len(got) > 0
	})
}

// Subscriptions survive whether or not the broker has kept the session. Subscriptions that
// the program removed receive no messages.
func TestSubscriptions_SurviveFaults(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			duringEachFault(t, []mqtt.Option{mqtt.WithProtocol(version)}, func(t *testing.T, x networkFault, p *faultproxy.Proxy, c, direct *mqtt.Client) {
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
				requireDelivery(t, direct, t.Name()+"iterator", iterated)
				x.begin(p)
				meanwhile := inBackground(func() error { return subscribe(context.Background(), t.Name()+"meanwhile") })
				given, back := collect()
				if c.Subscribe(context100ms(t), t.Name()+"removed", 1, given) == nil {
					require.True(t, isDocumentedError(c.Unsubscribe(context100ms(t), t.Name()+"removed")))
				}
				x.end(p)
				require.NoError(t, wait.For(t, meanwhile, "Subscribe"))
				for filter, got := range filters {
					requireDelivery(t, direct, filter, got)
				}
				wait.None(t, back, "message of a removed subscription")
				cancel()
				wait.For(t, ended, "the end of the iterator")
			})
		})
	}
}

// After the kill the broker restores an older session from its disk, which lacks the newer
// subscriptions. Its CONNACK reports that it kept the session.
func TestSubscriptions_OlderSessionOfAKilledBrokerIsUpdated(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Persistence: true})
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithClientID("id"), mqtt.WithSession(time.Hour))
	require.NoError(t, c.Publish(wait.Soon(t), "old", []byte("retained"), mqtt.WithRetain(true)))
	h, old := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "old", 0, h)) // with QoS 1 the broker may send it again, if it stops before it receives PUBACK
	require.Equal(t, "retained", string(wait.For(t, old, "the retained message").Payload))
	restart := func(end func()) {
		end()
		wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
		b.Restart()
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
	restart(b.Stop) // saves the session
	h, latest := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "new", 1, h))
	restart(b.Kill)
	direct := dial(t, b.Port)
	requireDelivery(t, direct, "new", latest)
	require.NoError(t, direct.Publish(wait.Soon(t), "old", []byte("another")))
	require.Equal(t, "another", string(wait.For(t, old, "a message").Payload), "the retained message must arrive once only")
}

// Also if the connection is lost before SUBACK. The client requests retained messages again
// only for filters that were never granted.
func TestSubscriptions_ResubscribeAsksForNoRetainedMessages(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
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
		conn.Expect(fakebroker.CONNECT)
		conn.Send(fakebroker.V5.Connack(connection.kept, 0))
		subscribe := conn.Expect(fakebroker.SUBSCRIBE)
		require.Equal(t, connection.options, subscribe.Body[len(subscribe.Body)-1])
		if connection.answered {
			conn.Send(fakebroker.V5.Suback(subscribe.MID(), []byte{1}))
			require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		}
		conn.Close()
	}
}

// The first Subscribe is cancelled, then the second. The client must not restore the handler
// of the first.
func TestSubscriptions_CancelledHandlerIsNotRestored(t *testing.T) {
	t.Parallel()
	b, p := startProxiedBroker(t)
	c, direct := dial(t, p.Port), dial(t, b.Port)
	kept, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, kept))
	p.Stall(faultproxy.Both)
	subscribe := func() (never <-chan mqtt.Message, cancel func(), ended <-chan error) {
		h, never := collect()
		ctx, cancel := context.WithCancel(context.Background())
		waiting := observe(ctx)
		ended = inBackground(func() error { return c.Subscribe(waiting, "a", 1, h) })
		wait.For(t, waiting.waits, "Subscribe")
		return never, cancel, ended
	}
	first, cancelFirst, firstEnded := subscribe()
	second, cancelSecond, secondEnded := subscribe()
	cancelFirst()
	require.ErrorIs(t, wait.For(t, firstEnded, "the first call"), context.Canceled)
	cancelSecond()
	require.ErrorIs(t, wait.For(t, secondEnded, "the second call"), context.Canceled)
	p.Resume(faultproxy.Both)
	requireDelivery(t, direct, "a", got)
	wait.None(t, first, "message for a cancelled handler")
	wait.None(t, second, "message for a cancelled handler")
}
