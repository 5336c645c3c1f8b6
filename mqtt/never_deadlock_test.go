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

// Never: a deadlock from calling anything inside a handler.

// consumers run a function for each message on "a": on the worker, and in the
// loop of an iterator. The function says whether to go on.
var consumers = map[string]func(c *mqtt.Client, f func() bool) error{
	"worker": func(c *mqtt.Client, f func() bool) error {
		return c.Subscribe(context.Background(), "a", 0, func(context.Context, mqtt.Message) { f() })
	},
	"iterator": func(c *mqtt.Client, f func() bool) error {
		for _, err := range c.Messages(context.Background(), "a", 0) {
			if err != nil || !f() {
				return err
			}
		}
		return nil
	},
}

// flood sends many messages, and what is behind them.
func flood(conn *peer.Conn, messages int, behind []byte) {
	var all []byte
	for range messages {
		all = append(all, peer.Publish(0, "a", 0, "")...)
	}
	conn.Send(append(all, behind...))
}

// A handler waits for an answer that is behind more messages than its queue holds,
// or behind more than it may ever hold.
func TestNeverDeadlocksBehindMessages(t *testing.T) {
	t.Parallel()
	for _, behind := range []struct {
		name     string
		messages int
		want     error
	}{{"worker", 50, nil}, {"worker", 1000, mqtt.ErrHandlerQueueFull}, {"iterator", 5000, nil}} {
		t.Run(fmt.Sprint(behind.name, " ", behind.messages), func(t *testing.T) {
			t.Parallel()
			p := peer.Listen(t)
			c, conn := meet(t, p, mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)))
			errs, consumed := make(chan error, 10_000), make(chan error, 1)
			go func() {
				consumed <- consumers[behind.name](c, func() bool {
					errs <- c.Publish(context.Background(), "b", nil)
					return false
				})
			}()
			subscribed(conn, 0)
			flood(conn, 1, nil)
			publish := conn.Expect(peer.PUBLISH)
			flood(conn, behind.messages, peer.Ack(peer.PUBACK, uint16(publish.Body[4])))
			require.ErrorIs(t, await(t, errs, "the handler's Publish"), behind.want)
			conn.Close()
			await(t, consumed, "the end of Subscribe, or of the loop")
			shut(t, c)
		})
	}
}

// Close in the loop of an iterator that has more messages than its queue holds.
func TestNeverDeadlocksClosingInALoop(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, conn := meet(t, p)
	closed, consumed := make(chan error, 2), make(chan error, 1)
	go func() {
		first := true
		consumed <- consumers["iterator"](c, func() bool {
			if first {
				first = false
				token := c.PublishAsync(context.Background(), "b", nil)
				closed <- c.Close(soon(t))
				closed <- token.Err()
			}
			return true
		})
	}()
	subscribed(conn, 0)
	flood(conn, 1, nil)
	publish := conn.Expect(peer.PUBLISH)
	flood(conn, 5000, peer.Ack(peer.PUBACK, uint16(publish.Body[4])))
	require.NoError(t, await(t, closed, "Close"))
	require.NoError(t, await(t, closed, "the token"))
	require.ErrorIs(t, await(t, consumed, "the end of the loop"), mqtt.ErrClosed)
}
