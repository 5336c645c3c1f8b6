//go:build cgo

package mqtt_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// dialScriptedBroker connects a client to a fake broker whose replies the test sends itself.
func dialScriptedBroker(t testing.TB, p *fakebroker.Peer, options ...mqtt.Option) (*mqtt.Client, *fakebroker.Conn) {
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

// childVariable is set in a child process to the name of the test to run.
const childVariable = "MQTT_TEST_CHILD"

// isChild reports whether runInChild of this test started this process.
func isChild(t testing.TB) bool { return os.Getenv(childVariable) == t.Name() }

// runInChild runs this test again in a child process. It returns the output of the process
// and the error of its exit.
func runInChild(t testing.TB, environment ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 6*wait.Patience)
	defer cancel()
	cmd := subprocess.CommandContext(ctx, self, "-test.count=1", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), childVariable+"="+t.Name()), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	return string(text), err
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
func acceptNextConnect(t testing.TB, p *fakebroker.Peer) (*fakebroker.Conn, fakebroker.Packet) {
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
