//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The broker refuses a second Subscribe for the same filter. The first subscription stays, and
// is restored after a reconnect.
func TestResubscribe_RefusalKeepsTheGrantedSubscription(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() != fakebroker.SUBSCRIBE || p.filters()[0].Options&3 != 2 {
					return false
				}
				c.write(c.version.Suback(p.MID(), []byte{byte(mosquitto.RCUnspecified)})) // QoS 2 is refused
				return true
			})
			c := dial(t, b.port, mqtt.WithProtocol(version))
			first, got := collect()
			second, never := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, first))
			var refused *mqtt.SubscribeError
			require.ErrorAs(t, c.Subscribe(wait.Soon(t), "a", 2, second), &refused)
			require.Equal(t, "a", refused.Filter)
			b.conn().publish(0, "a", 0, "before")
			require.Equal(t, "before", string(wait.For(t, got, "a message").Payload))

			requireReconnects(t, b, c)
			b.conn().publish(0, "a", 0, "after")
			require.Equal(t, "after", string(wait.For(t, got, "a message after the reconnect").Payload))
			wait.None(t, never, "message for the handler that was refused")
			last := b.received(fakebroker.SUBSCRIBE)
			require.Equal(t, []fakebroker.Filter{{Name: "a", Options: 1}}, last[len(last)-1].filters())
			require.Equal(t, 2, last[len(last)-1].connection)

			require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
			b.conn().publish(0, "a", 0, "unsubscribed")
			require.NoError(t, c.Publish(wait.Soon(t), "b", nil)) // PUBACK arrives after the message
			wait.None(t, got, "message after Unsubscribe")
		})
	}
}

// The broker refuses an iterator. The handler and the earlier iterator of the same filter stay.
func TestResubscribe_RefusedIteratorKeepsTheGrantedSubscription(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.SUBSCRIBE || p.filters()[0].Options&3 != 2 {
			return false
		}
		c.write(c.version.Suback(p.MID(), []byte{byte(mosquitto.RCUnspecified)}))
		return true
	})
	c := dial(t, b.port)
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	errs := 0
	for _, err := range c.Messages(wait.Soon(t), "a", 2) {
		var refused *mqtt.SubscribeError
		require.ErrorAs(t, err, &refused)
		errs++
	}
	require.Equal(t, 1, errs)
	b.conn().publish(0, "a", 0, "x")
	wait.For(t, got, "a message")
	requireReconnects(t, b, c)
	b.conn().publish(0, "a", 0, "x")
	wait.For(t, got, "a message after the reconnect")
	require.Empty(t, b.received(fakebroker.UNSUBSCRIBE))
}
