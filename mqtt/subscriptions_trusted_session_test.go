//go:build cgo

package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// trustsSession returns the options of a client that trusts its session.
func trustsSession(version mqtt.Protocol, options ...mqtt.Option) []mqtt.Option {
	return append([]mqtt.Option{
		mqtt.WithProtocol(version), mqtt.WithClientID("x"), mqtt.WithSession(time.Hour), mqtt.WithTrustedSession(),
	}, options...)
}

// keepsSession returns the script of a broker that has a session on these connections.
func keepsSession(connections ...int) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.CONNECT {
			return false
		}
		present := false
		for _, number := range connections {
			present = present || number == c.number
		}
		c.write(c.version.Connack(present, 0))
		return true
	}
}

func TestTrustedSession_FirstConnectionSendsNoSubscribe(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, keepsSession(1, 2, 4))
			h, got := collect()
			var granted mqtt.QoS
			c := dial(t, b.port, trustsSession(version, mqtt.WithSubscription("a", 2, h, mqtt.WithGrantedQoS(&granted)))...)
			require.EqualValues(t, 2, granted)
			for n, sent := range []int{0, 0, 1, 1} { // the session of the third connection is new
				b.conn().publish(0, "a", 0, "x")
				wait.For(t, got, "the message")
				require.Len(t, b.received(fakebroker.SUBSCRIBE), sent, "connection %d", n+1)
				requireReconnects(t, b, c)
			}
			require.Len(t, b.received(fakebroker.SUBSCRIBE), 2, "the fifth session is new too")
		})
	}
}

func TestTrustedSession_NewSessionGetsTheSubscriptions(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, keepsSession(2))
	c := dial(t, b.port, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore))...)
	require.True(t, subscribedOn(b, 1, "a"))
	requireReconnects(t, b, c)
	require.Len(t, b.received(fakebroker.SUBSCRIBE), 1)
}

func TestTrustedSession_RefusalInANewSessionIsReported(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, refusesFirst(1))
	_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore))...)
	var refused *mqtt.SubscribeError
	require.ErrorAs(t, err, &refused)
}

// The first connection is lost before SUBACK. The client sends the filter again on the next
// connection, although the broker has kept the session.
func TestTrustedSession_UnacknowledgedFilterIsSentAgain(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.SUBSCRIBE && c.number == 1 {
			c.Close()
			return true
		}
		return keepsSession(2)(c, p)
	})
	dial(t, b.port, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore))...)
	require.True(t, subscribedOn(b, 2, "a"))
}

// The client trusts the session only for filters of WithSubscription, and only until the
// program changes a subscription.
func TestTrustedSession_LaterCallsAreSent(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, keepsSession(1))
	c := dial(t, b.port, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore), mqtt.WithSubscription("b", 1, ignore))...)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 2, ignore))
	require.NoError(t, c.Subscribe(wait.Soon(t), "c", 1, ignore))
	require.NoError(t, c.Unsubscribe(wait.Soon(t), "b"))
	require.Len(t, b.received(fakebroker.SUBSCRIBE), 2)
	require.Equal(t, []fakebroker.Filter{{Name: "a", Options: 2}}, b.received(fakebroker.SUBSCRIBE)[0].filters())
	require.Equal(t, []string{"c"}, b.received(fakebroker.SUBSCRIBE)[1].names())
	require.Equal(t, []string{"b"}, b.received(fakebroker.UNSUBSCRIBE)[0].names())
}

// The program changes subscriptions before the first connection.
func TestTrustedSession_EarlierCallsAreSent(t *testing.T) {
	t.Parallel()
	c, start := lateBroker(t, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore), mqtt.WithSubscription("b", 1, ignore), mqtt.WithSubscription("c", 1, ignore))...)
	subscribed := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 2, ignore) })
	unsubscribed := inBackground(func() error { return c.Unsubscribe(wait.Soon(t), "b") })
	marker := make(chan error, 1)
	c.PublishAsync(context.Background(), "a", nil) // wakes the loop once
	go func() { marker <- c.AwaitConnected(wait.Soon(t)) }()
	wait.Until(t, "the calls", func() bool { return c.Stats().Queued == 1 })
	b := start(keepsSession(1))
	require.NoError(t, wait.For(t, subscribed, "Subscribe"))
	require.NoError(t, wait.For(t, unsubscribed, "Unsubscribe"))
	require.NoError(t, wait.For(t, marker, "the connection"))
	require.Len(t, b.received(fakebroker.SUBSCRIBE), 1)
	require.Equal(t, []fakebroker.Filter{{Name: "a", Options: 2}}, b.received(fakebroker.SUBSCRIBE)[0].filters())
	require.Equal(t, []string{"b"}, b.received(fakebroker.UNSUBSCRIBE)[0].names())
}

// Another server may have an older session, so the client sends the filters.
func TestTrustedSession_OtherServerGetsTheSubscriptions(t *testing.T) {
	t.Parallel()
	first, second := startFakeBroker(t, keepsSession(1)), startFakeBroker(t, keepsSession(1))
	dialAll(t, []string{url(first.port), url(second.port)}, trustsSession(mqtt.V5, mqtt.WithSubscription("a", 1, ignore))...)
	require.Empty(t, first.received(fakebroker.SUBSCRIBE))
	first.end()
	wait.Until(t, "SUBSCRIBE", func() bool { return subscribedOn(second, 1, "a") })
}

// Messages of the session have the subscription identifiers of an earlier process. A filter has
// the same identifier in every process. The client ignores unknown identifiers.
func TestTrustedSession_IdentifiersOfAnEarlierProcessReachTheHandlers(t *testing.T) {
	t.Parallel()
	filters := []string{"a/#", "a/+", "a/b"}
	earlier := startFakeBroker(t, nil)
	var options []mqtt.Option
	var got []<-chan mqtt.Message
	for _, filter := range filters {
		h, messages := collect()
		options, got = append(options, mqtt.WithSubscription(filter, 1, h)), append(got, messages)
	}
	dial(t, earlier.port, trustsSession(mqtt.V5, options...)...)
	b := startFakeBroker(t, keepsSession(1))
	c := dial(t, b.port, trustsSession(mqtt.V5, options...)...)
	for _, p := range earlier.received(fakebroker.SUBSCRIBE) {
		b.conn().publish(0, "a/b", 0, p.names()[0], fakebroker.SubscriptionID(p.subscriptionID()))
	}
	b.conn().publish(0, "a/b", 0, "unknown", fakebroker.SubscriptionID(1))
	b.conn().publish(0, "a/b", 0, "none")
	for i, filter := range filters {
		for _, want := range []string{filter, "unknown", "none"} {
			require.Equal(t, want, string(wait.For(t, got[i], "the message").Payload))
		}
	}
	require.NoError(t, c.Publish(wait.Soon(t), "marker", nil))
	for _, messages := range got {
		wait.None(t, messages, "second copy")
	}
	require.Empty(t, b.received(fakebroker.SUBSCRIBE))
}

// The broker sends several identifiers in one message, which the library cannot read. The client
// sends the filters again without identifiers.
func TestTrustedSession_IsRenewedWithoutIdentifiers(t *testing.T) {
	t.Parallel()
	h, got := collect()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT && c.number == 1:
			c.write(c.version.Connack(true, 0))
			c.publish(1, "a/b", 1, "x", fakebroker.SubscriptionID(1), fakebroker.SubscriptionID(2))
			return true
		case p.Type() == fakebroker.SUBSCRIBE:
			c.grant(p)
			if p.names()[0] == "a/b" || len(p.names()) > 1 {
				c.publish(1, "a/b", 1, "x")
			}
			return true
		}
		return keepsSession(2)(c, p)
	})
	dial(t, b.port, trustsSession(mqtt.V5, mqtt.WithSubscription("a/#", 1, ignore), mqtt.WithSubscription("a/b", 1, h))...)
	wait.For(t, got, "the message")
	require.True(t, subscribedOn(b, 2, "a/#"))
	require.True(t, subscribedOn(b, 2, "a/b"))
	require.False(t, identified(b, 2))
}

// Retained messages arrive at the first start only, queued messages at every start.
func TestTrustedSession_RetainedMessagesArriveOnce(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			b := broker.Start(t, broker.Config{})
			publisher := dial(t, b.Port)
			require.NoError(t, publisher.Publish(wait.Soon(t), "a/b", []byte("retained"), mqtt.WithRetain(true)))
			for start := range 3 {
				h, got := collect()
				c := dial(t, b.Port, trustsSession(version, mqtt.WithSubscription("a/#", 1, h), mqtt.WithSubscription("marker", 1, h))...)
				retained, queued := start == 0 || version == mqtt.V31, start > 0
				want := map[string]int{"marker": 1}
				if retained {
					want["retained"] = 1
				}
				if queued {
					want["queued"] = 1
				}
				require.NoError(t, publisher.Publish(wait.Soon(t), "marker", []byte("marker")))
				seen := map[string]int{}
				for seen["marker"] == 0 || retained && seen["retained"] == 0 || queued && seen["queued"] == 0 {
					seen[string(wait.For(t, got, "a message").Payload)]++
				}
				require.Equal(t, want, seen, "start %d", start)
				require.NoError(t, c.Close(wait.Soon(t)))
				wait.None(t, got, "message")
				require.NoError(t, publisher.Publish(wait.Soon(t), "a/b", []byte("queued")))
			}
		})
	}
}

func TestTrustedSession_NeedsASession(t *testing.T) {
	t.Parallel()
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1:1"}, mqtt.WithTrustedSession())
	require.ErrorContains(t, err, "WithTrustedSession: needs WithSession")
}
