//go:build cgo

package mqtt_test

import (
	"context"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// This file tests each line of "What a nil error means" in the package's documentation.
// waits_test.go tests connection losses, queue_limits_test.go tests the queue.

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

// The subscription is also removed from the broker.
func TestSubscribe_ContextThatEndsCancels(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() error { return c.Subscribe(ctx, "a", 1, ignore) })
	mid := conn.Expect(fakebroker.SUBSCRIBE).MID()
	cancel()
	require.ErrorIs(t, wait.For(t, ended, "Subscribe"), context.Canceled)
	conn.Send(fakebroker.V311.Suback(mid, []byte{1}))
	conn.Send(fakebroker.V311.Unsuback(conn.Expect(fakebroker.UNSUBSCRIBE).MID(), nil))
	conn.Close()
	conn = p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	c.PublishAsync(wait.Soon(t), "p", nil)
	conn.Expect(fakebroker.PUBLISH) // the client sends no SUBSCRIBE
}

// Calls end after Close and after a permanent refusal. After a refusal their error contains
// the error of the refusal.
func TestCalls_EndWithTheClient(t *testing.T) {
	t.Parallel()
	c, _, _ := unreachable(t)
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	subscribing := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	wait.Until(t, "the message", func() bool { return c.Stats().Queued == 1 })
	closeNow(t, c)
	require.ErrorIs(t, wait.For(t, ended, "Publish"), mqtt.ErrClosed)
	require.ErrorIs(t, wait.For(t, subscribing, "Subscribe"), mqtt.ErrClosed)

	p := fakebroker.Listen(t)
	c = dial(t, p.Port, mqtt.WithBackgroundConnect())
	ended = inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	wait.Until(t, "the message", func() bool { return c.Stats().Queued == 1 })
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(false, 5))
	wait.For(t, c.Done(), "the end of the client")
	for _, err := range []error{wait.For(t, ended, "Publish"), c.Publish(wait.Soon(t), "a", nil), c.Err()} {
		require.ErrorIs(t, err, mqtt.ErrClosed)
		var refusal mosquitto.ConnackError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, mosquitto.ConnackRefusedNotAuthorized, refusal.Code)
	}
}
