package boltoutbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
)

func url(port int) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", port) }

// brisk starts a broker that does not delay small packets.
func brisk(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
}

// dial connects a client that is closed when the test ends.
func dial(t testing.TB, port int, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	options = append([]mqtt.Option{mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0)}, options...)
	c, err := mqtt.Dial(wait.Soon(t), []string{url(port)}, options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = shut(c) })
	return c
}

// shut closes a client after at most 50 ms.
func shut(c *mqtt.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	return c.Close(ctx)
}

// collect subscribes to all topics.
func collect(t testing.TB, b *broker.Broker, options ...mqtt.Option) <-chan mqtt.Message {
	t.Helper()
	ch := make(chan mqtt.Message, 100_000)
	dial(t, b.Port, append(options, mqtt.WithSubscription("#", 2, func(_ context.Context, m mqtt.Message) { ch <- m }))...)
	return ch
}

func TestClient_MessagesOfAnEarlierClientAreDelivered(t *testing.T) {
	b, file := brisk(t), newFile(t)
	b.Stop()
	o := open(t, file)
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect(), mqtt.WithOutbox(o))
	for i := range 100 {
		require.NoError(t, c.PublishAsync(wait.Soon(t), "a", fmt.Append(nil, i)).Err())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := c.Publish(ctx, "b", []byte("x"), mqtt.WithQoS(2), mqtt.WithRetain(true), mqtt.WithContentType("text/plain"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, mqtt.ErrAbandoned)
	require.NoError(t, c.PublishAsync(wait.Soon(t), "lost", nil, mqtt.WithQoS(0)).Err())
	var unsent *mqtt.CloseError
	require.ErrorAs(t, shut(c), &unsent)
	require.Len(t, unsent.Unsent, 102)
	require.True(t, unsent.Unsent[100].Stored)
	require.False(t, unsent.Unsent[101].Stored)
	require.NoError(t, o.Close())

	o = open(t, file)
	require.Equal(t, 101, length(t, o))
	b.Restart()
	got := collect(t, b, mqtt.WithProtocol(mqtt.V5))
	c = dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithOutbox(o), mqtt.WithQueue(10, 1<<20, mqtt.Refuse))
	for i := range 100 {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, got, "a message").Payload))
	}
	require.NoError(t, c.Close(wait.Soon(t)))
	m := wait.For(t, got, "the last message")
	kind, _ := m.Properties.Text(mosquitto.PropContentType)
	require.Equal(t, []any{"b", mqtt.QoS(2), "text/plain"}, []any{m.Topic, m.QoS, kind})
	require.True(t, wait.For(t, collect(t, b), "the retained message").Retain)
	require.Zero(t, length(t, o))
}

func TestClient_CloseAvoidsDuplicates(t *testing.T) {
	b, file := brisk(t), newFile(t)
	got := collect(t, b)
	for round := range 3 {
		o := open(t, file)
		require.Zero(t, length(t, o))
		c := dial(t, b.Port, mqtt.WithOutbox(o))
		for i := range 50 {
			c.PublishAsync(wait.Soon(t), "a", fmt.Append(nil, round, i))
		}
		require.NoError(t, c.Close(wait.Soon(t)))
		again := dial(t, b.Port, mqtt.WithOutbox(o)) // deletions are not on the disk yet
		require.NoError(t, again.Close(wait.Soon(t)))
		require.NoError(t, o.Close())
		for i := range 50 {
			require.Equal(t, fmt.Sprint(round, i), string(wait.For(t, got, "a message").Payload))
		}
	}
	require.Empty(t, got)
}

// A message that cannot be stored is neither accepted nor sent.
func TestClient_PublishReturnsTheErrorOfTheOutbox(t *testing.T) {
	b := brisk(t)
	got := collect(t, b)
	o := open(t, newFile(t))
	c := dial(t, b.Port, mqtt.WithOutbox(o))
	require.NoError(t, o.Close()) // too early: the client is still open
	require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil), boltoutbox.ErrClosed)
	require.ErrorIs(t, c.PublishAsync(wait.Soon(t), "a", nil, mqtt.WithQoS(2)).Err(), boltoutbox.ErrClosed)
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil, mqtt.WithQoS(0)))
	require.Equal(t, "b", wait.For(t, got, "a message").Topic)
	require.Zero(t, c.Stats().Queued)
}
