package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

func credentials(name, password string) func(*mosquitto.Client) {
	return func(c *mosquitto.Client) { _ = c.UsernamePwSet(name, password) }
}

func will(topic, payload string, qos mosquitto.QoS, retain bool, props ...mosquitto.Property) func(*mosquitto.Client) {
	return func(c *mosquitto.Client) { _ = c.WillSetV5(topic, []byte(payload), qos, retain, props) }
}

// The receive maximum of 20 is the library's default.
func TestConnect_BytesOnWire(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		v     fakebroker.Version
		setup setup
		want  string
	}{
		{"MQTT-3.1.2-1 and 3.1.2.2 name and level", fakebroker.V311, setup{}, "10 < 'MQTT' 04 02 00 3C 'id' >"},
		{"MQTT-3.1.2-1 and 3.1.2.2 name and level", fakebroker.V5, setup{}, "10 < 'MQTT' 05 02 00 3C < 21 00 14 > 'id' >"},
		{"3.1.2.1 name and level", fakebroker.V31, setup{}, "10 < 'MQIsdp' 03 02 00 3C 'id' >"},
		{"3.1.2.4 no clean session", fakebroker.V311, setup{kept: true}, "10 < 'MQTT' 04 00 00 3C 'id' >"},
		{"3.1.2.4 no clean session", fakebroker.V5, setup{kept: true, props: mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 3600}}},
			"10 < 'MQTT' 05 00 00 3C < 11 00 00 0E 10 21 00 14 > 'id' >"},
		{"MQTT-3.1.2-16 username", fakebroker.V311, setup{prepare: credentials("user", "")}, "10 < 'MQTT' 04 82 00 3C 'id' 'user' >"},
		{"MQTT-3.1.2-17 username", fakebroker.V5, setup{prepare: credentials("user", "")}, "10 < 'MQTT' 05 82 00 3C < 21 00 14 > 'id' 'user' >"},
		{"MQTT-3.1.2-20 username and password", fakebroker.V311, setup{prepare: credentials("user", "secret")}, "10 < 'MQTT' 04 C2 00 3C 'id' 'user' 'secret' >"},
		{"MQTT-3.1.2-19 username and password", fakebroker.V5, setup{prepare: credentials("user", "secret")}, "10 < 'MQTT' 05 C2 00 3C < 21 00 14 > 'id' 'user' 'secret' >"},
		{"3.1.2.9 password without username", fakebroker.V5, setup{prepare: credentials("", "secret")}, "10 < 'MQTT' 05 42 00 3C < 21 00 14 > 'id' 'secret' >"},
		{"MQTT-3.1.3-6 no client id", fakebroker.V311, setup{id: "-"}, "10 < 'MQTT' 04 02 00 3C '' >"},
		{"MQTT-3.1.3-6 no client id", fakebroker.V5, setup{id: "-"}, "10 < 'MQTT' 05 02 00 3C < 21 00 14 > '' >"},
		{"MQTT-3.1.3-4 client id in UTF-8", fakebroker.V311, setup{id: "ïd/π"}, "10 < 'MQTT' 04 02 00 3C 'ïd/π' >"},
		{"MQTT-3.1.2-8 will of QoS 0", fakebroker.V311, setup{prepare: will("w", "gone", 0, false)}, "10 < 'MQTT' 04 06 00 3C 'id' 'w' 'gone' >"},
		{"MQTT-3.1.2-14 will of QoS 1", fakebroker.V311, setup{prepare: will("w", "gone", 1, false)}, "10 < 'MQTT' 04 0E 00 3C 'id' 'w' 'gone' >"},
		{"MQTT-3.1.2-17 retained will", fakebroker.V311, setup{prepare: will("w", "gone", 2, true)}, "10 < 'MQTT' 04 36 00 3C 'id' 'w' 'gone' >"},
		{"3.1.3.3 will with an empty payload", fakebroker.V311, setup{prepare: will("w", "", 0, false)}, "10 < 'MQTT' 04 06 00 3C 'id' 'w' '' >"},
		{"3.1.3.4 will with an empty payload", fakebroker.V5, setup{prepare: will("w", "", 0, false)}, "10 < 'MQTT' 05 06 00 3C < 21 00 14 > 'id' <> 'w' '' >"},
		{"MQTT-3.1.2-23 keepalive of 5", fakebroker.V311, setup{keepalive: 5 * time.Second}, "10 < 'MQTT' 04 02 00 05 'id' >"},
		{"3.1.2.10 longest keepalive", fakebroker.V5, setup{keepalive: 65535 * time.Second}, "10 < 'MQTT' 05 02 FF FF < 21 00 14 > 'id' >"},
		{"3.1.2.11.3 receive maximum of 1", fakebroker.V5, setup{prepare: func(c *mosquitto.Client) { _ = c.IntOption(mosquitto.OptReceiveMaximum, 1) }},
			"10 < 'MQTT' 05 02 00 3C < 21 00 01 > 'id' >"},
		{"3.1.3.2 will with all properties", fakebroker.V5, setup{prepare: will("w", "gone", 1, true,
			mosquitto.Property{ID: mosquitto.PropWillDelayInterval, Number: 5},
			mosquitto.Property{ID: mosquitto.PropPayloadFormatIndicator, Number: 1},
			mosquitto.Property{ID: mosquitto.PropMessageExpiryInterval, Number: 60},
			mosquitto.Property{ID: mosquitto.PropContentType, Text: "text"},
			mosquitto.Property{ID: mosquitto.PropResponseTopic, Text: "r"},
			mosquitto.Property{ID: mosquitto.PropCorrelationData, Data: []byte{0, 1}},
			mosquitto.Property{ID: mosquitto.PropUserProperty, Name: "k", Text: "v"},
		)}, `10 < 'MQTT' 05 2E 00 3C < 21 00 14 > 'id'
			< 18 00 00 00 05 01 01 02 00 00 00 3C 03 'text' 08 'r' 09 00 02 00 01 26 'k' 'v' > 'w' 'gone' >`},
	} {
		t.Run(test.v.String()+" "+test.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, test.v, test.setup)
			x.Expect(test.want)
			x.accept(false)
			x.expectNothing()
			x.end()
		})
	}
}

// This includes the flag for a clean session.
func TestConnect_ReconnectSendsSameBytes(t *testing.T) {
	both(t, "3.1.2.4 reconnect", "3.1.2.4 reconnect", func(t *testing.T, v fakebroker.Version) {
		for _, kept := range []bool{false, true} {
			x := dial(t, v, setup{kept: kept, prepare: will("w", "gone", 1, true)})
			first, err := x.NextBytes()
			require.NoError(t, err)
			x.accept(false)
			x.Close()
			x.expectEvents("disconnected: lost")
			require.Equal(t, first, x.awaitReconnect())
			x.accept(kept)
			x.expectNothing()
			x.end()
		}
	})
}

// The client uses the client id that the broker has assigned when it reconnects.
func TestConnack_AssignedClientIDIsUsedAgain(t *testing.T) {
	t.Parallel()
	t.Run("5 MQTT-3.2.2-16", func(t *testing.T) {
		x := dial(t, fakebroker.V5, setup{id: "-", kept: false})
		x.Expect("10 < 'MQTT' 05 02 00 3C < 21 00 14 > '' >")
		x.accept(false, fakebroker.AssignedClientID("yours"))
		x.Close()
		x.expectEvents("disconnected: lost")
		require.Equal(t, fakebroker.Hex("10 < 'MQTT' 05 02 00 3C < 21 00 14 > 'yours' >"), x.awaitReconnect())
		x.accept(false)
		x.end()
	})
}

func TestConnack_ReportsSessionPresent(t *testing.T) {
	both(t, "MQTT-3.2.2-2 session present", "MQTT-3.2.2-2 session present", func(t *testing.T, v fakebroker.Version) {
		x := dial(t, v, setup{kept: true})
		x.Expect("10 **")
		x.accept(true)
		x.lose(false)
		x.lose(true)
		x.expectNothing()
		x.end()
	})
}

var forgottenSession = row{"MQTT-3.2.2-5", "a QoS 1 message in flight, when the broker has lost the session", nil,
	"discarded", all("sent again: 3A 06 00 01 61 00 01 00")}

// If the broker has lost the session, the client must discard its session state. The
// library does not.
func TestConnack_LostSession(t *testing.T) {
	t.Parallel()
	t.Run("5 "+forgottenSession.clause, func(t *testing.T) {
		x := dial(t, fakebroker.V5, setup{kept: true})
		x.Expect("10 **")
		x.accept(true)
		mid := x.publish("a", "", 1)
		x.Expect(x.v.Publish(2, "a", mid, ""))
		x.lose(false)
		again := x.v.Publish(8|2, "a", mid, "")
		x.Expect(again)
		require.Equal(t, forgottenSession.actual.current(), "sent again: "+hexText(again))
		x.Send(x.v.Puback(mid))
		x.expectEvents("published 1")
		x.end()
	})
}

// The client must respect the limits in the properties of CONNACK.
func TestConnack_LimitsApplyToClient(t *testing.T) {
	t.Parallel()
	limited := func(t *testing.T, props ...fakebroker.Property) *exchange {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{})
		x.Expect("10 **")
		x.accept(false, props...)
		return x
	}
	t.Run("5 MQTT-3.2.2-11 maximum QoS 1", func(t *testing.T) {
		x := limited(t, fakebroker.MaximumQoS(1))
		_, err := x.c.Publish("a", nil, 2, false)
		require.ErrorIs(t, err, mosquitto.ErrQoSNotSupported)
		mid := x.publish("a", "", 1)
		x.Expect(x.v.Publish(2, "a", mid, ""))
		x.end()
	})
	t.Run("5 MQTT-3.2.2-11 maximum QoS 0", func(t *testing.T) {
		x := limited(t, fakebroker.MaximumQoS(0))
		for _, qos := range []mosquitto.QoS{1, 2} {
			_, err := x.c.Publish("a", nil, qos, false)
			require.ErrorIs(t, err, mosquitto.ErrQoSNotSupported)
		}
		x.publish("a", "", 0)
		x.Expect(x.v.Publish(0, "a", 0, ""))
		x.expectEvents("published 1")
		x.end()
	})
	t.Run("5 MQTT-3.2.2-14 retain not available", func(t *testing.T) { // the library drops the flag
		x := limited(t, fakebroker.RetainAvailable(0))
		_, err := x.c.Publish("a", []byte("x"), 0, true)
		require.NoError(t, err)
		x.Expect(x.v.Publish(0, "a", 0, "x"))
		x.expectEvents("published 1")
		x.end()
	})
	t.Run("5 3.2.2.3.5 retain available", func(t *testing.T) {
		x := limited(t, fakebroker.RetainAvailable(1))
		_, err := x.c.Publish("a", []byte("x"), 0, true)
		require.NoError(t, err)
		x.Expect(x.v.Publish(1, "a", 0, "x"))
		x.expectEvents("published 1")
		x.end()
	})
	t.Run("5 MQTT-3.3.4-7 receive maximum 1", func(t *testing.T) {
		x := limited(t, fakebroker.ReceiveMaximum(1))
		first, second := x.publish("a", "1", 1), x.publish("a", "2", 2)
		x.Expect(x.v.Publish(2, "a", first, "1"))
		x.expectNothing() // the second message must wait
		x.Send(x.v.Puback(first))
		x.expectEvents(fmt.Sprintf("published %d", first))
		x.Expect(x.v.Publish(4, "a", second, "2"))
		third := x.publish("a", "3", 1)
		x.Send(x.v.Pubrec(second))
		x.Expect(x.v.Pubrel(second))
		x.expectNothing() // the third message waits until the second is complete
		x.Send(x.v.Pubcomp(second))
		x.expectEvents(fmt.Sprintf("published %d", second))
		x.Expect(x.v.Publish(2, "a", third, "3"))
		x.end()
	})
	t.Run("5 3.2.2.3.11 wildcards not available", func(t *testing.T) {
		x := limited(t, fakebroker.WildcardAvailable(0))
		x.assertSent(t, wildcards, func() error { _, err := x.c.Subscribe("a/#", 0); return err })
	})
	t.Run("5 3.2.2.3.12 subscription identifiers not available", func(t *testing.T) {
		x := limited(t, fakebroker.SubscriptionIDAvailable(0))
		props := mosquitto.Properties{{ID: mosquitto.PropSubscriptionIdentifier, Number: 1}}
		x.assertSent(t, identifiers, func() error { _, err := x.c.SubscribeV5("a", 0, 0, props); return err })
	})
	t.Run("5 3.2.2.3.13 shared subscriptions not available", func(t *testing.T) {
		x := limited(t, fakebroker.SharedAvailable(0))
		x.assertSent(t, shared, func() error { _, err := x.c.Subscribe("$share/g/a", 0); return err })
	})
	alias := mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 3}}
	t.Run("5 MQTT-3.2.2-18 no topic aliases", func(t *testing.T) {
		x := limited(t)
		x.assertSent(t, aliasUnasked, func() error { _, err := x.c.PublishV5("a", nil, 0, false, alias); return err })
	})
	t.Run("5 MQTT-3.2.2-17 an alias beyond the maximum", func(t *testing.T) {
		x := limited(t, fakebroker.TopicAliasMaximum(2))
		x.assertSent(t, aliasBeyond, func() error { _, err := x.c.PublishV5("a", nil, 0, false, alias); return err })
	})
	for size, row := range map[uint32]row{20: packetFits, 19: packetOneOver, 18: packetTwoOver} {
		t.Run("5 MQTT-3.2.2-15 "+row.name, func(t *testing.T) {
			x := limited(t, fakebroker.MaximumPacketSize(size)) // the packet has 20 bytes
			x.assertSent(t, row, func() error { _, err := x.c.Publish("a", []byte(strings.Repeat("x", 14)), 0, false); return err })
		})
	}
}

var (
	wildcards     = row{"3.2.2.3.11", "SUBSCRIBE with a wildcard that the broker does not support", nil, "refused", all("sent: 82 09 00 01 00 00 03 61 2F 23 00")}
	identifiers   = row{"3.2.2.3.12", "SUBSCRIBE with a subscription identifier that the broker does not support", nil, "refused", all("sent: 82 09 00 01 02 0B 01 00 01 61 00")}
	shared        = row{"3.2.2.3.13", "SUBSCRIBE with a shared subscription that the broker does not support", nil, "refused", all("sent: 82 10 00 01 00 00 0A 24 73 68 61 72 65 2F 67 2F 61 00")}
	aliasUnasked  = row{"MQTT-3.2.2-18", "PUBLISH with a topic alias that the broker does not support", nil, "refused", all("sent: 30 07 00 01 61 03 23 00 03")}
	aliasBeyond   = row{"MQTT-3.2.2-17", "PUBLISH with a topic alias beyond the broker maximum", nil, "refused", all("sent: 30 07 00 01 61 03 23 00 03")}
	packetFits    = row{"MQTT-3.2.2-15", "a packet of the maximum size", nil, packetSent, all(packetSent)}
	packetOneOver = row{"MQTT-3.2.2-15", "a packet one byte longer than the maximum", nil, "refused", all(packetSent)}
	packetTwoOver = row{"MQTT-3.2.2-15", "a packet two bytes longer than the maximum", nil, "refused", all("refused")}
)

const packetSent = "sent: 30 12 00 01 61 00 78 78 78 78 78 78 78 78 78 78 78 78 78 78"

// assertSent makes a call and asserts the row's outcome: "refused", or the packet that
// the client has sent. Then it ends the exchange.
func (x *exchange) assertSent(t *testing.T, r row, call func() error) {
	t.Helper()
	got := "refused"
	if call() == nil {
		packet, err := x.NextBytes()
		require.NoError(t, err)
		got = "sent: " + hexText(packet)
	}
	require.Equal(t, r.actual.current(), got)
	x.Send(x.probe())
	for x.nextEvent() != probeReceived { // OnPublish of QoS 0
	}
	x.Expect(x.v.Puback(probeID))
	x.end()
}
