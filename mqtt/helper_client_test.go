//go:build cgo

package mqtt_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// dialScriptedBroker connects a client to a fake broker whose replies the test sends itself.
func dialScriptedBroker(t testing.TB, p *fakebroker.Broker, options ...mqtt.Option) (*mqtt.Client, *fakebroker.Conn) {
	t.Helper()
	c := dial(t, p.Port, append(options, mqtt.WithBackgroundConnect())...)
	conn := p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	return c, conn
}

// startProxiedBroker starts a broker, and a fault proxy in front of it.
func startProxiedBroker(t testing.TB) (*broker.Broker, *faultproxy.Proxy) {
	t.Helper()
	b := plain(t)
	return b, faultproxy.Start(t, b.Addr())
}

// watchStates returns an option with a state handler that sends each change on a channel.
func watchStates() (mqtt.Option, <-chan mqtt.StateChange) {
	ch := make(chan mqtt.StateChange, 10_000)
	return mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { ch <- s }), ch
}

// awaitState receives changes until one has the state want, and returns that change.
func awaitState(t testing.TB, ch <-chan mqtt.StateChange, want mqtt.State) mqtt.StateChange {
	t.Helper()
	for {
		if s := wait.For(t, ch, "the state "+want.String()); s.State == want {
			return s
		}
	}
}

// awaitFailure receives changes until one reports a lost connection or a failed attempt,
// and returns that change.
func awaitFailure(t testing.TB, ch <-chan mqtt.StateChange) mqtt.StateChange {
	t.Helper()
	for {
		if s := wait.For(t, ch, "a failure"); s.Err != nil && s.State != mqtt.StateClosed {
			require.Equal(t, s.Attempt == 0, s.State == mqtt.StateDisconnected, "a loss and a failed attempt are different states")
			return s
		}
	}
}

// inBackground runs f in a goroutine and returns a channel for its error.
func inBackground(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}

// requirePending requires that the token has not ended.
func requirePending(t testing.TB, token *mqtt.Token) {
	t.Helper()
	select {
	case <-token.Done():
		require.FailNow(t, "the token has ended", "%v", token.Err())
	default:
		require.NoError(t, token.Err())
	}
}

// acknowledgeSubscribe expects a SUBSCRIBE of MQTT 3.1.1 with one filter, and sends SUBACK
// with this code.
func acknowledgeSubscribe(conn *fakebroker.Conn, code byte) {
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{code}))
}

// logBuffer keeps the lines of its logger.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// context50ms returns a context that ends after 50 ms.
func context50ms(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// awaitNumbers requires messages with these numbers as payloads, in this order.
func awaitNumbers(t testing.TB, got <-chan mqtt.Message, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		require.Equal(t, fmt.Sprint(n), string(wait.For(t, got, fmt.Sprint("message ", n)).Payload))
	}
}

// sequence lists the numbers from first to last.
func sequence(first, last int) (numbers []int) {
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// ignore is a handler that does nothing.
func ignore(context.Context, mqtt.Message) {}

// containsAll reports whether text contains all parts.
func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// acceptNextConnect accepts connections until a client sends CONNECT. After an error the
// client first opens a connection without CONNECT: with it libmosquitto 2.1 discards input
// of the previous connection.
func acceptNextConnect(t testing.TB, p *fakebroker.Broker) (*fakebroker.Conn, fakebroker.Packet) {
	t.Helper()
	for {
		conn := p.Accept()
		if packet, err := conn.Next(); err == nil {
			require.EqualValues(t, fakebroker.CONNECT, packet.Type())
			return conn, packet
		}
		conn.Close()
	}
}

// plain starts a broker that accepts every client and sends small packets at once.
func plain(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
}

// url returns the address of a server on this machine.
func url(port int) string { return fmt.Sprintf("mqtt://127.0.0.1:%d", port) }

// fast makes a client reconnect after at most 20 ms.
func fast() mqtt.Option { return mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0) }

// dial connects a client and closes it at the end of the test.
func dial(t testing.TB, port int, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	return dialAll(t, []string{url(port)}, options...)
}

func dialAll(t testing.TB, servers []string, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	c, err := mqtt.Dial(wait.Soon(t), servers, append([]mqtt.Option{fast(), mqtt.WithConnectRetry()}, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() { closeNow(t, c) })
	return c
}

// closeNow closes a client within 100 ms. Queued messages may be lost.
func closeNow(t testing.TB, c *mqtt.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx)
	wait.For(t, c.Done(), "the end of the client")
}

// collect returns a handler that sends each message on a channel.
func collect() (mqtt.Handler, <-chan mqtt.Message) {
	ch := make(chan mqtt.Message, 100_000)
	return func(_ context.Context, m mqtt.Message) { ch <- m }, ch
}

// awaitWithin returns the error of a call. Its limit may be longer than that of wait.For.
func awaitWithin(t testing.TB, limit time.Duration, ended <-chan error, what string) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		require.FailNow(t, "timeout while waiting for "+what)
		return nil
	}
}

// parseNumbers converts payloads to numbers.
func parseNumbers(t testing.TB, texts []string) (numbers []int) {
	t.Helper()
	for _, text := range texts {
		var n int
		_, err := fmt.Sscan(text, &n)
		require.NoError(t, err)
		numbers = append(numbers, n)
	}
	return numbers
}

// closeOnce closes a channel that may already be closed. Calls must not be concurrent.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// lateContext is a context that ends when a condition is true, which its Done method waits
// for. With it a context ends at the same time as the call that it belongs to.
type lateContext struct {
	context.Context
	until func() bool
	ended atomic.Bool
}

func (l *lateContext) Err() error {
	if l.ended.Load() {
		return context.Canceled
	}
	return nil
}

func (l *lateContext) Done() <-chan struct{} {
	for !l.until() {
		time.Sleep(100 * time.Microsecond)
	}
	l.ended.Store(true)
	closed := make(chan struct{})
	close(closed)
	return closed
}

// observedContext is a context that reports when calls wait for its end.
type observedContext struct {
	context.Context
	calls atomic.Int32  // calls of Done: each wait makes one
	waits chan struct{} // closed when a call waits

	// accepted is closed when the loop has accepted the change of a Subscribe or Unsubscribe
	// call. The call waits twice: for the loop, and then for the broker.
	accepted chan struct{}
}

func (a *observedContext) Done() <-chan struct{} {
	switch a.calls.Add(1) {
	case 1:
		close(a.waits)
	case 2:
		close(a.accepted)
	}
	return a.Context.Done()
}

func observe(ctx context.Context) *observedContext {
	return &observedContext{Context: ctx, waits: make(chan struct{}), accepted: make(chan struct{})}
}

// underneath stores the root package's client in m.
func underneath(m **mosquitto.Client) mqtt.Option {
	return mqtt.WithLibrarySetup(func(c *mosquitto.Client) error {
		*m = c
		return nil
	})
}

// versions are all versions of MQTT.
var versions = []mqtt.Protocol{mqtt.V31, mqtt.V311, mqtt.V5}
