package test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Each thread has a queue of OpenSSL's errors. Libraries before 2.0.19 took an error that another
// client had left on the thread for an error of their own connection, and closed it.

// leaveError leaves an error of OpenSSL on this thread. The library that lacks engines leaves none.
func leaveError(other *mosquitto.Client) {
	_ = other.StringOption(mosquitto.OptTLSEngine, "no-such-engine")
}

// echoes returns a connected client that receives what it publishes to the topic "echo". run
// drives it on a locked thread, until the test ends. Inside OnMessage the client leaves an
// error if inCallback is set.
func echoes(t *testing.T, inCallback bool, run func(c, other *mosquitto.Client)) (*mosquitto.Client, *events) {
	t.Helper()
	b, ca := tlsBroker(t, "localhost", "127.0.0.1")
	c, e := trusting(t, ca)
	other, _ := newClient(t, "", true)
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		if inCallback {
			leaveError(other)
		}
		e.message <- m
	})
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // the end of a locked goroutine ends its thread, and so the broker that the thread has started
		run(c, other)
	}()
	t.Cleanup(func() {
		c.Close()
		wait.For(t, gone, "the end of the loop")
	})
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "echo", 1)
	return c, e
}

// expectEchoes publishes messages one by one. prepare is called before each.
func expectEchoes(t *testing.T, c *mosquitto.Client, e *events, prepare func()) {
	t.Helper()
	for range 3 {
		prepare()
		_, err := c.Publish("echo", nil, 1, false)
		require.NoError(t, err)
		select {
		case <-e.message:
		case d := <-e.disconnect:
			require.NoError(t, d.Err, "the connection is lost")
		}
	}
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestTLS_ErrorThatACallbackLeavesOnTheThreadEndsNoConnection(t *testing.T) {
	for name, run := range map[string]func(c, other *mosquitto.Client){
		"Run":         func(c, _ *mosquitto.Client) { _ = c.Run(t.Context()) },
		"LoopForever": func(c, _ *mosquitto.Client) { _ = c.LoopForever(-1) },
		"LoopStart":   func(c, _ *mosquitto.Client) { _ = c.LoopStart() },
	} {
		t.Run(name, func(t *testing.T) {
			c, e := echoes(t, true, run)
			expectEchoes(t, c, e, func() {})
		})
	}
}

func TestTLS_ErrorOnTheThreadBeforeACallEndsNoConnection(t *testing.T) {
	for name, call := range map[string]func(c *mosquitto.Client) error{
		"Loop": func(c *mosquitto.Client) error { return c.Loop(10 * time.Millisecond) },
		"LoopRead": func(c *mosquitto.Client) error {
			if c.WantWrite() {
				return c.LoopWrite()
			}
			return c.LoopRead()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := echoes(t, false, func(c, other *mosquitto.Client) {
				for {
					leaveError(other)
					if call(c) != nil {
						return
					}
				}
			})
			expectEchoes(t, c, e, func() {})
		})
	}
}

func TestTLS_ErrorThatAPostedFunctionLeavesEndsNoConnection(t *testing.T) {
	c, e := echoes(t, false, func(c, _ *mosquitto.Client) { _ = c.Run(t.Context()) })
	other, _ := newClient(t, "", true)
	expectEchoes(t, c, e, func() {
		require.NoError(t, c.Post(func() { leaveError(other) }))
		turned(t, c)
	})
}
