//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestStats_CountMessagesAndBytes(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c := dial(t, b.Port)
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	for range 3 {
		require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("12345")))
		wait.For(t, got, "a message")
	}
	require.Error(t, c.Publish(context50ms(t), "#", nil))
	require.Equal(t, mqtt.Stats{Connects: 1, Published: 3, Received: 3, BytesOut: 15, BytesIn: 15}, c.Stats())
	b.Kill()
	wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	token := c.PublishAsync(wait.Soon(t), "a", []byte("12345"))
	s := c.Stats()
	require.Equal(t, []int{1, 6, 0}, []int{s.Queued, s.QueuedBytes, s.InFlight})
	b.Restart()
	require.NoError(t, token.Wait(wait.Soon(t)))
	require.EqualValues(t, 2, c.Stats().Connects)
	require.Zero(t, c.Stats().Queued)
}
