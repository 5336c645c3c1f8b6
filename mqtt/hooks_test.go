//go:build cgo

package mqtt_test

import (
	"context"
	"testing"

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
