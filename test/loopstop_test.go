package test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// bounded fails the test if f does not return in time. A call may wait up to five
// seconds before it cuts the connection.
func bounded(t *testing.T, what string, f func() error) error {
	t.Helper()
	returned := make(chan error, 1)
	go func() { returned <- f() }()
	return wait.For(t, returned, what)
}

func stop(t *testing.T, c *mosquitto.Client) {
	t.Helper()
	require.NoError(t, bounded(t, "LoopStop", func() error { return c.LoopStop(false) }))
}

// In these cases mosquitto_loop_stop waits for ever. LoopStop returns.
func TestLoopStop_WithoutConnectReturns(t *testing.T) {
	c, _ := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.Equal(t, 1, leak.LibraryThreads())
	stop(t, c)
	awaitThread(t)
}

func TestLoopStop_WithoutDisconnectReturns(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	stop(t, c)
	awaitThread(t)
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
	wait.None(t, e.connect, "second connection") // libmosquitto 2.1 would reconnect here
}

func TestLoopStop_AfterDisconnectReturns(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	_ = c.Disconnect() // ErrNoConn if the thread was faster
	wait.For(t, e.disconnect, "OnDisconnect")
	awaitThread(t)
	stop(t, c)
	err := c.LoopStop(false)
	require.ErrorIs(t, err, mosquitto.ErrInval, "second LoopStop")
	require.ErrorContains(t, err, "LoopStart was not called")
}

func TestLoopStop_OneOfSeveralCallsSucceeds(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	errs := make(chan error, 4)
	wait.AtOnce(4, func(int) { errs <- c.LoopStop(false) })
	well := 0
	for range 4 {
		if err := <-errs; err == nil {
			well++
		} else {
			require.True(t, isBusyOrInval(err), err)
		}
	}
	require.Equal(t, 1, well)
}

func isBusyOrInval(err error) bool {
	text := err.Error()
	return strings.Contains(text, mosquitto.ErrBusy.Error()) || strings.Contains(text, "LoopStart was not called")
}

func TestLoopStop_ForceReturnsErrNotSupported(t *testing.T) {
	c, _ := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.ErrorIs(t, c.LoopStop(true), mosquitto.ErrNotSupported)
	require.Equal(t, 1, leak.LibraryThreads())
	stop(t, c)
}

// LoopStop cuts the connection to a broker that does not respond.
func TestLoopStop_WithASilentBrokerReturns(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	b.Pause()
	stop(t, c)
	awaitThread(t)
	b.Resume()
}

// LoopStart works again after LoopStop, whether the connect comes before or after it.
func TestLoopStop_LoopStartWorksAgainAfterwards(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	for range 3 {
		startThread(t, c, e, b.Port)
		subscribe(t, c, e, "a", 1)
		stop(t, c)
		wait.For(t, e.disconnect, "OnDisconnect")
	}
	require.NoError(t, c.Reconnect())
	require.NoError(t, c.LoopStart())
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	stop(t, c)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, wait.For(t, afterLoop(t, c, e), "OnConnect").Err(), "LoopForever after LoopStop")
}

func afterLoop(t *testing.T, c *mosquitto.Client, e *events) <-chan mosquitto.Connack {
	t.Helper()
	for len(e.connect) > 0 {
		<-e.connect
	}
	loop(t, c)
	return e.connect
}

// mosquitto_loop_stop (2.0.12 and later) leaks the stack of a thread that ended by
// itself. LoopStop frees it.
func TestLoopStop_FreesTheStacksOfThreads(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	cycle := func() {
		startThread(t, c, e, b.Port)
		_ = c.Disconnect()
		wait.For(t, e.disconnect, "OnDisconnect")
		awaitThread(t)
		stop(t, c)
	}
	for range 5 {
		cycle()
	}
	before := virtualSize(t)
	for range 40 {
		cycle()
	}
	const stack = 8 << 20
	require.Less(t, virtualSize(t)-before, 20*stack, "40 stacks would need more")
}

// virtualSize returns VmSize of this process in bytes.
func virtualSize(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(text), "VmSize:")
	kilobytes, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(t, err)
	return kilobytes << 10
}

func TestClose_WithASilentBrokerReturns(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *mosquitto.Client, *events, int){
		"LoopStart": startThread,
		"LoopForever": func(t *testing.T, c *mosquitto.Client, e *events, port int) {
			connect(t, c, e, port)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := plain(t)
			open := mosquitto.OpenClients()
			c, e := newClient(t, "", true)
			start(t, c, e, b.Port)
			b.Pause()
			require.NoError(t, bounded(t, "Close", c.Close))
			wait.Until(t, "the client's memory", func() bool { return mosquitto.OpenClients() == open })
			awaitThread(t)
			b.Resume()
		})
	}
}

// The fake broker reads nothing, so the socket's buffer is full and packets are queued.
func TestClose_WithAPeerThatNeverReadsReturns(t *testing.T) {
	p := fakebroker.Listen(t)
	open := mosquitto.OpenClients()
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	require.NoError(t, c.LoopStart())
	p.AcceptConnect()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	payload := make([]byte, 1<<20)
	for range 20 {
		_, err := c.Publish("a", payload, 0, false)
		require.NoError(t, err)
	}
	require.NoError(t, bounded(t, "Close", c.Close))
	wait.Until(t, "the client's memory", func() bool { return mosquitto.OpenClients() == open })
	awaitThread(t)
}

// The fake broker accepts the connection and sends no CONNACK.
func TestLoopStop_WithoutConnackReturns(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	p.Accept().Expect(fakebroker.CONNECT)
	stop(t, c)
	wait.None(t, e.connect, "OnConnect")
}

// The loop waits between two attempts to connect.
func TestLoopStop_DuringBackoffReturns(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, false))
	startThread(t, c, e, b.Port)
	b.Kill()
	wait.For(t, e.disconnect, "OnDisconnect")
	stop(t, c)
	awaitThread(t)
}
