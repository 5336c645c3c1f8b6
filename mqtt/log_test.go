//go:build cgo

package mqtt_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// debugLogger calls a function once, at the first line that the library logs.
type debugLogger struct {
	slog.Handler
	publish atomic.Pointer[func()]
}

func (l *debugLogger) Enabled(context.Context, slog.Level) bool { return true }

func (l *debugLogger) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "mqtt: libmosquitto" {
		if f := l.publish.Swap(nil); f != nil {
			(*f)()
		}
	}
	return nil
}

func TestLogger_MayPublishAtLevelDebug(t *testing.T) {
	b := startFakeBroker(t, nil)
	l := &debugLogger{}
	c := dial(t, b.port, mqtt.WithLogger(slog.New(l)), mqtt.WithKeepAlive(0))
	tokens := make(chan *mqtt.Token, 1)
	f := func() { tokens <- c.PublishAsync(context.Background(), "logged", nil) }
	l.publish.Store(&f)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "the message that is logged")
	token := wait.For(t, tokens, "the logger's message")
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil), "another message")
	require.NoError(t, token.Wait(wait.Soon(t)), "the logger's message")
}

func TestLogger_MayWaitAtLevelDebug(t *testing.T) {
	b := startFakeBroker(t, nil)
	l := &debugLogger{}
	c := dial(t, b.port, mqtt.WithLogger(slog.New(l)), mqtt.WithKeepAlive(0))
	ended := make(chan error, 1)
	f := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		ended <- c.Publish(ctx, "logged", nil)
	}
	l.publish.Store(&f)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.NoError(t, wait.For(t, ended, "the logger"))
}
