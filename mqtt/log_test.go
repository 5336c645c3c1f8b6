//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
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

// publishing is a log handler that publishes each line with the client that logs it.
type publishing struct {
	slog.Handler
	client *atomic.Pointer[mqtt.Client]
	lines  chan string
}

func (p publishing) Handle(ctx context.Context, r slog.Record) error {
	if c := p.client.Load(); c != nil {
		c.Stats()
		c.State()
		c.PublishAsync(ctx, "log", []byte(r.Message), mqtt.WithQoS(0))
	}
	p.lines <- r.Message
	return nil
}

// awaitLine waits for a line of the log.
func awaitLine(t testing.TB, lines <-chan string, want string) {
	t.Helper()
	for wait.For(t, lines, want) != want {
	}
}

// No lock is held while the logger runs.
func TestLogger_MayUseTheClient(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	var client atomic.Pointer[mqtt.Client]
	lines := make(chan string, 10_000)
	l := slog.New(publishing{slog.NewTextHandler(&logBuffer{}, nil), &client, lines})
	c := dial(t, p.Port, mqtt.WithLogger(l), mqtt.WithBackgroundConnect())
	client.Store(c)
	conn := p.AcceptConnect()
	awaitLine(t, lines, "mqtt: connected")
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	conn.Dialog().Expect(fakebroker.V311.Publish(0, "log", 0, "mqtt: connected"))
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 2, ignore) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	awaitLine(t, lines, "mqtt: subscription granted with a lower QoS")
	conn.Close()
	awaitLine(t, lines, "mqtt: connection lost")
	conn = p.AcceptConnect()
	acknowledgeSubscribe(conn, 0x80)
	awaitLine(t, lines, "mqtt: subscription not restored")
}

// At level Debug the log also has the library's lines. At other levels the library formats none.
func TestLogger_WritesNoSecretsAndPayloads(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "password-1"}})
	proxy := faultproxy.Start(t, b.Addr())
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var log logBuffer
		server := fmt.Sprintf("mqtt://user:password-1@127.0.0.1:%d", proxy.Port)
		c := dialAll(t, []string{server}, mqtt.WithLogger(log.logger(level)),
			mqtt.WithWill(mqtt.Will{Topic: "will", Payload: []byte("payload-1")}))
		require.NoError(t, c.Subscribe(wait.Soon(t), "b", 1, ignore))
		require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("payload-2")))
		require.NoError(t, c.Publish(wait.Soon(t), "b", []byte("payload-3")))
		proxy.Cut()
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		require.NoError(t, c.Close(wait.Soon(t)))
		text := log.String()
		require.True(t, containsAll(text, `level=INFO msg="mqtt: connected" server=`+url(proxy.Port), `level=WARN msg="mqtt: connection lost"`, `msg="mqtt: closed"`), text)
		require.Equal(t, level == slog.LevelDebug, strings.Contains(text, "sending CONNECT"), text)
		require.NotContains(t, text, "password-")
		require.NotContains(t, text, "payload-")
	}
}

func TestLogger_EachClientHasItsOwn(t *testing.T) {
	t.Parallel()
	b := plain(t)
	var first, second logBuffer
	connected := func(r *logBuffer) func() bool {
		return func() bool { return strings.Contains(r.String(), "connected") }
	}
	dial(t, b.Port, mqtt.WithLogger(first.logger(slog.LevelInfo)))
	wait.Until(t, "the log", connected(&first))
	require.Empty(t, second.String())
	before := first.String()
	dial(t, b.Port, mqtt.WithLogger(second.logger(slog.LevelInfo)))
	wait.Until(t, "the log", connected(&second))
	require.Equal(t, before, first.String())
}
