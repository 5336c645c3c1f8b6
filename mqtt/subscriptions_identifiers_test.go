//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// mergingBroker is a broker that sends one copy of a message with the identifiers of all
// matching subscriptions, as MQTT 5 allows [MQTT-3.3.4-4]. The Go library mochi, HiveMQ and
// others do so. When a connection has all filters, the broker sends a message of QoS 1, until
// it receives PUBACK.
type mergingBroker struct {
	filters      int // of a connection
	topic        string
	subscribed   map[int]int // filters by connection
	identifiers  map[int][]int
	acknowledged bool
}

// mergingOverlaps returns a broker that sends a message on topic when a connection has this
// number of filters.
func mergingOverlaps(topic string, filters int) *mergingBroker {
	return &mergingBroker{filters: filters, topic: topic, subscribed: map[int]int{}, identifiers: map[int][]int{}}
}

func (m *mergingBroker) reply(c *brokerConn, p packet) bool {
	switch p.Type() {
	case fakebroker.PUBACK:
		m.acknowledged = true
	case fakebroker.SUBSCRIBE:
		c.grant(p)
		m.subscribed[c.number] += len(p.filters())
		if id := p.subscriptionID(); id > 0 {
			m.identifiers[c.number] = append(m.identifiers[c.number], id)
		}
		if m.subscribed[c.number] == m.filters && !m.acknowledged {
			c.publish(1, m.topic, 1, "x", m.properties(c.number)...)
		}
		return true
	}
	return false
}

func (m *mergingBroker) properties(connection int) (props []fakebroker.Property) {
	for _, id := range m.identifiers[connection] {
		props = append(props, fakebroker.SubscriptionID(id))
	}
	return props
}

// identified reports whether a SUBSCRIBE of a connection has a subscription identifier.
func identified(b *fakeBroker, connection int) bool {
	for _, p := range b.received(fakebroker.SUBSCRIBE) {
		if p.connection == connection && p.subscriptionID() > 0 {
			return true
		}
	}
	return false
}

// libmosquitto closes the connection when a PUBLISH has two identifiers. The client reconnects
// and subscribes without identifiers. Both handlers get the message once.
func TestSubscriptionIdentifiers_SeveralInOneMessageAreSwitchedOff(t *testing.T) {
	t.Parallel()
	m := mergingOverlaps("a/b", 2)
	b := startFakeBroker(t, m.reply)
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	all, gotAll := collect()
	exact, gotExact := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a/#", 1, all))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a/b", 1, exact))
	for _, got := range []<-chan mqtt.Message{gotAll, gotExact} {
		require.Equal(t, "a/b", wait.For(t, got, "the message").Topic)
	}
	wait.Until(t, "PUBACK", func() bool { return len(b.received(fakebroker.PUBACK)) == 1 })
	require.True(t, identified(b, 1))
	require.False(t, identified(b, b.connections()))

	requireReconnects(t, b, c)
	require.True(t, subscribedOn(b, b.connections(), "a/#"))
	require.False(t, identified(b, b.connections()), "the client remembers that server")
	require.NoError(t, c.Publish(wait.Soon(t), "marker", nil)) // its acknowledgement is behind all messages
	wait.None(t, gotAll, "second copy")
	wait.None(t, gotExact, "second copy")
}

// The client also omits the identifiers of subscriptions that it makes before it is connected.
func TestSubscriptionIdentifiers_AreSwitchedOffAtTheFirstConnection(t *testing.T) {
	t.Parallel()
	m := mergingOverlaps("a/b", 2)
	b := startFakeBroker(t, m.reply)
	all, gotAll := collect()
	exact, gotExact := collect()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect(),
		mqtt.WithSubscription("a/#", 1, all), mqtt.WithSubscription("a/b", 1, exact))
	wait.For(t, gotAll, "the message")
	wait.For(t, gotExact, "the message")
	wait.Until(t, "PUBACK", func() bool { return len(b.received(fakebroker.PUBACK)) == 1 })
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.False(t, identified(b, b.connections()))
}

// The client uses identifiers again with another server.
func TestSubscriptionIdentifiers_OtherServersGetThem(t *testing.T) {
	t.Parallel()
	m := mergingOverlaps("a/b", 2)
	first, second := startFakeBroker(t, m.reply), startFakeBroker(t, nil)
	h, got := collect()
	c := dialAll(t, []string{url(first.port), url(second.port)}, mqtt.WithProtocol(mqtt.V5),
		mqtt.WithSubscription("a/#", 1, h), mqtt.WithSubscription("a/b", 1, ignore))
	wait.For(t, got, "the message")
	wait.Until(t, "PUBACK", func() bool { return len(first.received(fakebroker.PUBACK)) == 1 })
	require.Zero(t, second.connections())
	first.end() // new connections to it are closed at once
	wait.Until(t, "the other server", func() bool { return second.connections() > 0 })
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	wait.Until(t, "its subscriptions", func() bool { return subscribedOn(second, 1, "a/#") && subscribedOn(second, 1, "a/b") })
	require.True(t, identified(second, 1))
}

// Without identifiers messages are routed by their topics.
func TestSubscriptionIdentifiers_OptionSwitchesThemOff(t *testing.T) {
	t.Parallel()
	m := mergingOverlaps("a/b", 2)
	b := startFakeBroker(t, m.reply)
	all, gotAll := collect()
	exact, gotExact := collect()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithSubscriptionIdentifiers(false), mqtt.WithSubscription("a/#", 1, all))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a/b", 1, exact))
	wait.For(t, gotAll, "the message")
	wait.For(t, gotExact, "the message")
	requireReconnects(t, b, c)
	require.Equal(t, 2, b.connections())
	require.False(t, identified(b, 1))
	require.False(t, identified(b, 2))
}

// With the option set to true, the client uses identifiers as it does without it.
func TestSubscriptionIdentifiers_OptionLeavesThemOn(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, nil)
	dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithSubscriptionIdentifiers(true), mqtt.WithSubscription("a", 1, ignore))
	require.True(t, identified(b, 1))
}

// A response reaches its Request although it also matches another subscription.
func TestSubscriptionIdentifiers_RequestGetsItsResponse(t *testing.T) {
	t.Parallel()
	identifiers := map[int][]int{}
	var question *packet
	answered := false
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch p.Type() {
		case fakebroker.PUBACK:
			answered = true
		case fakebroker.SUBSCRIBE:
			if id := p.subscriptionID(); id > 0 {
				identifiers[c.number] = append(identifiers[c.number], id)
			}
			c.grant(p)
		case fakebroker.PUBLISH:
			question = &p
			c.acknowledge(p)
		default:
			return false
		}
		if question != nil && !answered && sendsResponseAfter(c, p) {
			topic, data := question.responseTopic(), question.correlationData()
			props := []fakebroker.Property{fakebroker.CorrelationData(data)}
			for _, id := range identifiers[c.number] {
				props = append(props, fakebroker.SubscriptionID(id))
			}
			c.publish(1, topic, 1, "answer", props...)
		}
		return true
	})
	h, got := collect()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithSubscription("#", 1, h))
	m, err := c.Request(wait.Soon(t), "question", []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "answer", string(m.Payload))
	require.Equal(t, "answer", string(wait.For(t, got, "the answer for the other subscription").Payload))
	require.True(t, identified(b, 1))
	require.False(t, identified(b, b.connections()))
}

// sendsResponseAfter reports whether the broker sends the response after this packet: after the
// request, and on later connections after the last SUBSCRIBE.
func sendsResponseAfter(c *brokerConn, p packet) bool {
	if p.Type() == fakebroker.PUBLISH {
		return c.number == 1
	}
	return c.number > 1 && p.Type() == fakebroker.SUBSCRIBE && len(p.names()) > 0 && p.names()[len(p.names())-1] != "#"
}
