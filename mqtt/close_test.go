//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Close returns when its context ends, in every state of the client. TestMain checks that no
// goroutine and no file descriptor remains.
func TestClose_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	hour := mqtt.WithBackoff(time.Hour, time.Hour, 0)
	for name, prepare := range map[string]func(*testing.T) *mqtt.Client{
		"never connected": func(t *testing.T) *mqtt.Client {
			return dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect())
		},
		"in a long pause": func(t *testing.T) *mqtt.Client {
			option, told := watchStates()
			c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect(), hour, option)
			awaitFailure(t, told)
			return c
		},
		"in a connect": func(t *testing.T) *mqtt.Client { return dial(t, unresponsivePort(t), mqtt.WithBackgroundConnect()) },
		"no CONNACK": func(t *testing.T) *mqtt.Client {
			p := fakebroker.Listen(t)
			c := dial(t, p.Port, mqtt.WithBackgroundConnect())
			p.Accept().Expect(fakebroker.CONNECT)
			return c
		},
		"silent broker": func(t *testing.T) *mqtt.Client {
			b := plain(t)
			c := dial(t, b.Port)
			b.Pause()
			t.Cleanup(b.Resume)
			return c
		},
		"lost after noise": func(t *testing.T) *mqtt.Client { // libmosquitto 2.1 keeps the input, which the client must discard
			p := fakebroker.Listen(t)
			option, told := watchStates()
			c, conn := dialScriptedBroker(t, p, option)
			p.Close()
			conn.Send(fakebroker.Hex("DF FD FF FF FF FF 01 02 DF"))
			conn.Close()
			for awaitFailure(t, told).Attempt < 2 {
			}
			return c
		},
		"fake broker that does not read": func(t *testing.T) *mqtt.Client {
			c, _ := dialScriptedBroker(t, fakebroker.Listen(t))
			for range 100 {
				c.PublishAsync(wait.Soon(t), "a", make([]byte, 100_000))
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := prepare(t)
			token := c.PublishAsync(wait.Soon(t), "last", nil)
			closed := inBackground(func() error { return c.Close(context50ms(t)) })
			var unsent *mqtt.CloseError
			require.ErrorAs(t, wait.For(t, closed, "Close"), &unsent)
			require.Equal(t, "last", unsent.Unsent[len(unsent.Unsent)-1].Topic)
			require.ErrorIs(t, token.Wait(wait.Soon(t)), mqtt.ErrClosed)
			wait.For(t, c.Done(), "the end")
			require.NoError(t, c.Close(wait.Soon(t)), "again")
		})
	}
}

// The context ends at the same time as Close sends DISCONNECT. The test repeats it.
func TestClose_ContextMayEndBesideTheDisconnect(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	for range 25 {
		c, conn := dialScriptedBroker(t, p)
		for range 60 {
			c.PublishAsync(wait.Soon(t), "a", make([]byte, 100_000))
		}
		var unsent *mqtt.CloseError
		require.ErrorAs(t, c.Close(context50ms(t)), &unsent)
		conn.Close()
	}
}

func TestClose_SendsQueuedMessagesAndDisconnect(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	for range 3 {
		c.PublishAsync(wait.Soon(t), "a", nil)
	}
	closed := inBackground(func() error { return c.Close(wait.Soon(t)) })
	for range 3 {
		body := conn.Expect(fakebroker.PUBLISH).Body
		wait.None(t, closed, "end of Close")
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(body[3])<<8|uint16(body[4])))
	}
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, closed, "Close"))
}

// Close cannot end a handler. The client ends with the handler.
func TestClose_ReportsAHandlerThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(1, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, out := make(chan context.Context, 1), make(chan struct{})
			c := dial(t, plain(t).Port, mqtt.WithHandlerMode(mode))
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 0, func(ctx context.Context, _ mqtt.Message) { in <- ctx; <-out }))
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(0)))
			handler := wait.For(t, in, "the handler")
			require.ErrorContains(t, c.Close(context50ms(t)), "handler does not return")
			wait.For(t, handler.Done(), "the end of the handler's context")
			close(out)
			wait.For(t, c.Done(), "the end")
		})
	}
}

// No handler runs after Close.
func TestClose_CallsBesideItReturnErrClosed(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for range 5 {
		c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
		var mu sync.Mutex
		closed := false
		late := make(chan struct{}, 10_000)
		require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(context.Context, mqtt.Message) {
			mu.Lock()
			defer mu.Unlock()
			if closed {
				late <- struct{}{}
			}
		}))
		var running sync.WaitGroup
		errs := make(chan map[string]error, 100)
		for range 4 {
			running.Add(1)
			go func() {
				defer running.Done()
				for c.Publish(wait.Soon(t), "a", nil) == nil {
					c.Stats()
				}
				<-c.Done()
				c.Stats()
				errs <- waits(wait.Soon(t), c)
			}()
		}
		for range 3 {
			running.Add(1)
			go func() {
				defer running.Done()
				_ = c.Close(wait.Soon(t))
				mu.Lock()
				defer mu.Unlock()
				closed = true
			}()
		}
		running.Wait()
		for range 4 {
			for call, err := range wait.For(t, errs, "calls after Close") {
				if call == "Close" {
					require.NoError(t, err)
					continue
				}
				require.ErrorIs(t, err, mqtt.ErrClosed, call)
			}
		}
		wait.None(t, late, "handler after Close")
	}
}

func TestClose_FromAHandlerNeedsAGoroutine(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c := dial(t, b.Port)
	ended := make(chan error, 1)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(context.Context, mqtt.Message) {
		go func() { ended <- c.Close(wait.Soon(t)) }()
	}))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.NoError(t, wait.For(t, ended, "Close"))
	wait.For(t, c.Done(), "the end")
}

// A new client replaces the closed client, with the same client id.
func TestClose_IsFinal(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for range 20 {
		c := dial(t, b.Port, mqtt.WithClientID("same"), mqtt.WithSession(-1))
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		require.NoError(t, c.Close(wait.Soon(t)))
		require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil), mqtt.ErrClosed)
		require.ErrorIs(t, c.Err(), mqtt.ErrClosed)
	}
}

// A second Close with a shorter context ends the first Close. Neither error reports a running
// handler, because there is none.
func TestClose_SecondCloseEndsTheFirst(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port)
	token := c.PublishAsync(context.Background(), "a", nil)
	wait.Until(t, "the message", func() bool { return len(b.published("a")) == 1 })
	first := inBackground(func() error { return c.Close(context.Background()) })
	wait.Until(t, "the first Close", func() bool {
		return errors.Is(c.PublishAsync(context.Background(), "refused", nil, mqtt.WithQoS(0)).Err(), mqtt.ErrClosed)
	})
	second := inBackground(func() error { return c.Close(context100ms(t)) })
	errs := []error{wait.For(t, second, "the second Close"), wait.For(t, first, "the first Close")}
	wait.For(t, c.Done(), "the end of the client")
	require.ErrorIs(t, token.Err(), mqtt.ErrClosed)
	var unsent *mqtt.CloseError
	require.ErrorAs(t, errors.Join(errs...), &unsent)
	require.Contains(t, unsent.Unsent, mqtt.Unsent{Topic: "a", QoS: 1, Sent: true})
	require.NotContains(t, errors.Join(errs...).Error(), "handler")
}
