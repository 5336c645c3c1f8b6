//go:build cgo

package mqtt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Ids come round after 65,535 messages. When a QoS 0 message has the id of one
// that waits for its PUBACK, the library does not say whose end it reports. If
// the connection is lost then the library may not send the other one again.
func TestNeverHangsWhenIDsComeRound(t *testing.T) {
	c, _, err := newClient([]string{"mqtt://127.0.0.1"}, nil)
	require.NoError(t, err)
	defer c.free()
	handOver := func(qos QoSLevel) *Token {
		token := &Token{client: c, pub: Publication{Topic: "a", QoS: qos}, ended: make(chan struct{})}
		c.out.room.add(0)
		c.out.count(token, 1)
		c.out.bind(token, 1)
		return token
	}
	acknowledged, unsent := handOver(1), handOver(0)
	c.onPublish(nil, 1, 0, nil)
	require.True(t, unsent.isOver())
	require.False(t, acknowledged.isOver())
	c.lost()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err = acknowledged.Wait(ctx)
	require.ErrorIs(t, err, ErrConnectionLost)
	require.ErrorIs(t, err, ErrAbandoned)

	acknowledged, _ = handOver(1), handOver(0)
	c.onPublish(nil, 1, 0, nil)
	c.onPublish(nil, 1, 0, nil)
	require.NoError(t, acknowledged.Wait(ctx))
	require.Zero(t, c.Stats().Queued)
}
