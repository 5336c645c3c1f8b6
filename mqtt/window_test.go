//go:build cgo

package mqtt_test

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Mosquitto closes the connection when an MQTT 3 client has more than 20 messages of QoS 2 in
// flight (max_inflight_messages), and loses messages that it has accepted. MQTT 3 has no way
// to announce this limit to the client.
func TestWindow_QoS2MessagesStayBelowMosquittosLimit(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			a, gotA := collect()
			other, gotB := collect()
			dial(t, b.Port, mqtt.WithSubscription("a", 2, a))
			dial(t, b.Port, mqtt.WithSubscription("b", 1, other))
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			for i := range 500 {
				c.PublishAsync(wait.Soon(t), "a", fmt.Append(nil, i), mqtt.WithQoS(2))
				c.PublishAsync(wait.Soon(t), "b", fmt.Append(nil, i))
			}
			require.NoError(t, c.Close(wait.Soon(t)))
			for i := range 500 {
				require.Equal(t, fmt.Sprint(i), string(wait.For(t, gotA, "a message").Payload))
				require.Equal(t, fmt.Sprint(i), string(wait.For(t, gotB, "a message").Payload))
			}
			require.Equal(t, uint64(1), c.Stats().Connects)
		})
	}
}
