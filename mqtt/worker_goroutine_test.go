//go:build cgo

package mqtt_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
)

func TestWorker_OtherGoroutineOnItsThreadIsNotTheWorker(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)))
	granted, handled, errs := make(chan error, 1), make(chan bool), make(chan error, 20_000)
	go func() {
		granted <- c.Subscribe(wait.Soon(t), "a", 0, func(context.Context, mqtt.Message) { handled <- true })
	}()
	acknowledgeSubscribe(conn, 0)
	require.NoError(t, wait.For(t, granted, "the subscription"))
	c.PublishAsync(context.Background(), "b", nil) // never acknowledged: Close waits while the worker runs handlers
	conn.Expect(fakebroker.PUBLISH)
	closing, cancel := context.WithCancel(wait.Soon(t))
	go func() {
		for range cap(errs) {
			go func() { errs <- c.Close(closing) }()
		}
	}()
	for range 2000 { // one by one: the worker takes a thread for each
		conn.Send(fakebroker.Publish(0, "a", 0, ""))
		wait.For(t, handled, "a message")
	}
	cancel()
	for range cap(errs) {
		require.NotErrorIs(t, wait.For(t, errs, "Close"), mqtt.ErrInCallback)
	}
}
