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

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/spawn"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// meet connects a client to a scripted peer that accepts it.
func meet(t testing.TB, p *peer.Peer, options ...mqtt.Option) (*mqtt.Client, *peer.Conn) {
	t.Helper()
	c := dial(t, p.Port, append(options, mqtt.WithBackgroundConnect())...)
	conn := p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	return c, conn
}

// proxied is a broker behind a network whose faults the test switches.
func proxied(t testing.TB) (*broker.Broker, *fault.Proxy) {
	t.Helper()
	b := plain(t)
	return b, fault.Start(t, b.Addr())
}

// states is a state handler that sends on a channel.
func states() (mqtt.Option, <-chan mqtt.StateChange) {
	ch := make(chan mqtt.StateChange, 10_000)
	return mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { ch <- s }), ch
}

// awaitState takes changes from the channel up to one of this state.
func awaitState(t testing.TB, ch <-chan mqtt.StateChange, want mqtt.State) mqtt.StateChange {
	t.Helper()
	for {
		if s := wait.For(t, ch, "the state "+want.String()); s.State == want {
			return s
		}
	}
}

// awaitFailure takes changes from the channel up to a connection that was lost, or an
// attempt that failed.
func awaitFailure(t testing.TB, ch <-chan mqtt.StateChange) mqtt.StateChange {
	t.Helper()
	for {
		if s := wait.For(t, ch, "a failure"); s.Err != nil && s.State != mqtt.StateClosed {
			require.Equal(t, s.Attempt == 0, s.State == mqtt.StateDisconnected, "a loss and a failed attempt are different states")
			return s
		}
	}
}

// outcome runs a call that waits.
func outcome(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}

// pending asserts that a message is on its way.
func pending(t testing.TB, token *mqtt.Token) {
	t.Helper()
	select {
	case <-token.Done():
		require.FailNow(t, "the token has ended", "%v", token.Err())
	default:
		require.NoError(t, token.Err())
	}
}

// subscribed answers a SUBSCRIBE of MQTT 3.1.1 for one filter.
func subscribed(conn *peer.Conn, code byte) {
	conn.Send(peer.V311.Suback(conn.Expect(peer.SUBSCRIBE).MID(), []byte{code}))
}

// record is a logger that keeps what it is told, as text.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: level}))
}

// childVariable holds, in a child process, the name of the test that it is for.
const childVariable = "MQTT_TEST_CHILD"

// isChild tells whether this process is one that child has started.
func isChild(t testing.TB) bool { return os.Getenv(childVariable) == t.Name() }

// child runs this test again in a process of its own, and returns what it has
// written, and how it ended.
func child(t testing.TB, environment ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 6*wait.Patience)
	defer cancel()
	cmd := spawn.CommandContext(ctx, self, "-test.count=1", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), childVariable+"="+t.Name()), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// soonest is a context that ends shortly.
func soonest(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// awaitNumbers wants messages with these payloads, in this order.
func awaitNumbers(t testing.TB, got <-chan mqtt.Message, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		require.Equal(t, fmt.Sprint(n), string(wait.For(t, got, fmt.Sprint("message ", n)).Payload))
	}
}

// upTo lists the numbers from first to last.
func upTo(first, last int) (numbers []int) {
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// drop is a handler that does nothing.
func drop(context.Context, mqtt.Message) {}

// containsAll tells whether a text has all the parts.
func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// greeted accepts the next client that says CONNECT: after an error libmosquitto
// 2.1 is given a connection first in which it gets rid of the last one's input.
func greeted(t testing.TB, p *peer.Peer) (*peer.Conn, peer.Packet) {
	t.Helper()
	for {
		conn := p.Accept()
		if packet, err := conn.Next(); err == nil {
			require.EqualValues(t, peer.CONNECT, packet.Type())
			return conn, packet
		}
		conn.Close()
	}
}
