//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// publishesAfterSubscribe returns a script that sends n numbered messages on a topic after each
// SUBACK.
func publishesAfterSubscribe(topic string, n int) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.SUBSCRIBE {
			return false
		}
		c.grant(p)
		for i := range n {
			c.publish(0, topic, 0, fmt.Sprint(i))
		}
		return true
	}
}

// A program may pull messages with iter.Pull2 from any goroutine, and may call the client
// between two messages. The test runs in a child process, because a fatal error of the Go
// runtime would end all tests.
func TestMessages_CanBePulled(t *testing.T) {
	t.Parallel()
	if !isChild(t) {
		output, err := runInChild(t)
		require.NoError(t, err, output)
		return
	}
	b := startFakeBroker(t, publishesAfterSubscribe("a", 30))
	c := dial(t, b.port)
	next, stop := iter.Pull2(c.Messages(wait.Soon(t), "a", 1))
	defer stop()
	for n := range 20 {
		pulled := inBackground(func() error { // each pull in another goroutine
			m, err, ok := next()
			if err == nil && (!ok || string(m.Payload) != fmt.Sprint(n)) {
				err = fmt.Errorf("message %d: %t %q", n, ok, m.Payload)
			}
			return err
		})
		require.NoError(t, wait.For(t, pulled, "a message"))
		require.NoError(t, c.Publish(wait.Soon(t), "b", nil))
	}
	stop()
	wait.Until(t, "an UNSUBSCRIBE", func() bool { return len(b.received(fakebroker.UNSUBSCRIBE)) == 1 })
	require.NoError(t, c.Close(wait.Soon(t)))
}

// Two pulled iterators and a range loop are active at the same time.
func TestMessages_CanBePulledFromSeveralFilters(t *testing.T) {
	t.Parallel()
	if !isChild(t) {
		output, err := runInChild(t)
		require.NoError(t, err, output)
		return
	}
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		return p.Type() == fakebroker.SUBSCRIBE && publishesAfterSubscribe(p.names()[0], 20)(c, p)
	})
	c := dial(t, b.port)
	first, stopFirst := iter.Pull2(c.Messages(wait.Soon(t), "first", 1))
	defer stopFirst()
	second, stopSecond := iter.Pull2(c.Messages(wait.Soon(t), "second", 1))
	defer stopSecond()
	n := 0
	for m, err := range c.Messages(wait.Soon(t), "third", 1) {
		require.NoError(t, err)
		for topic, next := range map[string]func() (mqtt.Message, error, bool){"first": first, "second": second} {
			other, err, ok := next()
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, topic, other.Topic)
			require.Equal(t, string(m.Payload), string(other.Payload))
		}
		if n++; n == 20 {
			break
		}
	}
	require.Equal(t, 20, n)
}

// The loop ends with its context, although messages are queued for it.
func TestMessages_EndWithTheContextWhileMessagesAreQueued(t *testing.T) {
	t.Parallel()
	const queued = 100
	for _, pulled := range []bool{false, true} {
		t.Run(fmt.Sprint("pulled: ", pulled), func(t *testing.T) {
			t.Parallel()
			if pulled && !isChild(t) {
				output, err := runInChild(t)
				require.NoError(t, err, output)
				return
			}
			b := startFakeBroker(t, publishesAfterSubscribe("a", queued))
			c := dial(t, b.port)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			messages := c.Messages(ctx, "a", 1)
			if pulled {
				next, stop := iter.Pull2(messages)
				defer stop()
				messages = func(yield func(mqtt.Message, error) bool) {
					for m, err, ok := next(); ok && yield(m, err); m, err, ok = next() {
					}
				}
			}
			n := 0
			for _, err := range messages {
				require.NoError(t, err)
				n++
				wait.Until(t, "the other messages", func() bool { return c.Stats().Received == queued })
				cancel()
			}
			require.Equal(t, 1, n)
		})
	}
}

// The body of the loop starts a goroutine and waits for it. The goroutine waits for an
// acknowledgement, which is behind more messages than the iterator queues.
func TestMessages_GoroutineOfTheLoopMayWait(t *testing.T) {
	t.Parallel()
	const behind = 3000 // exceeds the capacity of an iterator's queue
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.PUBLISH && p.topic() == "answer" {
			for i := range behind {
				c.publish(0, "a", 0, fmt.Sprint(i+1))
			}
		}
		return p.Type() == fakebroker.SUBSCRIBE && publishesAfterSubscribe("a", 1)(c, p)
	})
	c := dial(t, b.port)
	n := 0
	for m, err := range c.Messages(wait.Soon(t), "a", 1) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), string(m.Payload))
		if n == 0 {
			errs := make(chan error, 1)
			var all sync.WaitGroup
			all.Add(1)
			go func() {
				defer all.Done()
				errs <- c.Publish(wait.Soon(t), "answer", nil)
			}()
			all.Wait()
			require.NoError(t, <-errs)
		}
		if n++; n == behind+1 {
			break
		}
	}
	require.Equal(t, behind+1, n)
}

func TestMessages_EndWithUnsubscribe(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore)) // the first handler receives messages until the iterator replaces it
	first, last := make(chan error, 1), make(chan error, 1)
	go func() {
		var end error
		for _, err := range c.Messages(context.Background(), "a", 1) {
			if end = err; err == nil {
				select {
				case first <- nil:
				default:
				}
			}
		}
		last <- end
	}()
	wait.Until(t, "a message of the iterator", func() bool {
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		return len(first) > 0
	})
	require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
	require.ErrorIs(t, wait.For(t, last, "the end of the iterator"), mqtt.ErrSuperseded)
}

func TestMessages_BodyMayPublish(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port)
	ctx := t.Context()
	n := 0
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = c.Publish(ctx, "a", fmt.Append(nil, i))
		}
	}()
	for m, err := range c.Messages(ctx, "a", 1) {
		require.NoError(t, err)
		require.NoError(t, c.Publish(wait.Soon(t), "b", m.Payload))
		if n++; n == 50 {
			break
		}
	}
	require.Equal(t, 50, n)
}

func TestMessages_ContinueAcrossReconnects(t *testing.T) {
	t.Parallel()
	_, proxy := startProxiedBroker(t)
	c := dial(t, proxy.Port)
	ended := make(chan error, 1)
	ctx := wait.Soon(t)
	go func() {
		for ctx.Err() == nil && c.State() != mqtt.StateClosed {
			_ = c.Publish(ctx, "a", nil)
		}
		ended <- nil
	}()
	n := 0
	for _, err := range c.Messages(ctx, "a", 1) {
		require.NoError(t, err)
		if n++; n == 40 {
			break
		}
		if n%10 == 0 {
			proxy.Reset()
		}
	}
	require.Equal(t, 40, n)
	require.EqualValues(t, 4, c.Stats().Connects)
	begun := make(chan struct{}, 1)
	last := inBackground(func() (err error) {
		for _, err = range c.Messages(ctx, "a", 1) {
			select {
			case begun <- struct{}{}:
			default:
			}
		}
		return err
	})
	wait.For(t, begun, "the second iterator")
	closeNow(t, c)
	require.ErrorIs(t, wait.For(t, last, "the end of the iterator"), mqtt.ErrClosed, "the end of the client is an error")
	wait.For(t, ended, "the publisher")
}
