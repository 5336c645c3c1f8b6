//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// closesFor is a script that closes the connection for each PUBLISH on a topic.
func closesFor(topic string) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.PUBLISH || p.topic() != topic {
			return false
		}
		c.Close()
		return true
	}
}

// requireDeliveryError requires the error that reports that the broker closed the connection
// because of a message.
func requireDeliveryError(t *testing.T, err error, topic string, qos mqtt.QoS, attempts int) {
	t.Helper()
	var failed *mqtt.DeliveryError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, topic, failed.Topic)
	require.Equal(t, qos, failed.QoS)
	require.Equal(t, attempts, failed.Attempts)
	require.Error(t, failed.Err, "the error must have the reason of the last connection loss")
	require.Contains(t, err.Error(), topic)
	require.Contains(t, err.Error(), fmt.Sprintf("closed the connection %d times", attempts))
	require.Contains(t, err.Error(), fmt.Sprintf("(%d bytes)", failed.Size))
	require.Contains(t, err.Error(), "brokers do this for a message that is too large or not allowed")
	require.NotContains(t, err.Error(), "\n")
}

// The broker gets the message three times; the messages behind it are delivered.
func TestDeliveryAttempts_ThreeByDefault(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		for _, qos := range []mqtt.QoS{1, 2} {
			t.Run(fmt.Sprintf("%v, QoS %d", version, qos), func(t *testing.T) {
				t.Parallel()
				b := startFakeBroker(t, closesFor("refused"))
				c := dial(t, b.port, mqtt.WithProtocol(version))
				refused := c.PublishAsync(wait.Soon(t), "refused", nil, mqtt.WithQoS(qos))
				behind := c.PublishAsync(wait.Soon(t), "behind", nil, mqtt.WithQoS(qos))
				requireDeliveryError(t, refused.Wait(wait.Soon(t)), "refused", qos, 3)
				require.NoError(t, behind.Wait(wait.Soon(t)))
				require.NoError(t, c.Publish(wait.Soon(t), "after", nil, mqtt.WithQoS(qos)))
				require.Len(t, b.published("refused"), 3)
				require.Zero(t, c.Stats().Queued)
			})
		}
	}
}

func TestDeliveryAttempts_OptionSetsTheNumber(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 5} {
		b := startFakeBroker(t, closesFor("refused"))
		c := dial(t, b.port, mqtt.WithDeliveryAttempts(attempts))
		requireDeliveryError(t, c.Publish(wait.Soon(t), "refused", nil), "refused", 1, attempts)
		require.NoError(t, c.Publish(wait.Soon(t), "after", nil))
		require.Len(t, b.published("refused"), attempts)
	}
}

// After a node of a cluster has failed, the other nodes may close connections for a while.
func TestDeliveryAttempts_TheNumberIsForEachServer(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, closesFor("refused"))
	other := startFakeBroker(t, closesFor("refused"))
	c := dialAll(t, []string{url(b.port), url(other.port)}, mqtt.WithDeliveryAttempts(2))
	requireDeliveryError(t, c.Publish(wait.Soon(t), "refused", nil), "refused", 1, 4)
	require.NoError(t, c.Publish(wait.Soon(t), "after", nil))
	require.Equal(t, 4, len(b.published("refused"))+len(other.published("refused")))
}

func TestDeliveryAttempts_ZeroMeansNoLimit(t *testing.T) {
	t.Parallel()
	const closings = 10
	n := 0
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.PUBLISH || n == closings {
			return false
		}
		n++
		c.Close()
		return true
	})
	c := dial(t, b.port, mqtt.WithDeliveryAttempts(0))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.Len(t, b.published("a"), closings+1)
}

func TestDeliveryAttempts_NegativeNumberIsAnError(t *testing.T) {
	t.Parallel()
	_, err := mqtt.Dial(wait.Soon(t), []string{url(startFakeBroker(t, nil).port)}, mqtt.WithDeliveryAttempts(-1))
	require.ErrorContains(t, err, "WithDeliveryAttempts")
}

// The broker acknowledges one message on each connection and then closes it. No particular
// message causes this, so none may fail.
func TestDeliveryAttempts_AcknowledgementsResetTheNumber(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, closesAfterPublish)
	c := dial(t, b.port)
	var all []*mqtt.Token
	for n := range 20 {
		all = append(all, c.PublishAsync(wait.Soon(t), fmt.Sprint("a/", n), nil))
	}
	for _, token := range all {
		require.NoError(t, token.Wait(wait.Soon(t)))
	}
}

// Connection losses without a message in flight do not count as delivery attempts.
func TestDeliveryAttempts_IdleConnectionsDoNotCount(t *testing.T) {
	t.Parallel()
	closed := 0
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.PUBLISH || closed == 2 {
			return false
		}
		closed++
		c.Close()
		return true
	})
	c := dial(t, b.port)
	for n := range 5 {
		b.conn().Close()
		wait.Until(t, "the next connection", func() bool { return b.connections() == n+2 })
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// A message whose context has ended while it was in flight is not sent again after
// the next loss.
func TestDeliveryAttempts_CancelledMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, qos := range []mqtt.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() != fakebroker.PUBLISH {
					return false
				}
				if c.number == 1 {
					c.Close()
				}
				return c.number <= 2 // the second connection gets no reply
			})
			c := dial(t, b.port, mqtt.WithDeliveryAttempts(0))
			ctx, cancel := context.WithCancel(context.Background())
			cancelled := inBackground(func() error { return c.Publish(ctx, "cancelled", nil, mqtt.WithQoS(qos)) })
			wait.Until(t, "the message on the second connection", func() bool { return len(b.published("cancelled")) == 2 })
			behind := c.PublishAsync(wait.Soon(t), "behind", nil, mqtt.WithQoS(qos))
			cancel()
			err := wait.For(t, cancelled, "Publish")
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, mqtt.ErrAbandoned)
			b.conn().Close()
			require.NoError(t, behind.Wait(wait.Soon(t)))
			require.Len(t, b.published("cancelled"), 2)
			require.NoError(t, c.Close(wait.Soon(t)))
		})
	}
}

// The broker closes the connection because of the last message. Close returns when the message
// has failed, before its context ends.
func TestDeliveryAttempts_CloseEndsBeforeItsContext(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, closesFor("refused"))
	c := dial(t, b.port)
	refused := c.PublishAsync(context.Background(), "refused", nil)
	behind := c.PublishAsync(context.Background(), "behind", nil)
	closed := inBackground(func() error { return c.Close(context.Background()) })
	wait.For(t, closed, "Close")
	requireDeliveryError(t, refused.Err(), "refused", 1, 3)
	require.NoError(t, behind.Err())
}

// The client deletes a message of an earlier process from the outbox when its attempts failed.
func TestDeliveryAttempts_MessageOfAnEarlierProcessLeavesTheOutbox(t *testing.T) {
	t.Parallel()
	o := filled(0)
	for _, topic := range []string{"before", "refused", "behind"} {
		_, err := o.Put(&mqtt.Publication{Topic: topic, QoS: 1})
		require.NoError(t, err)
	}
	b := startFakeBroker(t, closesFor("refused"))
	c := dial(t, b.port, mqtt.WithOutbox(o))
	wait.Until(t, "an empty outbox", func() bool { return o.len() == 0 })
	require.NoError(t, c.Close(wait.Soon(t)))
	require.NotEmpty(t, b.published("behind"))
	require.Len(t, b.published("refused"), 3)
}

// With MQTT 3.1.1 mosquitto closes the connection when a packet is larger than its limit.
func TestDeliveryAttempts_MessageOverTheLimitOfMosquittoFails(t *testing.T) {
	t.Parallel()
	for _, qos := range []mqtt.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			const messages = 10 // before and after the large message
			b := broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true\nmax_inflight_messages 0\nmax_packet_size 1000"})
			got := map[mqtt.QoS]<-chan mqtt.Message{}
			direct := dial(t, b.Port)
			for q := range mqtt.QoS(3) {
				var h mqtt.Handler
				h, got[q] = collect()
				require.NoError(t, direct.Subscribe(wait.Soon(t), fmt.Sprint("numbers/", q), 2, h))
			}
			o := filled(0)
			c := dial(t, b.Port, mqtt.WithClientID("publisher"), mqtt.WithSession(time.Hour), mqtt.WithOutbox(o))
			send := func(n int, q mqtt.QoS) *mqtt.Token {
				return c.PublishAsync(wait.Soon(t), fmt.Sprint("numbers/", q), fmt.Append(nil, n), mqtt.WithQoS(q))
			}
			for n := range messages { // QoS 0 messages in flight would be lost with the connection
				require.NoError(t, send(n, 0).Wait(wait.Soon(t)))
				wait.For(t, got[0], "a message of QoS 0")
			}
			reliable, lossy := []*mqtt.Token{}, []*mqtt.Token{}
			for n := range messages {
				reliable = append(reliable, send(n, 1), send(n, 2))
			}
			large := c.PublishAsync(wait.Soon(t), "large", make([]byte, 5000), mqtt.WithQoS(qos))
			for n := messages; n < 2*messages; n++ {
				reliable = append(reliable, send(n, 1), send(n, 2))
				lossy = append(lossy, send(n, 0))
			}
			requireDeliveryError(t, large.Wait(wait.Soon(t)), "large", qos, 3)
			require.ErrorContains(t, large.Err(), `mqtt: publish to "large" (5000 bytes): given up: `)
			for _, token := range reliable {
				require.NoError(t, token.Wait(wait.Soon(t)))
			}
			for _, token := range lossy {
				if err := token.Wait(wait.Soon(t)); err != nil {
					require.ErrorIs(t, err, mqtt.ErrConnectionLost)
				}
			}
			for q := range mqtt.QoS(3) {
				require.NoError(t, send(2*messages, q).Wait(wait.Soon(t)))
			}
			for last := ""; last != fmt.Sprint(2*messages); {
				last = string(wait.For(t, got[0], "the last message of QoS 0").Payload)
			}
			requireNumbers(t, got[1], 0, 2*messages, true)
			requireNumbers(t, got[2], 0, 2*messages, false)
			closing := wait.Soon(t)
			require.NoError(t, c.Close(closing))
			require.NoError(t, closing.Err())
			require.Zero(t, o.len())
		})
	}
}

// requireNumbers requires messages with all numbers from first to last, in order. With repeats
// it also accepts repetitions of earlier messages.
func requireNumbers(t *testing.T, got <-chan mqtt.Message, first, last int, repeats bool) {
	t.Helper()
	var all []int
	seen := map[int]bool{}
	for !seen[last] {
		n := parseNumbers(t, []string{string(wait.For(t, got, fmt.Sprint("number ", last)).Payload)})[0]
		all, seen[n] = append(all, n), true
	}
	require.NoError(t, checkOrder(all, repeats))
	require.Len(t, seen, last-first+1)
}
