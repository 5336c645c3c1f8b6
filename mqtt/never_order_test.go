//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// Never: a handler called twice for one delivery, or out of order.

// What a connection took with it unacknowledged is sent again before what was
// published since.
func TestNeverOutOfOrderAfterALoss(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		for qos := mqtt.QoSLevel(1); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("%v QoS %d", version, qos), func(t *testing.T) {
				p := peer.Listen(t)
				c, conn := meet(t, p, mqtt.WithProtocol(version))
				publish := func(n int) {
					c.PublishAsync(context.Background(), "a", fmt.Append(nil, n), mqtt.QoS(qos))
				}
				const half = 5
				for n := range half {
					publish(n)
				}
				for range half {
					conn.Expect(peer.PUBLISH)
				}
				conn.Reset()
				eventually(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
				for n := range half {
					publish(half + n)
				}
				conn = p.AcceptConnect()
				for n := 0; n < 2*half; {
					packet, err := conn.Next()
					require.NoError(t, err)
					switch packet.Type() {
					case peer.PUBLISH:
						require.Equal(t, fmt.Sprint(n), string(packet.Body[len(packet.Body)-1:]))
						n++
						mid := uint16(packet.Body[3])<<8 | uint16(packet.Body[4])
						conn.Send(peer.Ack(map[mqtt.QoSLevel]byte{1: peer.PUBACK, 2: peer.PUBREC}[qos], mid))
					case peer.PUBREL:
						conn.Send(peer.Ack(peer.PUBCOMP, packet.MID()))
					}
				}
			})
		}
	}
}

// The wait for what is sent again ends also where the broker never answers it.
func TestNeverHangsBehindAMessageThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, conn := meet(t, p)
	ignored := c.PublishAsync(context.Background(), "ignored", nil)
	conn.Expect(peer.PUBLISH)
	conn.Reset()
	eventually(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	ended := outcome(func() error { return c.Publish(soon(t), "a", nil) })
	conn = p.AcceptConnect()
	conn.Expect(peer.PUBLISH)
	conn.Send(peer.Ack(peer.PUBACK, uint16(conn.Expect(peer.PUBLISH).Body[4])))
	require.NoError(t, await(t, ended, "Publish"))
	pending(t, ignored)
}
