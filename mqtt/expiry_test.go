//go:build cgo

package mqtt_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// offlineV5 returns a client of MQTT 5 that cannot connect until the test calls AcceptNew of
// the fault proxy.
func offlineV5(t *testing.T, options ...mqtt.Option) (*mqtt.Client, *fakeBroker, *faultproxy.Proxy) {
	t.Helper()
	b := startFakeBroker(t, nil)
	proxy := faultproxy.Start(t, url(b.port)[len("mqtt://"):])
	proxy.RefuseNew()
	return dial(t, proxy.Port, append(options, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())...), b, proxy
}

// Messages that expire in the queue fail and are not sent. A Publish that waits for its message
// returns. Messages without an expiry stay queued.
func TestMessageExpiry_ExpiredMessagesAreNotSent(t *testing.T) {
	t.Parallel()
	c, b, proxy := offlineV5(t)
	expired := c.PublishAsync(wait.Soon(t), "expired", nil, mqtt.WithMessageExpiry(time.Second))
	stays := c.PublishAsync(wait.Soon(t), "stays", nil)
	later := c.PublishAsync(wait.Soon(t), "later", nil, mqtt.WithMessageExpiry(time.Hour))
	require.ErrorIs(t, c.Publish(wait.Soon(t), "expired", nil, mqtt.WithMessageExpiry(time.Second)), mqtt.ErrMessageExpired)
	require.ErrorIs(t, expired.Wait(wait.Soon(t)), mqtt.ErrMessageExpired)
	require.Equal(t, 2, c.Stats().Queued)
	proxy.AcceptNew()
	require.NoError(t, stays.Wait(wait.Soon(t)))
	require.NoError(t, later.Wait(wait.Soon(t)))
	require.Empty(t, b.published("expired"))
}

// The message expiry interval in the packet is the time that remains.
func TestMessageExpiry_CountsFromTheCall(t *testing.T) {
	t.Parallel()
	c, b, proxy := offlineV5(t)
	token := c.PublishAsync(wait.Soon(t), "a", nil, mqtt.WithMessageExpiry(100*time.Second))
	marker := c.PublishAsync(wait.Soon(t), "marker", nil, mqtt.WithMessageExpiry(time.Second))
	<-marker.Done() // about a second later
	require.ErrorIs(t, marker.Err(), mqtt.ErrMessageExpired)
	proxy.AcceptNew()
	require.NoError(t, token.Wait(wait.Soon(t)))
	body := b.published("a")[0].Body
	at := len(body) - 4 // the property is the last one, and there is no payload
	require.EqualValues(t, mqtt.PropMessageExpiryInterval, body[at-1])
	require.Less(t, binary.BigEndian.Uint32(body[at:]), uint32(100))
	require.Greater(t, binary.BigEndian.Uint32(body[at:]), uint32(50))
}

func TestMessageExpiry_ExpiredMessagesLeaveTheOutbox(t *testing.T) {
	t.Parallel()
	o := filled(0)
	c, _, _ := offlineV5(t, mqtt.WithOutbox(o))
	require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithMessageExpiry(time.Second)), mqtt.ErrMessageExpired)
	wait.Until(t, "the end of the outbox", func() bool { return o.len() == 0 })
}
