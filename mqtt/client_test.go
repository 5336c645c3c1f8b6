//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestClient_HandlerGetsPublishedMessages(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a/+", 2, h))
			for i := range 30 {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprintf("a/%d", i), []byte("x"), mqtt.WithQoS(mqtt.QoS(i%3))))
			}
			for range 30 {
				wait.For(t, got, "a message")
			}
			require.NoError(t, c.Unsubscribe(wait.Soon(t), "a/+"))
			require.NoError(t, c.Publish(wait.Soon(t), "a/1", nil))
			require.NoError(t, c.Publish(wait.Soon(t), "a/1", nil, mqtt.WithQoS(2)))
			wait.None(t, got, "message after Unsubscribe")
			require.NoError(t, c.Close(wait.Soon(t)))
			require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil), mqtt.ErrClosed)
			require.ErrorIs(t, c.Err(), mqtt.ErrClosed)
			require.Equal(t, mqtt.StateClosed, c.State())
		})
	}
}

// Dial returns when its context ends, although a handler does not return.
func TestDial_ReturnsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(1, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() == fakebroker.SUBSCRIBE {
					for n := range 5 {
						c.publish(0, "a/1", 0, fmt.Sprint(n)) // messages of an earlier subscription, without SUBACK
					}
				}
				return p.Type() == fakebroker.SUBSCRIBE
			})
			started, release := make(chan struct{}, 5), make(chan struct{})
			ended := make(chan struct{})
			defer func() {
				close(release)
				wait.For(t, ended, "the handler")
			}()
			handler := func(context.Context, mqtt.Message) {
				started <- struct{}{}
				<-release
				closeOnce(ended)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			dialled := inBackground(func() error {
				_, err := mqtt.Dial(ctx, []string{url(b.port)}, fast(), mqtt.WithHandlerMode(mode), mqtt.WithSubscription("a/#", 1, handler))
				return err
			})
			wait.For(t, started, "the handler")
			cancel()
			require.ErrorIs(t, wait.For(t, dialled, "Dial"), context.Canceled)
		})
	}
}

func TestFromContext_GivesTheClientToAHandler(t *testing.T) {
	t.Parallel()
	require.Nil(t, mqtt.FromContext(context.Background()))
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(1, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plain(t)
			require.NoError(t, dial(t, b.Port).Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithRetain(true)))
			got := make(chan *mqtt.Client, 1)
			c := dial(t, b.Port, mqtt.WithHandlerMode(mode), mqtt.WithSubscription("a", 1, func(ctx context.Context, _ mqtt.Message) { got <- mqtt.FromContext(ctx) }))
			require.Same(t, c, wait.For(t, got, "the handler"))
		})
	}
}

// A struct field that Dial has never set must not make calls hang.
func TestClient_NilOrZeroClientReturnsErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*mqtt.Client{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			respond := func(context.Context, mqtt.Message) ([]byte, error) { return nil, nil }
			for op, call := range map[string]func() error{
				"publish":            func() error { return c.Publish(ctx, "a", nil) },
				"publish: async":     func() error { return c.PublishAsync(ctx, "a", nil).Err() },
				"publish: wait":      func() error { return c.PublishAsync(ctx, "a", nil).Wait(ctx) },
				"publish: reply":     func() error { return c.Reply(ctx, mqtt.Message{}, nil).Err() },
				"subscribe":          func() error { return c.Subscribe(ctx, "a", 1, ignore) },
				"subscribe: several": func() error { return c.SubscribeMultiple(ctx, mqtt.Subscription{Filter: "a", Handler: ignore}) },
				"subscribe: respond": func() error { return c.Respond(ctx, "a", 1, respond) },
				"messages": func() (err error) {
					for _, err = range c.Messages(ctx, "a", 1) {
					}
					return err
				},
				"unsubscribe": func() error { return c.Unsubscribe(ctx, "a") },
				"request": func() error {
					_, err := c.Request(ctx, "a", nil)
					return err
				},
				"await connected": func() error { return c.AwaitConnected(ctx) },
				"reconnect":       func() error { return c.Reconnect(ctx) },
				"close":           func() error { return c.Close(ctx) },
				"err":             c.Err,
			} {
				op, _, _ = strings.Cut(op, ":")
				err := wait.For(t, inBackground(call), op)
				require.EqualError(t, err, "mqtt: "+op+": client: nil or zero, only Dial makes clients: "+mosquitto.ErrInval.Error())
				require.ErrorIs(t, err, mosquitto.ErrInval)
			}
			wait.For(t, c.Done(), "the end of the client")
			require.Equal(t, mqtt.StateClosed, c.State())
			require.Equal(t, mqtt.Stats{}, c.Stats())
			_, connected := c.Connack()
			require.False(t, connected)
			require.Equal(t, "mqtt.Client{}", fmt.Sprint(c))
		})
	}
}
