//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

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
func TestObserve_LoggerMayUseTheClient(t *testing.T) {
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

func TestObserve_HooksMayUseTheClient(t *testing.T) {
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

// At level Debug the log also has the library's lines. At other levels the library formats none.
func TestObserve_LogHasNoSecretsAndPayloads(t *testing.T) {
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

func TestObserve_EachClientHasItsLogger(t *testing.T) {
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

// traceKey is the key of a trace in a context.
type traceKey struct{}

// A trace reaches the handler through the broker. The first hook is the outermost.
func TestObserve_HooksSeeEveryMessage(t *testing.T) {
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

func TestObserve_StatsCount(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c := dial(t, b.Port)
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	for range 3 {
		require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("12345")))
		wait.For(t, got, "a message")
	}
	require.Error(t, c.Publish(context50ms(t), "#", nil))
	require.Equal(t, mqtt.Stats{Connects: 1, Published: 3, Received: 3, BytesOut: 15, BytesIn: 15}, c.Stats())
	b.Kill()
	wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	token := c.PublishAsync(wait.Soon(t), "a", []byte("12345"))
	s := c.Stats()
	require.Equal(t, []int{1, 6, 0}, []int{s.Queued, s.QueuedBytes, s.InFlight})
	b.Restart()
	require.NoError(t, token.Wait(wait.Soon(t)))
	require.EqualValues(t, 2, c.Stats().Connects)
	require.Zero(t, c.Stats().Queued)
}
