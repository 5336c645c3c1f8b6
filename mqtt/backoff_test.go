//go:build cgo

package mqtt_test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// An acknowledged message resets the backoff: the delay before the next attempt does not grow.
func TestBackoff_DoesNotGrowAfterAnAcknowledgement(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, closesAfterPublish)
	c := dial(t, b.port, mqtt.WithBackoff(20*time.Millisecond, time.Hour, 0))
	const connections = 20 // otherwise the last delay would exceed an hour
	for range connections {
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	}
	require.GreaterOrEqual(t, b.connections(), connections)
}
