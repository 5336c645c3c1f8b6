//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// aliasDialog connects a client that assigns aliases to a broker with CONNACK properties.
func aliasDialog(t testing.TB, props []fakebroker.Property, options ...mqtt.Option) (*mqtt.Client, *fakebroker.Broker, *fakebroker.Dialog) {
	t.Helper()
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, append(options, mqtt.WithProtocol(mqtt.V5), mqtt.WithAutomaticTopicAliases(), mqtt.WithBackgroundConnect())...)
	return c, p, acceptV5(t, c, p, props...)
}

// acceptV5 accepts the next connection of a client.
func acceptV5(t testing.TB, c *mqtt.Client, p *fakebroker.Broker, props ...fakebroker.Property) *fakebroker.Dialog {
	t.Helper()
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V5.Connack(false, 0, props...))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	return conn.Dialog()
}

// publish0 publishes messages of QoS 0 without waiting.
func publish0(t testing.TB, c *mqtt.Client, topic, payload string, options ...mqtt.PublishOption) *mqtt.Token {
	t.Helper()
	return c.PublishAsync(wait.Soon(t), topic, []byte(payload), append([]mqtt.PublishOption{mqtt.WithQoS(0)}, options...)...)
}

// The first two topics get the aliases, beginning with the highest. No alias is left for the
// third topic.
func TestAutomaticTopicAliases_FirstTopicsGetThem(t *testing.T) {
	t.Parallel()
	c, _, d := aliasDialog(t, []fakebroker.Property{fakebroker.TopicAliasMaximum(2)})
	for range 2 {
		publish0(t, c, "topic/1", "a")
	}
	publish0(t, c, "topic/2", "b", mqtt.WithRetain(true), mqtt.WithUserProperty("k", "v"))
	publish0(t, c, "topic/2", "b", mqtt.WithRetain(true), mqtt.WithUserProperty("k", "v"))
	publish0(t, c, "topic/3", "c")
	publish0(t, c, "topic/3", "c")
	publish0(t, c, "topic/1", "d")
	d.Expect(
		`30 < 'topic/1' < 23 00 02 > "a" >`, `30 < '' < 23 00 02 > "a" >`,
		`31 < 'topic/2' < 26 'k' 'v' 23 00 01 > "b" >`, `31 < '' < 26 'k' 'v' 23 00 01 > "b" >`,
		`30 < 'topic/3' <> "c" >`, `30 < 'topic/3' <> "c" >`,
		`30 < '' < 23 00 02 > "d" >`)
}

// Messages of QoS 1 and 2 keep their topics, and so do short topics.
func TestAutomaticTopicAliases_OtherMessagesKeepTheirTopic(t *testing.T) {
	t.Parallel()
	c, _, d := aliasDialog(t, []fakebroker.Property{fakebroker.TopicAliasMaximum(9)})
	publish0(t, c, "topic/1", "a")
	c.PublishAsync(wait.Soon(t), "topic/1", []byte("b"), mqtt.WithQoS(1))
	c.PublishAsync(wait.Soon(t), "topic/1", []byte("c"), mqtt.WithQoS(2))
	publish0(t, c, "abc", "d")
	d.Expect(`30 < 'topic/1' < 23 00 09 > "a" >`, `32 < 'topic/1' ?? ?? <> "b" >`, `34 < 'topic/1' ?? ?? <> "c" >`, `30 < 'abc' <> "d" >`)
}

func TestAutomaticTopicAliases_AreNotUsedWithoutBrokerSupport(t *testing.T) {
	t.Parallel()
	c, _, d := aliasDialog(t, nil)
	for range 2 {
		publish0(t, c, "topic/1", "a")
		d.Expect(`30 < 'topic/1' <> "a" >`)
	}
	b := startFakeBroker(t, nil) // MQTT 3.1.1 has no aliases
	v3 := dial(t, b.port, mqtt.WithProtocol(mqtt.V311, mqtt.V5), mqtt.WithAutomaticTopicAliases())
	for range 2 {
		require.NoError(t, v3.Publish(wait.Soon(t), "topic/1", nil, mqtt.WithQoS(0)))
	}
	wait.Until(t, "PUBLISH", func() bool { return len(b.published("topic/1")) == 2 })
}

// Each connection has its own aliases, and its own limit.
func TestAutomaticTopicAliases_EndWithTheConnection(t *testing.T) {
	t.Parallel()
	option, changes := watchStates()
	c, p, d := aliasDialog(t, []fakebroker.Property{fakebroker.TopicAliasMaximum(3)}, option)
	for _, limit := range []uint16{3, 1, 2} {
		publish0(t, c, "topic/1", "a")
		publish0(t, c, "topic/1", "b")
		alias := fmt.Sprintf("23 00 %02X", limit)
		d.Expect(`30 < 'topic/1' < `+alias+` > "a" >`, `30 < '' < `+alias+` > "b" >`)
		d.Close()
		awaitState(t, changes, mqtt.StateDisconnected)
		next := map[uint16]uint16{3: 1, 1: 2, 2: 2}[limit]
		d = acceptV5(t, c, p, fakebroker.TopicAliasMaximum(next))
	}
}

// The client does not assign an alias that the program uses.
func TestAutomaticTopicAliases_ProgramHasPrecedence(t *testing.T) {
	t.Parallel()
	option, changes := watchStates()
	c, p, d := aliasDialog(t, []fakebroker.Property{fakebroker.TopicAliasMaximum(3)}, option)
	publish0(t, c, "topic/1", "a")
	d.Expect(`30 < 'topic/1' < 23 00 03 > "a" >`)
	err := publish0(t, c, "", "b", mqtt.WithTopicAlias(3)).Wait(wait.Soon(t)) // the broker would take it for a message on topic/1
	var refused *mqtt.PublishError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, mqtt.RCTopicAliasInvalid, refused.Code)
	publish0(t, c, "topic/2", "c", mqtt.WithTopicAlias(3))
	publish0(t, c, "", "d", mqtt.WithTopicAlias(3))
	publish0(t, c, "topic/1", "e") // a new alias
	publish0(t, c, "topic/1", "f")
	c.PublishAsync(wait.Soon(t), "topic/3", []byte("g"), mqtt.WithQoS(1), mqtt.WithTopicAlias(1))
	publish0(t, c, "topic/4", "h") // no alias is left
	d.Expect(`30 < 'topic/2' < 23 00 03 > "c" >`, `30 < '' < 23 00 03 > "d" >`,
		`30 < 'topic/1' < 23 00 02 > "e" >`, `30 < '' < 23 00 02 > "f" >`,
		`32 < 'topic/3' ?? ?? < 23 00 01 > "g" >`, `30 < 'topic/4' <> "h" >`)
	d.Close()
	awaitState(t, changes, mqtt.StateDisconnected)
	d = acceptV5(t, c, p, fakebroker.TopicAliasMaximum(3))
	publish0(t, c, "topic/5", "i")
	publish0(t, c, "topic/6", "j")
	d.Expect(`3A < 'topic/3' ?? ?? < 23 00 01 > "g" >`, // sent again by the library
		`30 < 'topic/5' < 23 00 02 > "i" >`, `30 < 'topic/6' <> "j" >`)
}

// An alias must not make a packet larger than the broker's maximum. The limit applies to the
// packet with both the topic and the alias.
func TestAutomaticTopicAliases_PacketStaysWithinTheMaximumSize(t *testing.T) {
	t.Parallel()
	const limit = 50 // a packet of topic/1 has 12 bytes and the payload; 3 more with an alias
	c, _, d := aliasDialog(t, []fakebroker.Property{fakebroker.TopicAliasMaximum(9), fakebroker.MaximumPacketSize(limit)})
	large := strings.Repeat("x", limit-12)
	publish0(t, c, "topic/1", large)
	publish0(t, c, "topic/1", large[3:])
	publish0(t, c, "topic/1", large)
	d.Expect(`30 < 'topic/1' <> "`+large+`" >`, `30 < 'topic/1' < 23 00 09 > "`+large[3:]+`" >`, `30 < '' < 23 00 09 > "`+large+`" >`)
	var refused *mqtt.PublishError
	require.ErrorAs(t, publish0(t, c, "topic/1", large+"x").Wait(wait.Soon(t)), &refused)
	require.Equal(t, mqtt.RCPacketTooLarge, refused.Code)
	require.Equal(t, "topic/1", refused.Topic)
}

// Subscribers receive the topics, also across restarts of the broker. Hooks get the topics.
func TestAutomaticTopicAliases_SubscribersGetTheTopics(t *testing.T) {
	t.Parallel()
	b := plain(t)
	h, got := collect()
	subscriber := dial(t, b.Port, mqtt.WithSubscription("#", 0, h))
	hooked := make(chan string, 1000)
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithAutomaticTopicAliases(), mqtt.WithHooks(mqtt.Hooks{
		Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
			return func(error) { hooked <- p.Topic }
		},
	}))
	for round := range 3 {
		k, _ := c.Connack()
		require.Positive(t, k.TopicAliasMaximum)
		for i := range 60 { // more topics than aliases
			topic := fmt.Sprintf("topic/%d", i*(round+1)%(k.TopicAliasMaximum+5))
			require.NoError(t, c.Publish(wait.Soon(t), topic, []byte(topic), mqtt.WithQoS(0)))
			require.Equal(t, topic, wait.For(t, hooked, "the hook"))
			m := wait.For(t, got, "the message")
			require.Equal(t, topic, m.Topic)
			require.Equal(t, topic, string(m.Payload))
		}
		b.Restart()
		wait.Until(t, "the restart", func() bool {
			return c.Stats().Connects >= uint64(round+2) && subscriber.Stats().Connects >= uint64(round+2)
		})
		require.NoError(t, subscriber.AwaitConnected(wait.Soon(t)))
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
}

// aliasing returns the script of a broker that sends messages with aliases when a client
// subscribes. On each connection the same aliases have other topics.
func aliasing(maximum uint16, aliases ...uint16) script {
	return func(c *brokerConn, p packet) bool {
		switch p.Type() {
		case fakebroker.CONNECT:
			c.write(c.version.Connack(false, 0, fakebroker.TopicAliasMaximum(maximum)))
			return true
		case fakebroker.SUBSCRIBE:
			c.grant(p)
			for _, alias := range aliases {
				topic := fmt.Sprintf("topic/%d/%d", c.number, alias)
				c.publish(0, topic, 0, topic, fakebroker.TopicAlias(alias), fakebroker.UserProperty("k", "v"))
				c.publish(0, "", 0, topic, fakebroker.TopicAlias(alias))
				c.publish(1, "", 1, topic, fakebroker.TopicAlias(alias))
				c.publish(2, "", 2, topic, fakebroker.TopicAlias(alias))
			}
			return true
		case fakebroker.PUBREC:
			c.write(c.version.Pubrel(p.MID()))
			return true
		}
		return false
	}
}

// offeredAliases returns the topic alias maximum of a CONNECT, or -1 if it has none.
func offeredAliases(p packet) int {
	props, _ := p.cutProperties(p.Body[10:])
	for len(props) > 0 {
		switch props[0] {
		case byte(mqtt.PropTopicAliasMaximum):
			return int(props[1])<<8 | int(props[2])
		case byte(mqtt.PropReceiveMaximum):
			props = props[3:]
		default:
			props = props[5:]
		}
	}
	return -1
}

// Messages arrive with their topics, and without aliases, on each connection.
func TestTopicAliasMaximum_MessagesHaveTheirTopics(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, aliasing(10, 1, 10))
	h, got := collect()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithTopicAliasMaximum(10), mqtt.WithSubscription("#", 2, h))
	for connection := 1; connection <= 3; connection++ {
		for range 8 {
			m := wait.For(t, got, "a message")
			require.Equal(t, string(m.Payload), m.Topic)
			require.Contains(t, m.Topic, fmt.Sprintf("topic/%d/", connection))
			_, found := m.Properties.Int16(mqtt.PropTopicAlias)
			require.False(t, found)
		}
		require.NoError(t, c.Reconnect(wait.Soon(t)))
	}
	require.Equal(t, 10, offeredAliases(b.received(fakebroker.CONNECT)[0]))
}

// The library refuses received aliases above the topic alias maximum of the broker. If the client
// offered more, it reconnects and offers that maximum.
func TestTopicAliasMaximum_IsLimitedByTheBroker(t *testing.T) {
	t.Parallel()
	need21(t)
	for name, maximum := range map[string]uint16{"fewer": 5, "none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var aliases []uint16
			offered := []int{10, -1}
			if maximum > 0 {
				aliases, offered[1] = []uint16{maximum}, int(maximum)
			}
			b := startFakeBroker(t, aliasing(maximum, aliases...))
			h, got := collect()
			option, changes := watchStates()
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithTopicAliasMaximum(10), mqtt.WithClientID("c"), mqtt.WithSession(time.Hour),
				mqtt.WithWill(mqtt.Will{Topic: "will"}), mqtt.WithSubscription("#", 0, h), option)
			require.Equal(t, mqtt.StateConnected, wait.For(t, changes, "the first state").State)
			for range 4 * len(aliases) {
				require.Equal(t, fmt.Sprintf("topic/2/%d", maximum), wait.For(t, got, "a message").Topic)
			}
			require.NoError(t, c.Reconnect(wait.Soon(t)))
			connects := b.received(fakebroker.CONNECT)
			require.Len(t, connects, 3)
			for i, want := range []int{offered[0], offered[1], offered[1]} {
				require.Equal(t, want, offeredAliases(connects[i]))
			}
			require.Len(t, b.received(fakebroker.DISCONNECT), 2) // no will
		})
	}
}

// A message in flight is sent on the next connection if the client reconnects because of
// the aliases.
func TestTopicAliasMaximum_MessagesInFlightStay(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT:
			maximum := uint16(10)
			if c.number > 1 {
				maximum = 4
			}
			c.write(c.version.Connack(c.number > 1, 0, fakebroker.TopicAliasMaximum(maximum)))
			return true
		case p.Type() == fakebroker.PUBLISH && c.number == 1:
			c.Close()
			return true
		}
		return false
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithTopicAliasMaximum(10), mqtt.WithClientID("c"), mqtt.WithSession(time.Hour))
	for qos := range mqtt.QoS(3) {
		if qos > 0 {
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(qos)))
		}
	}
	connects := b.received(fakebroker.CONNECT)
	require.Equal(t, 10, offeredAliases(connects[1]))
	require.Equal(t, 4, offeredAliases(connects[len(connects)-1]))
	require.Zero(t, c.Stats().Queued)
}

// A real broker assigns aliases if the client allows them.
func TestTopicAliasMaximum_MosquittoAssignsAliases(t *testing.T) {
	t.Parallel()
	need21(t)
	b := broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
	h, got := collect()
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithTopicAliasMaximum(20), mqtt.WithAutomaticTopicAliases(), mqtt.WithSubscription("#", 2, h))
	for range 2 {
		for i := range 100 {
			topic := fmt.Sprintf("topic/%d", i%30)
			require.NoError(t, c.Publish(wait.Soon(t), topic, []byte(topic), mqtt.WithQoS(mqtt.QoS(i%3))))
			require.Equal(t, topic, wait.For(t, got, "the message").Topic)
		}
		require.NoError(t, c.Reconnect(wait.Soon(t)))
	}
}

func TestTopicAliasMaximum_NeedsLibrary21(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, aliasing(10))
	err := dialAuth(t, b.port, mqtt.WithTopicAliasMaximum(10))
	if has21() {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, mqtt.ErrNotSupported)
	require.ErrorContains(t, err, "mqtt: WithTopicAliasMaximum needs libmosquitto 2.1")
	require.Zero(t, b.connections())
	require.NoError(t, dialAuth(t, b.port, mqtt.WithTopicAliasMaximum(0)))
}

func TestTopicAliases_InvalidOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]mqtt.Option{
		"WithTopicAliasMaximum: -1":                         {mqtt.WithTopicAliasMaximum(-1)},
		"WithTopicAliasMaximum: 65536":                      {mqtt.WithTopicAliasMaximum(65_536)},
		"WithTopicAliasMaximum: needs WithProtocol(V5)":     {mqtt.WithTopicAliasMaximum(1)},
		"WithAutomaticTopicAliases: needs WithProtocol(V5)": {mqtt.WithAutomaticTopicAliases()},
		"topic alias maximum: use WithTopicAliasMaximum": {
			mqtt.WithProtocol(mqtt.V5), mqtt.WithConnectProperties(mqtt.Properties{{ID: mqtt.PropTopicAliasMaximum, Number: 1}}),
		},
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1:1"}, options...)
		require.ErrorContains(t, err, want)
	}
}
