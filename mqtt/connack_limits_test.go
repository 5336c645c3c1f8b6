//go:build cgo

package mqtt_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// announces returns a script that adds properties to CONNACK.
func announces(props ...fakebroker.Property) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT {
			c.write(c.version.Connack(false, 0, props...))
		}
		return p.Type() == fakebroker.CONNECT
	}
}

// requireRefusedMessage requires the error of a message that exceeds a limit in the broker's
// CONNACK.
func requireRefusedMessage(t *testing.T, err error, topic string, code mosquitto.ReasonCode) {
	t.Helper()
	var refused *mqtt.PublishError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, topic, refused.Topic)
	require.Equal(t, code, refused.Code)
	require.ErrorIs(t, err, mosquitto.ReasonError{Code: code})
}

// requireRefusedFilter requires the error of a filter that the broker's CONNACK does not allow.
func requireRefusedFilter(t *testing.T, err error, filter string, code mosquitto.ReasonCode) {
	t.Helper()
	var refused *mqtt.SubscribeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, filter, refused.Filter)
	require.Equal(t, code, refused.Code)
	require.ErrorIs(t, err, mosquitto.ReasonError{Code: code})
}

// overLimit is a message that a property of CONNACK does not allow.
type overLimit struct {
	name    string
	connack []fakebroker.Property
	payload int // bytes
	options []mqtt.PublishOption
	code    mosquitto.ReasonCode
}

var messagesOverLimits = []overLimit{
	{"retained", []fakebroker.Property{fakebroker.RetainAvailable(0)}, 1, []mqtt.PublishOption{mqtt.WithRetain(true)}, mosquitto.RCRetainNotSupported},
	{"retained, QoS 0", []fakebroker.Property{fakebroker.RetainAvailable(0)}, 1, []mqtt.PublishOption{mqtt.WithRetain(true), mqtt.WithQoS(0)}, mosquitto.RCRetainNotSupported},
	{"QoS 2 over 1", []fakebroker.Property{fakebroker.MaximumQoS(1)}, 1, []mqtt.PublishOption{mqtt.WithQoS(2)}, mosquitto.RCQoSNotSupported},
	{"QoS 2 over 0", []fakebroker.Property{fakebroker.MaximumQoS(0)}, 1, []mqtt.PublishOption{mqtt.WithQoS(2)}, mosquitto.RCQoSNotSupported},
	{"QoS 1 over 0", []fakebroker.Property{fakebroker.MaximumQoS(0)}, 1, nil, mosquitto.RCQoSNotSupported},
	{"large, QoS 0", []fakebroker.Property{fakebroker.MaximumPacketSize(100)}, 200, []mqtt.PublishOption{mqtt.WithQoS(0)}, mosquitto.RCPacketTooLarge},
	{"large, QoS 1", []fakebroker.Property{fakebroker.MaximumPacketSize(100)}, 200, nil, mosquitto.RCPacketTooLarge},
	{"large, QoS 2", []fakebroker.Property{fakebroker.MaximumPacketSize(100)}, 200, []mqtt.PublishOption{mqtt.WithQoS(2)}, mosquitto.RCPacketTooLarge},
	{"large with its properties", []fakebroker.Property{fakebroker.MaximumPacketSize(100)}, 1, []mqtt.PublishOption{mqtt.WithUserProperty("name", strings.Repeat("x", 200))}, mosquitto.RCPacketTooLarge},
	{"alias without aliases", nil, 1, []mqtt.PublishOption{mqtt.WithTopicAlias(1), mqtt.WithQoS(0)}, mosquitto.RCTopicAliasInvalid},
	{"alias over the maximum", []fakebroker.Property{fakebroker.TopicAliasMaximum(5)}, 1, []mqtt.PublishOption{mqtt.WithTopicAlias(6), mqtt.WithQoS(0)}, mosquitto.RCTopicAliasInvalid},
}

// The call returns the reason code. The client does not send the message and stays connected.
func TestBrokerLimits_MessageIsRefusedAtTheCall(t *testing.T) {
	t.Parallel()
	for _, x := range messagesOverLimits {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, announces(x.connack...))
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
			err := c.Publish(wait.Soon(t), "refused", make([]byte, x.payload), x.options...)
			requireRefusedMessage(t, err, "refused", x.code)
			token := c.PublishAsync(wait.Soon(t), "refused", make([]byte, x.payload), x.options...)
			requireRefusedMessage(t, token.Wait(wait.Soon(t)), "refused", x.code)
			require.NoError(t, c.Publish(wait.Soon(t), "marker", nil, mqtt.WithQoS(0)))
			wait.Until(t, "the marker", func() bool { return len(b.published("marker")) == 1 })
			require.Len(t, b.received(fakebroker.PUBLISH), 1, "the broker must receive only the marker")
			require.Equal(t, 1, b.connections())
			require.Zero(t, c.Stats().Queued)
		})
	}
}

// A message that was queued before the connection fails with the reason code. The messages
// behind it are sent.
func TestBrokerLimits_QueuedMessageIsRefused(t *testing.T) {
	t.Parallel()
	for _, x := range messagesOverLimits {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(_ *brokerConn, p packet) bool { return p.Type() == fakebroker.CONNECT })
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
			refused := c.PublishAsync(wait.Soon(t), "refused", make([]byte, x.payload), x.options...)
			marker := c.PublishAsync(wait.Soon(t), "marker", nil, mqtt.WithQoS(0))
			wait.Until(t, "the connection", func() bool { return b.connections() == 1 })
			requirePending(t, refused)
			b.conn().write(fakebroker.V5.Connack(false, 0, x.connack...))
			requireRefusedMessage(t, refused.Wait(wait.Soon(t)), "refused", x.code)
			require.NoError(t, marker.Wait(wait.Soon(t)))
			wait.Until(t, "the marker", func() bool { return len(b.published("marker")) == 1 })
			require.Len(t, b.received(fakebroker.PUBLISH), 1, "the broker must receive only the marker")
			require.Equal(t, 1, b.connections())
		})
	}
}

// After a reconnect the limits of the next server apply.
func TestBrokerLimits_LimitsOfTheNextServerCount(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool { return p.Type() == fakebroker.CONNECT && c.number == 2 })
	option, changes := watchStates()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), option)
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithRetain(true), mqtt.WithQoS(2)))
	b.conn().Close()
	awaitFailure(t, changes)
	retained := c.PublishAsync(wait.Soon(t), "retained", []byte("x"), mqtt.WithRetain(true))
	twice := c.PublishAsync(wait.Soon(t), "twice", nil, mqtt.WithQoS(2))
	wait.Until(t, "the second connection", func() bool { return b.connections() == 2 })
	b.conn().write(fakebroker.V5.Connack(false, 0, fakebroker.RetainAvailable(0), fakebroker.MaximumQoS(1)))
	requireRefusedMessage(t, retained.Wait(wait.Soon(t)), "retained", mosquitto.RCRetainNotSupported)
	requireRefusedMessage(t, twice.Wait(wait.Soon(t)), "twice", mosquitto.RCQoSNotSupported)
	b.conn().Close()
	wait.Until(t, "the third connection", func() bool { return b.connections() >= 3 })
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithRetain(true), mqtt.WithQoS(2)))
	require.Empty(t, b.published("retained"))
	require.Empty(t, b.published("twice"))
}

// A message that fits exactly is sent; with one byte more it is refused.
func TestBrokerLimits_PacketOfExactlyTheMaximumSizeIsSent(t *testing.T) {
	t.Parallel()
	const most, header = 100, len("\x32\x62") + len("\x00\x01a") + len("\x00\x01") + len("\x00")
	b := startFakeBroker(t, announces(fakebroker.MaximumPacketSize(most)))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, c.Publish(wait.Soon(t), "a", make([]byte, most-header)))
	err := c.Publish(wait.Soon(t), "a", make([]byte, most-header+1))
	requireRefusedMessage(t, err, "a", mosquitto.RCPacketTooLarge)
	sent := b.published("a")
	require.Len(t, sent, 1)
	require.Len(t, fakebroker.Bytes(sent[0].First, sent[0].Body...), most)
}

func TestBrokerLimits_MessageWithinTheLimitsIsSent(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, announces(fakebroker.MaximumQoS(1), fakebroker.RetainAvailable(1), fakebroker.TopicAliasMaximum(5)))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithRetain(true), mqtt.WithQoS(1)))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithTopicAlias(5), mqtt.WithQoS(0)))
	wait.Until(t, "both messages", func() bool { return len(b.published("a")) == 2 })
	require.True(t, b.published("a")[0].retain())
}

// refusedFilter is a filter that a property of CONNACK does not allow.
type refusedFilter struct {
	filter  string
	connack fakebroker.Property
	code    mosquitto.ReasonCode
}

var filtersRuledOut = []refusedFilter{
	{"a/#", fakebroker.WildcardAvailable(0), mosquitto.RCWildcardSubsNotSupported},
	{"a/+/b", fakebroker.WildcardAvailable(0), mosquitto.RCWildcardSubsNotSupported},
	{"$share/group/a", fakebroker.SharedAvailable(0), mosquitto.RCSharedSubsNotSupported},
	{"$share/group/a/#", fakebroker.WildcardAvailable(0), mosquitto.RCWildcardSubsNotSupported},
}

func TestBrokerLimits_FilterIsRefusedAtTheCall(t *testing.T) {
	t.Parallel()
	for _, x := range filtersRuledOut {
		t.Run(x.filter, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, announces(x.connack))
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
			requireRefusedFilter(t, c.Subscribe(wait.Soon(t), x.filter, 1, ignore), x.filter, x.code)
			errs := 0
			for _, err := range c.Messages(wait.Soon(t), x.filter, 1) {
				requireRefusedFilter(t, err, x.filter, x.code)
				errs++
			}
			require.Equal(t, 1, errs)
			err := c.SubscribeMultiple(wait.Soon(t), mqtt.Subscription{Filter: "possible", QoS: 1, Handler: ignore},
				mqtt.Subscription{Filter: x.filter, QoS: 1, Handler: ignore})
			requireRefusedFilter(t, err, x.filter, x.code)
			var names []string
			for _, p := range b.received(fakebroker.SUBSCRIBE) {
				names = append(names, p.names()...)
			}
			require.Equal(t, []string{"possible"}, names)
			require.Equal(t, 1, b.connections())
		})
	}
}

// Dial returns the refusal of a filter of WithSubscription.
func TestBrokerLimits_DialReturnsTheRefusedFilter(t *testing.T) {
	t.Parallel()
	for _, x := range filtersRuledOut {
		b := startFakeBroker(t, announces(x.connack))
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, fast(), mqtt.WithProtocol(mqtt.V5),
			mqtt.WithSubscription(x.filter, 1, ignore))
		requireRefusedFilter(t, err, x.filter, x.code)
		require.Empty(t, b.received(fakebroker.SUBSCRIBE))
	}
}

// A subscription that the next server does not allow is reported once for each connection.
// The other subscriptions are restored. A server that allows it gets the subscription again.
func TestBrokerLimits_FilterOfTheNextServerIsReportedOnce(t *testing.T) {
	t.Parallel()
	for _, x := range filtersRuledOut {
		t.Run(x.filter, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				return (c.number == 2 || c.number == 3) && announces(x.connack)(c, p)
			})
			lost := make(chan mqtt.SubscribeError, 100)
			var log logBuffer
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithLogger(log.logger(slog.LevelInfo)),
				mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- *err }}))
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), x.filter, 1, ignore))
			require.NoError(t, c.Subscribe(wait.Soon(t), "possible", 1, h))
			for n := 2; n <= 4; n++ {
				b.conn().Close()
				wait.Until(t, "the next connection", func() bool { return b.connections() == n })
				require.NoError(t, c.AwaitConnected(wait.Soon(t)))
				if n < 4 {
					refused := wait.For(t, lost, "the report")
					require.Equal(t, x.filter, refused.Filter)
					require.Equal(t, x.code, refused.Code)
					wait.Until(t, "a line of the log", func() bool { return containsAll(log.String(), x.filter, x.code.String()) })
				}
				wait.Until(t, "the subscription that is possible", func() bool { return subscribedOn(b, n, "possible") })
				b.conn().publish(0, "possible", 0, "x")
				wait.For(t, got, "a message")
				wait.None(t, lost, "second report")
				require.Equal(t, n == 4, subscribedOn(b, n, x.filter))
			}
			require.Equal(t, mqtt.StateConnected, c.State())
		})
	}
}

// subscribedOn reports whether a SUBSCRIBE of a connection has a filter.
func subscribedOn(b *fakeBroker, connection int, filter string) bool {
	for _, p := range b.received(fakebroker.SUBSCRIBE) {
		for _, name := range p.names() {
			if p.connection == connection && name == filter {
				return true
			}
		}
	}
	return false
}

var optionsOfMQTT5 = map[string]func() mqtt.SubscribeOption{
	"NoLocal": mqtt.WithNoLocal, "RetainAsPublished": mqtt.WithRetainAsPublished,
	"RetainSendIfNew": func() mqtt.SubscribeOption { return mqtt.WithRetainHandling(mqtt.RetainSendIfNew) },
	"RetainSendNever": func() mqtt.SubscribeOption { return mqtt.WithRetainHandling(mqtt.RetainSendNever) },
}

func TestBrokerLimits_OptionOfMQTT5IsAnErrorWithMQTT3(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V31, mqtt.V311} {
		b := startFakeBroker(t, nil)
		c := dial(t, b.port, mqtt.WithProtocol(version))
		for name, option := range optionsOfMQTT5 {
			require.ErrorContains(t, c.Subscribe(wait.Soon(t), name, 1, ignore, option()), "MQTT 5", name)
			multiple := mqtt.Subscription{Filter: name, QoS: 1, Handler: ignore, Options: []mqtt.SubscribeOption{option()}}
			require.ErrorContains(t, c.SubscribeMultiple(wait.Soon(t), multiple), "MQTT 5", name)
			errs := 0
			for _, err := range c.Messages(context100ms(t), name, 1, option()) {
				require.ErrorContains(t, err, "MQTT 5", name)
				errs++
			}
			require.Equal(t, 1, errs, name)
			_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithProtocol(version), mqtt.WithSubscription(name, 1, ignore, option()))
			require.ErrorContains(t, err, "MQTT 5", name)
		}
		require.NoError(t, c.Subscribe(wait.Soon(t), "plain", 1, ignore))
		for _, p := range b.received(fakebroker.SUBSCRIBE) {
			require.Equal(t, []string{"plain"}, p.names())
		}
	}
}

// A client that connected with MQTT 3.1.1 as a fallback refuses the options too.
func TestBrokerLimits_OptionOfMQTT5IsAnErrorAfterAFallback(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.CONNECT || c.version != fakebroker.V5 {
			return false
		}
		c.write(c.version.Connack(false, byte(mosquitto.RCUnsupportedProtocolVersion)))
		c.Close()
		return true
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5, mqtt.V311))
	for name, option := range optionsOfMQTT5 {
		require.ErrorContains(t, c.Subscribe(wait.Soon(t), name, 1, ignore, option()), "MQTT 5", name)
	}
	require.Empty(t, b.received(fakebroker.SUBSCRIBE))
}

func TestBrokerLimits_OptionOfMQTT5IsSentWithMQTT5(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	want := map[string]byte{"NoLocal": 0x05, "RetainAsPublished": 0x09, "RetainSendIfNew": 0x11, "RetainSendNever": 0x21}
	for name, option := range optionsOfMQTT5 {
		require.NoError(t, c.Subscribe(context.Background(), name, 1, ignore, option()))
	}
	got := map[string]byte{}
	for _, p := range b.received(fakebroker.SUBSCRIBE) {
		for _, f := range p.filters() {
			got[f.Name] = f.Options
		}
	}
	require.Equal(t, want, got)
}
