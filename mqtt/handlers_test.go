//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Goroutines use one client during connection losses. The race detector checks them.
func TestHandlers_ManyGoroutinesUseOneClient(t *testing.T) {
	t.Parallel()
	_, proxy := startProxiedBroker(t)
	c := dial(t, proxy.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithHandlerMode(mqtt.Worker(10, mqtt.Block)))
	var running sync.WaitGroup
	failed := make(chan error, 1000)
	for i := range 8 {
		running.Add(1)
		go func() {
			defer running.Done()
			own := fmt.Sprint("own/", i)
			for range 20 {
				h := func(ctx context.Context, _ mqtt.Message) { c.PublishAsync(ctx, "handled", nil, mqtt.WithQoS(0)) }
				failed <- errors.Join(
					c.Subscribe(wait.Soon(t), own, 1, h), c.Publish(wait.Soon(t), own, nil), c.PublishAsync(wait.Soon(t), own, nil, mqtt.WithQoS(2)).Wait(wait.Soon(t)),
					c.AwaitConnected(wait.Soon(t)), c.Unsubscribe(wait.Soon(t), own))
				c.Stats()
				c.State()
			}
		}()
	}
	for range 3 {
		for range 40 {
			require.NoError(t, wait.For(t, failed, "the goroutines"))
		}
		proxy.Reset()
	}
	for range 40 {
		require.NoError(t, wait.For(t, failed, "the goroutines"))
	}
	running.Wait()
}

// A process that is killed in an inline handler has not acknowledged the message.
func TestHandlers_KillInAHandlerRedeliversItsMessage(t *testing.T) {
	if isChild(t) {
		port, err := strconv.Atoi(os.Getenv("PORT"))
		require.NoError(t, err)
		version, err := strconv.Atoi(os.Getenv("VERSION"))
		require.NoError(t, err)
		dial(t, port, mqtt.WithProtocol(mqtt.Protocol(version)), mqtt.WithClientID("worker"), mqtt.WithSession(time.Hour),
			mqtt.WithSubscription("jobs", 1, func(context.Context, mqtt.Message) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}))
		select {}
	}
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		b := plain(t)
		h, got := collect()
		session := []mqtt.Option{mqtt.WithProtocol(version), mqtt.WithClientID("worker"), mqtt.WithSession(time.Hour), mqtt.WithSubscription("jobs", 1, h)}
		require.NoError(t, dial(t, b.Port, session...).Close(wait.Soon(t)))
		require.NoError(t, dial(t, b.Port).Publish(wait.Soon(t), "jobs", []byte("job")))
		for range 2 {
			_, err := runInChild(t, fmt.Sprint("PORT=", b.Port), fmt.Sprint("VERSION=", int(version)))
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
		}
		c := dial(t, b.Port, session...)
		require.Equal(t, "job", string(wait.For(t, got, "the message").Payload))
		require.NoError(t, c.Close(wait.Soon(t)))
		c = dial(t, b.Port, session...) // this handler acknowledges the message
		require.NoError(t, c.Publish(wait.Soon(t), "jobs", []byte("next")))
		require.Equal(t, "next", string(wait.For(t, got, "the next message").Payload))
	}
}

func TestHandlers_SlowWorkerKeepsTheConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	block := make(chan struct{})
	c, conn := dialScriptedBroker(t, p, mqtt.WithKeepAlive(5*time.Second), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)),
		mqtt.WithDefaultHandler(func(context.Context, mqtt.Message) { <-block }))
	defer close(block)
	for range 10 { // more than the capacity of its queue
		conn.Send(fakebroker.Publish(0, "a", 0, ""))
	}
	conn.Expect(fakebroker.PINGREQ)
	conn.Send(fakebroker.Bytes(fakebroker.PINGRESP))
	require.EqualValues(t, 1, c.Stats().Connects)
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil, mqtt.WithQoS(0)))
}

// A handler is slow if it takes longer than half the keepalive.
func TestHandlers_SlowInlineHandlerIsLogged(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	var log logBuffer
	handled := make(chan struct{})
	_, conn := dialScriptedBroker(t, p, mqtt.WithKeepAlive(5*time.Second), mqtt.WithLogger(log.logger(slog.LevelInfo)),
		mqtt.WithDefaultHandler(func(context.Context, mqtt.Message) {
			<-time.After(2600 * time.Millisecond)
			close(handled)
		}))
	conn.Send(fakebroker.Publish(0, "slow/topic", 0, ""))
	wait.For(t, handled, "the handler")
	wait.Until(t, "the log", func() bool {
		return containsAll(log.String(), "level=WARN", "longer than half the keepalive", "topic=slow/topic")
	})
}

func TestHandlers_SlowInlineHandlerIsBackpressure(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	block, got := make(chan struct{}), make(chan struct{}, 100_000)
	_, conn := dialScriptedBroker(t, p, mqtt.WithDefaultHandler(func(context.Context, mqtt.Message) { <-block; got <- struct{}{} }))
	message := fakebroker.Publish(0, "a", 0, string(make([]byte, 100_000)))
	sent, left := 0, message
	for {
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err := conn.Write(left)
		left = left[n:]
		if err != nil {
			var late net.Error
			require.ErrorAs(t, err, &late)
			require.True(t, late.Timeout())
			break
		}
		sent, left = sent+1, message
		require.Less(t, sent, 1000, "100 MB")
	}
	close(block)
	conn.Send(left)
	for range sent + 1 {
		wait.For(t, got, "a message")
	}
}

// The messages that are not dropped stay in order.
func TestHandlers_QueueOfAWorkerDropsAndReports(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		overflow      mqtt.Overflow
		kept, dropped []int
	}{
		"oldest": {mqtt.DropOldest, append([]int{0}, sequence(7, 9)...), sequence(1, 6)},
		"newest": {mqtt.DropNewest, sequence(0, 3), sequence(4, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			begun, block := make(chan struct{}, 100), make(chan struct{})
			got, dropped := make(chan mqtt.Message, 100), make(chan mqtt.Message, 100)
			c, conn := dialScriptedBroker(t, p, mqtt.WithHandlerMode(mqtt.Worker(3, test.overflow)),
				mqtt.WithHooks(mqtt.Hooks{Dropped: func(m *mqtt.Message) { dropped <- *m }}),
				mqtt.WithDefaultHandler(func(_ context.Context, m mqtt.Message) { begun <- struct{}{}; <-block; got <- m }))
			conn.Send(fakebroker.Publish(0, "a", 0, "0"))
			wait.For(t, begun, "the handler")
			for n := 1; n < 10; n++ {
				conn.Send(fakebroker.Publish(0, "a", 0, fmt.Sprint(n)))
			}
			awaitNumbers(t, dropped, test.dropped...)
			require.EqualValues(t, 6, c.Stats().Dropped)
			require.Equal(t, 3, c.Stats().Handling)
			close(block)
			awaitNumbers(t, got, test.kept...)
			wait.None(t, got, "message")
		})
	}
}

// The order holds across filters and QoS, for inline handlers, on a worker and in an iterator.
func TestHandlers_RunInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	const n = 600
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(5, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, conn := dialScriptedBroker(t, p, mqtt.WithHandlerMode(mode))
			h, got := collect()
			for _, filter := range []string{"0", "1", "#"} {
				ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), filter, 1, h) })
				acknowledgeSubscribe(conn, 1)
				require.NoError(t, wait.For(t, ended, "Subscribe"))
			}
			for i := range n {
				conn.Send(fakebroker.Publish(byte(i%2)<<1, fmt.Sprint(i%3), uint16(i+1), fmt.Sprint(i)))
			}
			for i := range n {
				awaitNumbers(t, got, i)
				if i%3 < 2 {
					awaitNumbers(t, got, i) // the message reaches the handler of its filter and the handler of "#"
				}
			}
			wait.None(t, got, "message")
		})
	}
	t.Run("iterator", func(t *testing.T) {
		t.Parallel()
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p)
		sent := inBackground(func() error {
			packet, err := conn.Next()
			if err != nil {
				return err
			}
			_, err = conn.Write(fakebroker.V311.Suback(packet.MID(), []byte{1}))
			for i := 0; i < n && err == nil; i++ {
				_, err = conn.Write(fakebroker.Publish(0, "a", 0, fmt.Sprint(i)))
			}
			return err
		})
		next := 0
		for m, err := range c.Messages(wait.Soon(t), "a", 1) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(next), string(m.Payload))
			if next++; next == n {
				break
			}
		}
		require.Equal(t, n, next)
		require.NoError(t, wait.For(t, sent, "the peer"))
	})
}

// Retained messages and messages of a kept session reach the handlers of WithSubscription.
func TestHandlers_AreRegisteredBeforeMessagesArrive(t *testing.T) {
	t.Parallel()
	b := plain(t)
	h, got := collect()
	other := dial(t, b.Port)
	session := []mqtt.Option{mqtt.WithClientID("x"), mqtt.WithSession(time.Hour)}
	c := dial(t, b.Port, session...)
	require.NoError(t, c.Subscribe(wait.Soon(t), "kept", 1, h))
	require.NoError(t, c.Close(wait.Soon(t)))
	for i := range 20 {
		require.NoError(t, other.Publish(wait.Soon(t), fmt.Sprint("retained/", i), nil, mqtt.WithQoS(1)))
		require.NoError(t, other.Publish(wait.Soon(t), fmt.Sprint("retained/", i), []byte("x"), mqtt.WithRetain(true)))
		require.NoError(t, other.Publish(wait.Soon(t), "kept", fmt.Append(nil, i)))
	}
	c = dial(t, b.Port, append(session, mqtt.WithSubscription("kept", 1, h))...)
	awaitNumbers(t, got, sequence(0, 19)...)
	require.NoError(t, c.Subscribe(wait.Soon(t), "retained/+", 1, h))
	for range 20 {
		require.True(t, wait.For(t, got, "a retained message").Retain)
	}
	require.Zero(t, c.Stats().Unhandled)
}

func TestHandlers_PanicEndsTheProgramWithItsStack(t *testing.T) {
	if isChild(t) {
		mode := mqtt.Inline()
		if os.Getenv("MODE") == "worker" {
			mode = mqtt.Worker(1, mqtt.Block)
		}
		c := dial(t, plain(t).Port, mqtt.WithHandlerMode(mode), mqtt.WithDefaultHandler(thePanic))
		require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, thePanic))
		_ = c.Publish(wait.Soon(t), "a", nil)
		select {}
	}
	t.Parallel()
	for _, mode := range []string{"inline", "worker"} {
		said, err := runInChild(t, "MODE="+mode)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 2, exit.ExitCode(), said)
		require.Contains(t, said, "panic:")
		require.Contains(t, said, "the handler's own words")
		require.Contains(t, said, "mqtt_test.thePanic")
	}
}

func thePanic(context.Context, mqtt.Message) { panic("the handler's own words") }

func TestHandlers_IteratorContinuesAcrossReconnects(t *testing.T) {
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
