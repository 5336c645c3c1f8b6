//go:build cgo

package mqtt_test

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// deliveryKind says how a fake broker delivers messages.
type deliveryKind struct {
	name        string
	version     mqtt.Protocol
	identifiers bool // the broker has subscription identifiers
}

var deliveryKinds = []deliveryKind{
	{"MQTT 3.1", mqtt.V31, false},
	{"MQTT 3.1.1", mqtt.V311, false},
	{"MQTT 5 without identifiers", mqtt.V5, false},
	{"MQTT 5 with identifiers", mqtt.V5, true},
}

// deliversTo returns a script that sends a message for each filter of a SUBSCRIBE. topics has
// the topic of the message by filter. The payload is the filter.
func deliversTo(topics map[string]string, identifiers bool) script {
	return func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT && !identifiers:
			c.write(c.version.Connack(false, 0, fakebroker.SubscriptionIDAvailable(0)))
			return true
		case p.Type() != fakebroker.SUBSCRIBE:
			return false
		}
		var props []fakebroker.Property
		if id := p.subscriptionID(); id > 0 {
			props = append(props, fakebroker.SubscriptionID(id))
		}
		c.grant(p)
		for _, name := range p.names() {
			c.publish(0, topics[name], 0, name, props...)
		}
		return true
	}
}

// EMQX has the filters $queue/FILTER and $exclusive/FILTER. The topics of their messages do not
// have the prefix, as with $share/GROUP/FILTER.
func TestSharedFilters_MessagesHaveTopicsWithoutThePrefix(t *testing.T) {
	t.Parallel()
	topics := map[string]string{ // filter, and the topic of a message that matches it
		"$share/group/a/+": "a/1", "$queue/b/+": "b/1", "$queue/c/#": "c", "$queue/d": "d",
		"$exclusive/e": "e", "$exclusive/f/+/g": "f/1/g", "$queue//h": "/h",
	}
	for _, kind := range deliveryKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, deliversTo(topics, kind.identifiers))
			other, unhandled := collect()
			c := dial(t, b.port, mqtt.WithProtocol(kind.version), mqtt.WithDefaultHandler(other))
			for filter, topic := range topics {
				h, got := collect()
				require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, h))
				m := wait.For(t, got, "a message for "+filter)
				require.Equal(t, topic+" "+filter, fmt.Sprint(m.Topic, " ", string(m.Payload)))
				require.NoError(t, c.Unsubscribe(wait.Soon(t), filter))
			}
			wait.None(t, unhandled, "message for the default handler")
			var unsubscribed []string
			for _, p := range b.received(fakebroker.UNSUBSCRIBE) {
				unsubscribed = append(unsubscribed, p.names()...)
			}
			require.Len(t, unsubscribed, len(topics))
			for _, filter := range unsubscribed {
				require.Contains(t, topics, filter, "the broker gets filters with their prefix")
			}
		})
	}
}

func TestSharedFilters_IteratorsGetTheMessages(t *testing.T) {
	t.Parallel()
	topics := map[string]string{"$queue/a/+": "a/1", "$exclusive/b": "b"}
	for _, kind := range deliveryKinds {
		b := startFakeBroker(t, deliversTo(topics, kind.identifiers))
		c := dial(t, b.port, mqtt.WithProtocol(kind.version))
		for filter, topic := range topics {
			came := ""
			for m, err := range c.Messages(wait.Soon(t), filter, 1) {
				require.NoError(t, err)
				came = m.Topic
				break
			}
			require.Equal(t, topic, came, kind.name)
		}
	}
}

// $queue and $exclusive are no prefix if no filter follows, or if they are a part of a level.
func TestSharedFilters_OtherTopicsKeepTheirFirstLevel(t *testing.T) {
	t.Parallel()
	topics := map[string]string{"$queued/a": "$queued/a", "queue/b": "queue/b", "c/$queue/d": "c/$queue/d"}
	for _, kind := range deliveryKinds {
		b := startFakeBroker(t, deliversTo(topics, kind.identifiers))
		c := dial(t, b.port, mqtt.WithProtocol(kind.version))
		for filter, topic := range topics {
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, h))
			require.Equal(t, topic, wait.For(t, got, "a message for "+filter).Topic, kind.name)
		}
	}
}
