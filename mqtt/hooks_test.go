//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The Receive hook ends when all handlers of the message have returned, inline or on a worker.
func TestHooks_ReceiveEndsAfterTheHandlers(t *testing.T) {
	b := plain(t)
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(10, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			events := make(chan string, 100)
			hooks := mqtt.Hooks{Receive: func(ctx context.Context, _ *mqtt.Message) (context.Context, func()) {
				events <- "receive"
				return ctx, func() { events <- "passed" }
			}}
			c := dial(t, b.Port, mqtt.WithHandlerMode(mode), mqtt.WithHooks(hooks))
			for _, filter := range []string{"a", "+"} { // mosquitto 2.1 sends a copy of the message for each filter
				require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, func(context.Context, mqtt.Message) {
					events <- "begin"
					events <- "end"
				}))
			}
			require.NoError(t, c.PublishAsync(wait.Soon(t), "a", nil).Err())
			seen, last := map[string]int{}, ""
			for seen["end"] < 2 || seen["passed"] < seen["receive"] {
				now := wait.For(t, events, "an event")
				require.False(t, last == "begin" && now == "passed", "the handler is still running")
				seen[now]++
				last = now
			}
			require.Equal(t, "passed", last)
		})
	}
}

// The Receive hook also ends for a message that is dropped, or that is not handled before the
// client ends.
func TestHooks_ReceiveEndsWithoutAHandler(t *testing.T) {
	b := plain(t)
	for name, overflow := range map[string]mqtt.Overflow{"oldest": mqtt.DropOldest, "newest": mqtt.DropNewest} {
		t.Run(name, func(t *testing.T) {
			received, passed := make(chan string, 100), make(chan string, 100)
			hooks := mqtt.Hooks{Receive: func(ctx context.Context, m *mqtt.Message) (context.Context, func()) {
				payload := string(m.Payload)
				received <- payload
				return ctx, func() { passed <- payload }
			}}
			c := dial(t, b.Port, mqtt.WithHandlerMode(mqtt.Worker(1, overflow)), mqtt.WithHooks(hooks))
			begun := make(chan string, 100)
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
				begun <- string(m.Payload)
				<-ctx.Done()
			}))
			publisher := dial(t, b.Port)
			require.NoError(t, publisher.Publish(wait.Soon(t), "a", []byte("1")))
			require.Equal(t, "1", wait.For(t, begun, "the handler"))
			for _, payload := range []string{"2", "3"} {
				require.NoError(t, publisher.Publish(wait.Soon(t), "a", []byte(payload)))
			}
			dropped := map[mqtt.Overflow]string{mqtt.DropOldest: "2", mqtt.DropNewest: "3"}[overflow]
			require.Equal(t, dropped, wait.For(t, passed, "the dropped message"))
			closeNow(t, c)
			require.ElementsMatch(t, []string{"1", "2", "3"}, []string{dropped, wait.For(t, passed, "one"), wait.For(t, passed, "two")})
		})
	}
}

func TestHooks_PublishGetsTheProtocol(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			h, got := collect()
			hooks := mqtt.Hooks{Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
				if p.Protocol == mqtt.V5 {
					p.Properties = append(p.Properties, mqtt.Properties{{ID: 38, Name: "hook", Text: "was here"}}...)
				}
				return nil
			}}
			c := dial(t, b.Port, mqtt.WithProtocol(version), mqtt.WithHooks(hooks), mqtt.WithSubscription("a", 1, h))
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
			_, found := wait.For(t, got, "the message").Properties.UserProperty("hook")
			require.Equal(t, version == mqtt.V5, found)
		})
	}
}

func TestHooks_PublishMayKeepThePayload(t *testing.T) {
	b := plain(t)
	var kept [][]byte
	c := dial(t, b.Port, mqtt.WithHooks(mqtt.Hooks{Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
		kept = append(kept, p.Payload)
		return nil
	}}))
	want := [][]byte{}
	for i := range 20 {
		payload := fmt.Append(nil, i)
		want = append(want, payload, payload)
		require.NoError(t, c.Publish(wait.Soon(t), "a", payload))
		require.NoError(t, c.PublishAsync(wait.Soon(t), "a", payload).Wait(wait.Soon(t)))
	}
	require.Equal(t, want, kept)
}

func TestHooks_PublishMaySetThePayload(t *testing.T) {
	b := plain(t)
	set := []byte("set by the hook")
	c := dial(t, b.Port, mqtt.WithHooks(mqtt.Hooks{Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
		if p.Topic == "a" {
			p.Payload = set
		}
		return nil
	}}))
	handler, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, handler))
	for range 20 {
		require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x")))
		require.NoError(t, c.Publish(wait.Soon(t), "b", []byte("another")))
		require.Equal(t, "set by the hook", string(wait.For(t, got, "the message").Payload))
	}
}

func TestHooks_MayUseTheClient(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	stats, block := make(chan mqtt.Stats, 10), make(chan struct{})
	var client atomic.Pointer[mqtt.Client]
	hooks := mqtt.Hooks{Dropped: func(*mqtt.Message) {
		c := client.Load()
		c.PublishAsync(context.Background(), "dropped", nil, mqtt.WithQoS(0))
		stats <- c.Stats()
	}}
	c := dial(t, p.Port, mqtt.WithBackgroundConnect(), mqtt.WithHooks(hooks), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.DropNewest)),
		mqtt.WithDefaultHandler(func(context.Context, mqtt.Message) { <-block }))
	defer close(block)
	client.Store(c)
	conn := p.AcceptConnect()
	for range 3 { // one is being handled, one is queued, one is dropped
		conn.Send(fakebroker.Publish(0, "a", 0, ""))
	}
	require.EqualValues(t, 1, wait.For(t, stats, "the hook").Dropped)
	conn.Dialog().Expect(fakebroker.V311.Publish(0, "dropped", 0, ""))
}

// traceKey is the key of a trace in a context.
type traceKey struct{}

// A trace reaches the handler through the broker. The first hook is the outermost.
func TestHooks_SeeEveryMessage(t *testing.T) {
	t.Parallel()
	b := plain(t)
	events := make(chan string, 100)
	tracer := func(name string) mqtt.Hooks {
		return mqtt.Hooks{
			Publish: func(ctx context.Context, p *mqtt.Publication) func(error) {
				trace, _ := ctx.Value(traceKey{}).(string)
				p.Properties = append(p.Properties, mosquitto.Property{ID: mosquitto.PropUserProperty, Name: name, Text: trace})
				events <- name + " publish " + p.Topic
				return func(err error) { events <- fmt.Sprint(name, " ended ", err) }
			},
			Receive: func(ctx context.Context, m *mqtt.Message) (context.Context, func()) {
				trace, _ := m.Properties.UserProperty(name)
				events <- name + " receive " + m.Topic
				return context.WithValue(ctx, traceKey{}, trace), func() { events <- name + " returned" }
			},
		}
	}
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(tracer("outer")), mqtt.WithHooks(tracer("inner")))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, _ mqtt.Message) {
		events <- fmt.Sprint("handler ", ctx.Value(traceKey{}))
	}))
	require.NoError(t, c.Publish(context.WithValue(wait.Soon(t), traceKey{}, "trace 7"), "a", nil))
	var out, in []string
	for range 9 {
		e := wait.For(t, events, "the hooks")
		if strings.Contains(e, "publish") || strings.Contains(e, "ended") {
			out = append(out, e)
		} else {
			in = append(in, e)
		}
	}
	require.Equal(t, []string{"outer publish a", "inner publish a", "inner ended <nil>", "outer ended <nil>"}, out)
	require.Equal(t, []string{"outer receive a", "inner receive a", "handler trace 7", "inner returned", "outer returned"}, in)

	require.NoError(t, c.Close(wait.Soon(t)))
	require.ErrorIs(t, c.Publish(wait.Soon(t), "late", nil), mqtt.ErrClosed)
	for _, want := range []string{"outer publish late", "inner publish late", "inner ended mqtt: " + mqtt.ErrClosed.Error(), "outer ended mqtt: " + mqtt.ErrClosed.Error()} {
		require.Equal(t, want, wait.For(t, events, "the hooks"))
	}
	wait.None(t, events, "hook")
}
