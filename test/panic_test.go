package test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// panicOf runs f and returns its panic.
func panicOf(t *testing.T, f func()) *mosquitto.PanicError {
	t.Helper()
	var raised any
	func() {
		defer func() { raised = recover() }()
		f()
	}()
	require.IsType(t, &mosquitto.PanicError{}, raised)
	return raised.(*mosquitto.PanicError)
}

// requirePanic asserts that a panic has its original value and stack.
func requirePanic(t *testing.T, e *mosquitto.PanicError, want error) {
	t.Helper()
	require.ErrorIs(t, e, want)
	require.Equal(t, want, errors.Unwrap(e))
	require.Equal(t, want, e.Value)
	require.Contains(t, string(e.Stack), "explode")
	require.Contains(t, e.Error(), want.Error())
	require.Contains(t, e.Error(), "explode")
}

// explode is the function that the tests find in stacks.
//
//go:noinline
func explode(err error) { panic(err) }

// until calls f until it panics, returns an error or takes too long. It returns the
// panic.
func until(t *testing.T, f func() error) *mosquitto.PanicError {
	t.Helper()
	deadline := time.Now().Add(wait.Patience)
	return panicOf(t, func() {
		for time.Now().Before(deadline) {
			if f() != nil {
				return
			}
		}
	})
}

// loops are the ways to run a loop. Each runs until the panic.
var loops = map[string]func(*testing.T, *mosquitto.Client) *mosquitto.PanicError{
	"Loop": func(t *testing.T, c *mosquitto.Client) *mosquitto.PanicError {
		return until(t, func() error { return c.Loop(10 * time.Millisecond) })
	},
	"LoopForever": func(t *testing.T, c *mosquitto.Client) *mosquitto.PanicError {
		return panicOf(t, func() { _ = c.LoopForever(-1) })
	},
	"LoopRead": func(t *testing.T, c *mosquitto.Client) *mosquitto.PanicError {
		return until(t, func() error { return errors.Join(c.LoopWrite(), c.LoopRead(), c.LoopMisc()) })
	},
}

// A panic in a callback leaves the loop as PanicError. The client can connect again.
func TestPanic_LeavesTheLoopAsPanicError(t *testing.T) {
	b := plain(t)
	for name, run := range loops {
		for _, kind := range callbackKinds() {
			t.Run(name+" "+kind, func(t *testing.T) {
				if kind == "OnPreConnect" {
					return // runs inside Connect: see TestPanic_LeavesTheCallThatRanTheCallback
				}
				c, err := mosquitto.New("", true, nil)
				require.NoError(t, err)
				t.Cleanup(func() { c.Close() })
				installEvery(c, func(c *mosquitto.Client, now string) {
					if now == kind {
						explode(io.ErrNoProgress)
					}
					drive(c, now, kind)
				})
				require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
				requirePanic(t, run(t, c), io.ErrNoProgress)
				worksAgain(t, c, b)
			})
		}
	}
}

// drive makes the wanted callback run next.
func drive(c *mosquitto.Client, now, wanted string) {
	switch {
	case now == "OnConnect" && wanted == "OnDisconnect":
		_ = c.Disconnect()
	case now == "OnConnect":
		_, _ = c.Subscribe("step", 1)
	case now == "OnSubscribe" && wanted == "OnUnsubscribe":
		_, _ = c.Unsubscribe("step")
	case now == "OnSubscribe":
		_, _ = c.Publish("step", nil, 1, false)
	}
}

// worksAgain connects a client again after a panic. libmosquitto 2.1 may parse bytes of
// the old connection in the new one, so its first attempt may fail.
func worksAgain(t *testing.T, c *mosquitto.Client, b *broker.Broker) {
	t.Helper()
	e := listen(c)
	_ = c.OnPreConnect(nil)
	for range 2 {
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		wait.Until(t, "the CONNACK or an error", func() bool {
			err := c.Loop(10 * time.Millisecond)
			return err != nil || len(e.connect) > 0
		})
		if len(e.connect) > 0 {
			break
		}
		require.True(t, has21(), "only 2.1 may fail once")
	}
	require.NoError(t, (<-e.connect).Err())
	_, err := c.Publish("again", []byte("x"), 1, false)
	require.NoError(t, err)
	turnUntil(t, c, e.publish)
}

// OnLog, the password callback and OnPreConnect run inside calls, which raise the
// panic.
func TestPanic_LeavesTheCallThatRanTheCallback(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "", true)
	c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) { explode(io.EOF) })
	requirePanic(t, panicOf(t, func() { _ = c.Connect("127.0.0.1", b.Port, keepalive) }), io.EOF)
	c.OnLog(nil)
	worksAgain(t, c, b)

	c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) { explode(io.EOF) })
	requirePanic(t, panicOf(t, func() { _, _ = c.Publish("a", nil, 1, false) }), io.EOF)
	requirePanic(t, panicOf(t, func() { _, _ = c.Subscribe("a", 1) }), io.EOF)
	requirePanic(t, loops["Loop"](t, c), io.EOF)
	c.OnLog(nil)
	worksAgain(t, c, b)

	if has21() {
		require.NoError(t, c.OnPreConnect(func(*mosquitto.Client) { explode(io.EOF) }))
		requirePanic(t, panicOf(t, func() { _ = c.Connect("127.0.0.1", b.Port, keepalive) }), io.EOF)
		worksAgain(t, c, b)
	}
}

func TestPanic_InThePasswordCallbackLeavesConnect(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "localhost"), ClientCA: ca.File})
	own := ca.Issue("client")
	c, e := newClient(t, "", true)
	key := ca.Encrypt(own.KeyFile, "secret")
	require.NoError(t, c.TLSSet(ca.File, "", own.CertFile, key, func(*mosquitto.Client) (string, error) {
		explode(io.EOF)
		return "", nil
	}))
	requirePanic(t, panicOf(t, func() { _ = c.Connect("localhost", b.Port, keepalive) }), io.EOF)
	require.NoError(t, c.TLSSet(ca.File, "", own.CertFile, key, func(*mosquitto.Client) (string, error) { return "secret", nil }))
	require.NoError(t, c.Connect("localhost", b.Port, keepalive))
	require.NoError(t, turnUntil(t, c, e.connect).Err())
}

// Panics with values that are not errors, and panics of the runtime.
func TestPanic_KeepsItsValue(t *testing.T) {
	b := plain(t)
	for _, value := range []any{"text", 42, struct{ x int }{1}} {
		c, _ := newClient(t, "", true)
		c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { panic(value) })
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		e := panicOf(t, func() { _ = c.LoopForever(-1) })
		require.Equal(t, value, e.Value)
		require.NoError(t, errors.Unwrap(e))
	}
	c, _ := newClient(t, "", true)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) {
		var none []int
		_ = none[len(c.UserData().(string))]
	})
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	var wanted interface{ RuntimeError() }
	require.ErrorAs(t, panicOf(t, func() { _ = c.LoopForever(-1) }), &wanted)
}

// A QoS 1 message whose callback panicked is not acknowledged, so the broker sends it
// again.
func TestPanic_InOnMessageDoesNotAcknowledge(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "keeps", false)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, c, e.connect)
	_, err := c.Subscribe("kept", 1)
	require.NoError(t, err)
	turnUntil(t, c, e.subscribe)
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) { explode(io.EOF) })
	_, err = c.Publish("kept", []byte("once"), 1, false)
	require.NoError(t, err)
	requirePanic(t, panicOf(t, func() { _ = c.LoopForever(-1) }), io.EOF)

	again, ae := newClient(t, "keeps", false)
	require.NoError(t, again.Connect("127.0.0.1", b.Port, keepalive))
	require.True(t, turnUntil(t, again, ae.connect).SessionPresent)
	require.Equal(t, "once", string(turnUntil(t, again, ae.message).Payload))
}

// A callback calls a loop of another client, whose callback panics. The panic leaves
// both loops.
func TestPanic_LeavesNestedLoops(t *testing.T) {
	b := plain(t)
	inner, _ := newClient(t, "", true)
	inner.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { explode(io.EOF) })
	require.NoError(t, inner.Connect("127.0.0.1", b.Port, keepalive))
	outer, _ := newClient(t, "", true)
	outer.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { _ = inner.LoopForever(-1) })
	require.NoError(t, outer.Connect("127.0.0.1", b.Port, keepalive))
	requirePanic(t, panicOf(t, func() { _ = outer.LoopForever(-1) }), io.EOF)
	worksAgain(t, inner, b)
	worksAgain(t, outer, b)
}

// A callback may recover from the panic of a call that it made.
func TestPanic_CanBeRecoveredInACallback(t *testing.T) {
	b := plain(t)
	inner, _ := newClient(t, "", true)
	inner.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { explode(io.EOF) })
	require.NoError(t, inner.Connect("127.0.0.1", b.Port, keepalive))
	outer, e := newClient(t, "", true)
	recovered := make(chan any, 1)
	outer.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		defer func() { recovered <- recover() }()
		_ = inner.LoopForever(-1)
	})
	require.NoError(t, outer.Connect("127.0.0.1", b.Port, keepalive))
	loop(t, outer)
	require.IsType(t, &mosquitto.PanicError{}, wait.For(t, recovered, "the panic"))
	subscribe(t, outer, e, "a", 1)
}

// crash runs this test again in a child process that must exit with a panic, and
// returns its output. It returns parent false in the child. The child's temporary files
// are removed.
func crash(t *testing.T) (output string, parent bool) {
	t.Helper()
	const variable = "MOSQUITTO_TEST_CRASH"
	if os.Getenv(variable) == t.Name() {
		return "", false
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := subprocess.Command(self, "-test.count=1", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), variable+"="+t.Name())
	cmd.WaitDelay = wait.Patience
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 2, exit.ExitCode(), "exit code of a panic: %s", text)
	return string(text), true
}

// A panic on the library's thread ends the program and prints the cause.
func TestPanic_OnTheLibrarysThreadEndsTheProgram(t *testing.T) {
	output, parent := crash(t)
	if parent {
		require.Contains(t, output, "panic: ")
		require.Contains(t, output, "cause of the panic")
		require.Contains(t, output, "test.explode")
		require.Less(t, strings.Index(output, "cause of the panic"), strings.Index(output, "test.explode"))
		return
	}
	b := plain(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) {
		defer func() { b.Kill() }()
		explode(errors.New("cause of the panic"))
	})
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	select {} // the panic ends the program
}
