package wire

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

func TestTopicAlias_ClientSendsAlias(t *testing.T) {
	t.Parallel()
	t.Run("5 3.3.2.3.4 set, use and change", func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{})
		x.Expect("10 **")
		x.accept(false, fakebroker.TopicAliasMaximum(2))
		for _, topic := range []string{"a", "", "b", ""} {
			mid, err := x.c.PublishV5(topic, nil, 0, false, mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 2}})
			require.NoError(t, err)
			x.Expect(x.v.Publish(0, topic, 0, "", fakebroker.TopicAlias(2)))
			x.expectEvents(published(uint16(mid)))
		}
		x.end()
	})
}

var aliasAfterLoss = row{"MQTT-3.3.2-7", "a QoS 1 message with a topic alias, sent again on a new connection", nil,
	"with its topic", all("without a topic")}

// Aliases end with the connection. A message that is sent again therefore needs its
// topic.
func TestTopicAlias_RepeatedMessageNeedsTopic(t *testing.T) {
	t.Parallel()
	t.Run("5 "+aliasAfterLoss.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{kept: true})
		x.Expect("10 **")
		x.accept(false, fakebroker.TopicAliasMaximum(2))
		props := mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 1}}
		_, err := x.c.PublishV5("a", nil, 0, false, props)
		require.NoError(t, err)
		x.Expect(x.v.Publish(0, "a", 0, "", fakebroker.TopicAlias(1)))
		x.expectEvents("published 1")
		_, err = x.c.PublishV5("", nil, 1, false, props)
		require.NoError(t, err)
		x.Expect(x.v.Publish(2, "", 2, "", fakebroker.TopicAlias(1)))
		x.lose(true)
		x.Expect(x.v.Publish(8|2, "", 2, "", fakebroker.TopicAlias(1)))
		require.Equal(t, "without a topic", aliasAfterLoss.actual.current())
		x.Send(x.v.Puback(2))
		x.expectEvents("published 2")
		x.end()
	})
}

var (
	brokerAlias = row{"3.3.2.3.4", "a topic alias within the client maximum, used without a topic", nil,
		`message a "2" qos 0 {topic-alias:1}`, byVersion{"closed: protocol", "closed: protocol", "closed: 0x94"}}
	brokerAliasBoth = row{"3.3.2.3.4", "a topic alias within both maxima, used without a topic", nil,
		`message a "2" qos 0 {topic-alias:1}`, byVersion{"closed: protocol", "closed: protocol", `message a "2" qos 0 {topic-alias:1}`}}
)

// libmosquitto 2.1 compares the broker's aliases with the broker's own maximum instead of the
// client's.
func TestTopicAlias_BrokerSendsAlias(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		row
		connack []fakebroker.Property
	}{{brokerAlias, nil}, {brokerAliasBoth, []fakebroker.Property{fakebroker.TopicAliasMaximum(5)}}} {
		t.Run("5 "+test.clause+" "+test.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, fakebroker.V5, setup{props: mosquitto.Properties{{ID: mosquitto.PropTopicAliasMaximum, Number: 5}}})
			x.Expect("10 < 'MQTT' 05 02 00 3C < 22 00 05 21 00 14 > 'id' >")
			x.accept(false, test.connack...)
			if !has21() || test.connack != nil {
				x.Send(x.v.Publish(0, "a", 0, "1", fakebroker.TopicAlias(1)))
				x.expectEvents(`message a "1" qos 0 {topic-alias:1}`)
			}
			require.Equal(t, test.actual.current(), x.outcome(x.v.Publish(0, "", 0, "2", fakebroker.TopicAlias(1))))
			x.end()
		})
	}
}

var aliasKept = row{"MQTT-3.3.2-7", "a topic alias that the broker has set on the previous connection", nil,
	closed, byVersion{"closed: protocol", "closed: protocol", `message a "2" qos 0 {topic-alias:1}`}}

func TestTopicAlias_BrokerAliasEndsWithConnection(t *testing.T) {
	t.Parallel()
	t.Run("5 "+aliasKept.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{props: mosquitto.Properties{{ID: mosquitto.PropTopicAliasMaximum, Number: 5}}})
		x.Expect("10 **")
		x.accept(false, fakebroker.TopicAliasMaximum(5))
		x.Send(x.v.Publish(0, "a", 0, "1", fakebroker.TopicAlias(1)))
		x.expectEvents(`message a "1" qos 0 {topic-alias:1}`)
		x.Close()
		x.expectEvents("disconnected: lost")
		x.awaitReconnect()
		x.accept(false, fakebroker.TopicAliasMaximum(5))
		require.Equal(t, aliasKept.actual.current(), x.outcome(x.v.Publish(0, "", 0, "2", fakebroker.TopicAlias(1))))
		x.end()
	})
}
