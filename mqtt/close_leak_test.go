//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// All features of the client are in use.
func TestClose_DuringAFaultLeavesNothing(t *testing.T) {
	for _, x := range networkFaults {
		t.Run(x.name, func(t *testing.T) {
			before := leak.Take()
			b := broker.Start(t, broker.Config{})
			p := faultproxy.Start(t, b.Addr())
			c, err := mqtt.Dial(wait.Soon(t), []string{url(p.Port)}, fast(), shortConnectTimeout(), mqtt.WithProtocol(mqtt.V5),
				mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)), mqtt.WithStateHandler(func(*mqtt.Client, mqtt.StateChange) {}))
			require.NoError(t, err)
			calls := map[string]func() error{
				"Publish":   func() error { return c.Publish(context.Background(), "a", make([]byte, 100_000), mqtt.WithQoS(2)) },
				"Subscribe": func() error { return c.Subscribe(context.Background(), "b", 1, ignore) },
				"Request": func() error {
					_, err := c.Request(context.Background(), "c", nil)
					return err
				},
				"Messages": func() error {
					for _, err := range c.Messages(context.Background(), "d", 1) {
						if err != nil {
							return err
						}
					}
					return nil
				},
			}
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, _ mqtt.Message) {
				_ = c.AwaitConnected(ctx)
				<-ctx.Done()
			}))
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
			x.begin(p)
			ended := map[string]<-chan error{}
			for name, call := range calls {
				for range 5 {
					ended[name] = inBackground(call)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			_ = c.Close(ctx)
			wait.For(t, c.Done(), "the end of the client")
			for name, end := range ended {
				require.True(t, isDocumentedError(wait.For(t, end, name)), name)
			}
			p.Close()
			b.Kill()
			require.Empty(t, before.Left(wait.Patience))
		})
	}
}

// At the first connection and at a reconnect.
func TestClose_DuringAConnectLeavesNothing(t *testing.T) {
	before := leak.Take()
	b := broker.Start(t, broker.Config{})
	p := faultproxy.Start(t, b.Addr())
	for i := range 60 {
		p.Split(faultproxy.Both, i%2 == 0)
		c, err := mqtt.Dial(context.Background(), []string{url(p.Port), url(p.Port)}, fast(), mqtt.WithBackgroundConnect())
		require.NoError(t, err)
		for _, step := range []func(){func() {}, func() { p.CutAfter(faultproxy.Down, i%8) }, p.Cut}[:i%4%3+1] {
			step()
		}
		ended := inBackground(func() error { return c.Publish(context.Background(), "a", fmt.Append(nil, i)) })
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*200*time.Microsecond)
		_ = c.Close(ctx)
		cancel()
		wait.For(t, c.Done(), "the end of the client")
		require.True(t, isDocumentedError(wait.For(t, ended, "Publish")))
	}
	p.Close()
	b.Kill()
	require.Empty(t, before.Left(wait.Patience))
}
