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
		require.NoError(t, wait.For(t, sent, "the fake broker"))
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

// Several filters match the message. With MQTT 3 a broker may deliver a copy for each filter
// (mosquitto 2.1 does), and the client cannot distinguish the copies. With MQTT 5 subscription
// identifiers distinguish them.
func TestHandlers_RunOnceForADelivery(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for _, version := range versions {
		c := dial(t, b.Port, mqtt.WithProtocol(version))
		called := make(chan string, 100)
		filters := []string{"a/#", "a/+", "a/b"}
		for _, filter := range filters {
			require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, func(context.Context, mqtt.Message) { called <- filter }))
		}
		end, ended := collect()
		require.NoError(t, c.Subscribe(wait.Soon(t), "end", 1, end))
		require.NoError(t, c.Publish(wait.Soon(t), "a/b", nil))
		require.NoError(t, c.Publish(wait.Soon(t), "end", nil))
		wait.For(t, ended, "the last message")
		each := int(c.Stats().Received) - 1
		if version == mqtt.V5 {
			each = 1
		}
		got, want := map[string]int{}, map[string]int{}
		for len(called) > 0 {
			got[<-called]++
		}
		for _, filter := range filters {
			want[filter] = each
		}
		require.Equal(t, want, got, version.String())
	}
}

func TestHandlers_InlineCallsReturnErrInCallback(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port)
	errs := make(chan error, 10)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
		errs <- c.Publish(ctx, "b", nil)
		errs <- c.Subscribe(ctx, "b", 0, func(context.Context, mqtt.Message) {})
		errs <- c.Unsubscribe(ctx, "b")
		errs <- c.Close(ctx)
		errs <- c.AwaitConnected(ctx)
		errs <- c.PublishAsync(ctx, "b", nil).Wait(ctx)
	}))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	for range 6 {
		require.ErrorIs(t, wait.For(t, errs, "the handler"), mqtt.ErrInCallback)
	}
}
