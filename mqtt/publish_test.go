//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// This file tests each line of "What a nil error means" in the package's documentation.
// queue_limits_test.go tests the errors of a full queue.

// Publish returns nil after PUBACK, after PUBCOMP, or after the last byte of a QoS 0 message
// was written.
func TestPublish_NilMeansAcknowledged(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	conn.Dialog().Expect(fakebroker.V311.Publish(2, "a", 1, ""))
	wait.None(t, ended, "end before PUBACK")
	conn.Send(fakebroker.V311.Puback(1))
	require.NoError(t, wait.For(t, ended, "PUBACK"))

	ended = inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(2)) })
	conn.Dialog().Expect(fakebroker.V311.Publish(4, "a", 2, ""))
	conn.Send(fakebroker.V311.Pubrec(2))
	conn.Dialog().Expect(fakebroker.V311.Pubrel(2))
	wait.None(t, ended, "end before PUBCOMP")
	conn.Send(fakebroker.V311.Pubcomp(2))
	require.NoError(t, wait.For(t, ended, "PUBCOMP"))

	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(0)))
	conn.Dialog().Expect(fakebroker.V311.Publish(0, "a", 0, ""))

	ended = inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	packet := conn.Expect(fakebroker.SUBSCRIBE)
	wait.None(t, ended, "end before SUBACK")
	conn.Send(fakebroker.V311.Suback(packet.MID(), []byte{1}))
	require.NoError(t, wait.For(t, ended, "SUBACK"))
}

func TestPublish_ContextThatEndsBeforeCancels(t *testing.T) {
	t.Parallel()
	c, proxy, got := unreachable(t)
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		err := c.Publish(context50ms(t), "a", []byte("never"), mqtt.WithQoS(qos))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, mqtt.ErrAbandoned)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, c.Publish(over, "a", []byte("never")), context.Canceled)
	require.ErrorIs(t, c.PublishAsync(over, "a", []byte("never")).Err(), context.Canceled)
	require.ErrorIs(t, c.Subscribe(context50ms(t), "b", 1, ignore), context.DeadlineExceeded)
	require.Zero(t, c.Stats().Queued)
	proxy.AcceptNew()
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("1")))
	awaitNumbers(t, got, 1)
	wait.None(t, got, "message")
}

// An abandoned message may still be delivered. In this test it is, and its token ends later.
func TestPublish_ContextThatEndsAfterwardsAbandons(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	token := c.PublishAsync(ctx, "a", nil)
	conn.Dialog().Expect(fakebroker.V311.Publish(2, "a", 1, ""))
	cancel()
	err := token.Wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, mqtt.ErrAbandoned)
	requirePending(t, token)
	conn.Send(fakebroker.V311.Puback(1))
	require.NoError(t, token.Wait(wait.Soon(t)))
}

// The message stays in flight until the broker acknowledges it on the next connection.
func TestPublish_LossDoesNotEndQoS1And2(t *testing.T) {
	t.Parallel()
	for _, qos := range []mqtt.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, conn := dialScriptedBroker(t, p)
			token := c.PublishAsync(wait.Soon(t), "a", []byte("x"), mqtt.WithQoS(qos))
			waited := inBackground(func() error { return token.Wait(wait.Soon(t)) })
			conn.Dialog().Expect(fakebroker.V311.Publish(byte(qos)<<1, "a", 1, "x"))
			for range 2 {
				conn.Close()
				conn = p.AcceptConnect()
				dup := byte(8)
				if qos == 2 { // without a session the broker does not know the message: it is sent as a new message
					dup = 0
				}
				conn.Dialog().Expect(fakebroker.V311.Publish(dup|byte(qos)<<1, "a", 1, "x"))
				requirePending(t, token)
				wait.None(t, waited, "end of Wait")
			}
			if qos == 2 {
				conn.Send(fakebroker.V311.Pubrec(1))
				conn.Dialog().Expect(fakebroker.V311.Pubrel(1))
				requirePending(t, token)
				conn.Send(fakebroker.V311.Pubcomp(1))
			} else {
				conn.Send(fakebroker.V311.Puback(1))
			}
			require.NoError(t, wait.For(t, waited, "Wait"))
			require.NoError(t, token.Err())
		})
	}
}

// A QoS 0 message whose token ended with nil was written before the connection loss.
func TestPublish_UnwrittenQoS0Fails(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	tokens := make([]*mqtt.Token, 200)
	for i := range tokens {
		tokens[i] = c.PublishAsync(wait.Soon(t), "a", make([]byte, 100_000), mqtt.WithQoS(0))
	}
	stuck := func() bool { return c.Stats().Published > 0 }
	wait.Until(t, "the first to be written", stuck)
	requirePending(t, tokens[len(tokens)-1]) // the socket buffer of the kernel is full
	conn.Reset()
	conn = p.AcceptConnect()
	lost, waiting := 0, 0
	for _, token := range tokens {
		select {
		case <-token.Done():
			if token.Err() != nil {
				require.ErrorIs(t, token.Err(), mqtt.ErrConnectionLost)
				lost++
			}
		default:
			waiting++ // not submitted to the library yet: the next connection sends it
		}
	}
	require.Positive(t, lost)
	require.Positive(t, waiting)
	go func() {
		for {
			if _, err := conn.Next(); err != nil {
				return
			}
		}
	}()
	for _, token := range tokens {
		if err := token.Wait(wait.Soon(t)); err != nil {
			require.ErrorIs(t, err, mqtt.ErrConnectionLost)
			lost--
		}
	}
	require.Zero(t, lost)
}

// With MQTT 5 a PUBACK can have a reason code that refuses the message.
func TestPublish_RefusalIsAnError(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V5))
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.V5.Answer(fakebroker.PUBACK, 1, 0x97, fakebroker.ReasonString("no more today")))
	err := wait.For(t, ended, "Publish")
	var refused *mqtt.PublishError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, &mqtt.PublishError{Topic: "a", Code: mosquitto.RCQuotaExceeded, Text: "no more today"}, refused)
	require.ErrorIs(t, err, mosquitto.ReasonError{Code: mosquitto.RCQuotaExceeded})
}

// WithOnlineOnly fails at once without a connection, for every QoS, and when the
// connection is lost before the message is sent.
func TestOnlineOnly_FailsWithoutAConnection(t *testing.T) {
	t.Parallel()
	c, b, proxy := offlineV5(t)
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		require.ErrorIs(t, c.Publish(context.Background(), "a", nil, mqtt.WithQoS(qos), mqtt.WithOnlineOnly()), mqtt.ErrNotConnected)
	}
	require.Zero(t, c.Stats().Queued)
	proxy.AcceptNew()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithOnlineOnly()))
	require.Len(t, b.published("a"), 1)
}

// The context of each of the first calls ends when its message is acknowledged. Later calls
// must not take the result of such an earlier call.
func TestPublish_EarlierResultIsNotReused(t *testing.T) {
	_, proxy := startProxiedBroker(t)
	c := dial(t, proxy.Port)
	for range 50 {
		before := c.Stats().Published
		err := c.Publish(&lateContext{Context: context.Background(), until: func() bool { return c.Stats().Published > before }}, "a", nil)
		require.NoError(t, err)
	}
	proxy.Stall(2)
	for range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		require.ErrorIs(t, c.Publish(ctx, "a", nil), context.DeadlineExceeded)
		cancel()
	}
}

// A subscriber without network faults receives each message for which Publish returned nil.
func TestPublish_NilMeansDelivered(t *testing.T) {
	t.Parallel()
	duringEachFault(t, nil, func(t *testing.T, x networkFault, p *faultproxy.Proxy, c, direct *mqtt.Client) {
		seen := &numberRecorder{byTopic: map[string][]int{}}
		topics := []string{"", t.Name() + "/1", t.Name() + "/2"}
		require.NoError(t, direct.Subscribe(wait.Soon(t), t.Name()+"/#", 2, seen.handle))
		acknowledged := make([][]int, 3)
		publish := func(n int) {
			var both sync.WaitGroup
			for qos := 1; qos <= 2; qos++ {
				both.Add(1)
				go func() {
					defer both.Done()
					if c.Publish(context100ms(t), topics[qos], fmt.Append(nil, n), mqtt.WithQoS(mqtt.QoS(qos))) == nil {
						acknowledged[qos] = append(acknowledged[qos], n)
					}
				}()
			}
			both.Wait()
		}
		for n := range 12 {
			switch n % 4 {
			case 1:
				x.begin(p)
			case 3:
				x.end(p)
			}
			publish(n)
		}
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		require.NotEmpty(t, acknowledged[1])
		for qos := 1; qos <= 2; qos++ {
			wait.Until(t, "the acknowledged messages", func() bool { return seen.has(topics[qos], acknowledged[qos]) })
		}
	})
}

// The fault proxy cuts the connection after each byte of the messages and of the
// acknowledgements.
func TestPublish_SurvivesACutAfterEachByte(t *testing.T) {
	t.Parallel()
	b := startOrderedBroker(t)
	p := faultproxy.Start(t, b.Addr())
	seen := recordNumbers(t, b.Port, "cut/#")
	c := dial(t, p.Port, mqtt.WithClientID("cut"), mqtt.WithSession(time.Hour), mqtt.WithProtocol(mqtt.V5))
	n := 0
	for _, d := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
		for after := range 24 {
			p.CutAfter(d, after)
			for qos := mqtt.QoS(1); qos <= 2; qos++ {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprint("cut/", qos), fmt.Append(nil, n), mqtt.WithQoS(qos)))
			}
			n++
		}
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	wait.Until(t, "the messages", func() bool { return seen.has("cut/1", all) && seen.has("cut/2", all) })
	require.Equal(t, all, seen.numbers("cut/2"), "each QoS 2 message arrives exactly once")
	require.NoError(t, checkOrder(seen.numbers("cut/1"), true))
}

func TestPublish_AliasWithoutTopicNeedsQoS0(t *testing.T) {
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	for _, qos := range []mqtt.QoS{1, 2} {
		err := c.Publish(wait.Soon(t), "", nil, mqtt.WithQoS(qos), mqtt.WithTopicAlias(1))
		require.ErrorContains(t, err, "topic")
		require.ErrorIs(t, err, mosquitto.ErrInval)
	}
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithTopicAlias(1)))
	require.NoError(t, c.Publish(wait.Soon(t), "", nil, mqtt.WithQoS(0), mqtt.WithTopicAlias(1)))
}

// A program may publish a received message again with its properties. The client leaves out
// subscription identifiers, which a client must not send [MQTT-3.3.4-6].
func TestPublish_ForwardedMessageHasNoSubscriptionIdentifier(t *testing.T) {
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V5.Connack(false, 0))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	handler := func(ctx context.Context, m mqtt.Message) {
		c.PublishAsync(ctx, "out", m.Payload, mqtt.WithQoS(0), mqtt.WithProperties(m.Properties))
	}
	asked := inBackground(func() error { return c.Subscribe(wait.Soon(t), "in", 0, handler) })
	ask := conn.Expect(fakebroker.SUBSCRIBE)
	id := ask.Body[4] // the properties begin with a byte for their length and one for the property's identifier
	conn.Send(fakebroker.V5.Suback(ask.MID(), []byte{0}))
	require.NoError(t, wait.For(t, asked, "the answer"))
	unit := fakebroker.UserProperty("unit", "kWh")
	conn.Send(fakebroker.V5.Publish(0, "in", 0, "42", fakebroker.SubscriptionID(int(id)), unit))
	sent := conn.Expect(fakebroker.PUBLISH)
	require.Equal(t, fakebroker.V5.Publish(0, "out", 0, "42", unit), fakebroker.Bytes(sent.First, sent.Body...))
}
