//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// After a reconnect the client sends unacknowledged messages before the messages that were
// published after the connection loss.
func TestInflight_UnacknowledgedMessagesAreSentFirst(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		for qos := mqtt.QoS(1); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("%v QoS %d", version, qos), func(t *testing.T) {
				p := fakebroker.Listen(t)
				c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(version))
				publish := func(n int) {
					c.PublishAsync(context.Background(), "a", fmt.Append(nil, n), mqtt.WithQoS(qos))
				}
				const half = 5
				for n := range half {
					publish(n)
				}
				for range half {
					conn.Expect(fakebroker.PUBLISH)
				}
				conn.Reset()
				wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
				for n := range half {
					publish(half + n)
				}
				conn = p.AcceptConnect()
				for n := 0; n < 2*half; {
					packet, err := conn.Next()
					require.NoError(t, err)
					switch packet.Type() {
					case fakebroker.PUBLISH:
						require.Equal(t, fmt.Sprint(n), string(packet.Body[len(packet.Body)-1:]))
						n++
						mid := uint16(packet.Body[3])<<8 | uint16(packet.Body[4])
						conn.Send(fakebroker.Ack(map[mqtt.QoS]byte{1: fakebroker.PUBACK, 2: fakebroker.PUBREC}[qos], mid))
					case fakebroker.PUBREL:
						conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, packet.MID()))
					}
				}
			})
		}
	}
}

// The broker never acknowledges a message that is sent again. Later messages are sent all the
// same.
func TestInflight_MissingAcknowledgementDoesNotBlock(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	ignored := c.PublishAsync(context.Background(), "ignored", nil)
	conn.Expect(fakebroker.PUBLISH)
	conn.Reset()
	wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	conn = p.AcceptConnect()
	conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(conn.Expect(fakebroker.PUBLISH).Body[4])))
	require.NoError(t, wait.For(t, ended, "Publish"))
	requirePending(t, ignored)
}

// The order is kept for published and received messages. With a kept session QoS 2 messages
// arrive exactly once.
func TestInflight_OrderIsKeptDuringFaults(t *testing.T) {
	t.Parallel()
	const count = 200
	name := func(t *testing.T) string { return strings.NewReplacer("/", "-", ",", "").Replace(t.Name()) }
	b := startOrderedBroker(t)
	for _, x := range networkFaults {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := faultproxy.Start(t, b.Addr())
			in, out := &numberRecorder{byTopic: map[string][]int{}}, recordNumbers(t, b.Port, name(t)+"/out/#")
			c := dial(t, p.Port, shortConnectTimeout(), mqtt.WithClientID(name(t)), mqtt.WithSession(time.Hour),
				mqtt.WithSubscription(name(t)+"/in/#", 1, in.handle))
			direct := dial(t, b.Port)
			last := []*mqtt.Token{}
			for n := range count {
				switch n {
				case count / 4:
					x.begin(p)
				case count / 2:
					x.end(p)
				}
				for qos := mqtt.QoS(0); qos <= 2; qos++ {
					last = append(last, c.PublishAsync(wait.Soon(t), fmt.Sprint(name(t), "/out/", qos), fmt.Append(nil, n), mqtt.WithQoS(qos)))
				}
				require.NoError(t, direct.Publish(wait.Soon(t), name(t)+"/in/1", fmt.Append(nil, n)))
			}
			for _, token := range last {
				require.True(t, isDocumentedError(token.Wait(wait.Soon(t))))
			}
			all := make([]int, count)
			for i := range all {
				all[i] = i
			}
			wait.Until(t, "the messages", func() bool {
				return out.has(name(t)+"/out/1", all) && out.has(name(t)+"/out/2", all) && in.has(name(t)+"/in/1", all)
			})
			require.NoError(t, checkOrder(out.numbers(name(t)+"/out/0"), false))
			require.NoError(t, checkOrder(out.numbers(name(t)+"/out/1"), true))
			require.Equal(t, all, out.numbers(name(t)+"/out/2"))
			require.NoError(t, checkOrder(in.numbers(name(t)+"/in/1"), true))
		})
	}
}
