package test

import (
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/lowfds"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// stopped stops the thread of LoopStart and waits until it has ended.
func stopped(t testing.TB, c *mosquitto.Client) {
	t.Helper()
	require.NoError(t, c.LoopStop(false))
	awaitThread(t)
}

func TestLoopStart_RunsConnectsBeforeOrAfterIt(t *testing.T) {
	b := plain(t)
	for name, start := range map[string]func(*mosquitto.Client) error{
		"before Connect": func(c *mosquitto.Client) error {
			if err := c.LoopStart(); err != nil {
				return err
			}
			return c.Connect("127.0.0.1", b.Port, keepalive)
		},
		"after Connect": func(c *mosquitto.Client) error {
			if err := c.Connect("127.0.0.1", b.Port, keepalive); err != nil {
				return err
			}
			return c.LoopStart()
		},
		"after ConnectAsync": func(c *mosquitto.Client) error {
			if err := c.ConnectAsync("127.0.0.1", b.Port, keepalive); err != nil {
				return err
			}
			return c.LoopStart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, start(c))
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.Equal(t, 1, leak.LibraryThreads())
			echo(t, c, e)
			require.ErrorIs(t, c.LoopStart(), mosquitto.ErrBusy)
			require.ErrorIs(t, c.Loop(0), mosquitto.ErrBusy)
			require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrBusy)
			stopped(t, c)
			require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		})
	}
}

func TestLoopStart_Reconnects(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	for range 2 {
		b.Restart()
		require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		echo(t, c, e)
	}
	stopped(t, c)
}

func TestLoopStart_ReconnectsWithTLS(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("localhost", b.Port, keepalive))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
	b.Restart()
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
	stopped(t, c)
}

func TestLoopStart_ManyGoroutinesMayPublish(t *testing.T) {
	const publishers, each = 20, 50
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a", 1)
	errs := make(chan error, publishers*each)
	var all sync.WaitGroup
	for range publishers {
		all.Add(1)
		go func() {
			defer all.Done()
			for range each {
				_, err := c.Publish("a", []byte("x"), 1, false)
				errs <- err
			}
		}()
	}
	all.Wait()
	for range publishers * each {
		require.NoError(t, <-errs)
		wait.For(t, e.message, "a message")
		wait.For(t, e.publish, "OnPublish")
	}
	stopped(t, c)
}

// Disconnect ends the thread, LoopStop joins it, and LoopStart works again.
func TestLoopStart_WorksAgainAfterLoopStop(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	for range 3 {
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		require.NoError(t, c.LoopStart())
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		echo(t, c, e)
		_ = c.Disconnect() // may return ErrNoConn if the thread was faster
		require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		stopped(t, c)
	}
	ended := connect(t, c, e, b.Port) // a different loop can follow
	echo(t, c, e)
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
}

// The thread waits with select(2). With a file descriptor above 1023 it would end
// without an error.
func TestLoopStart_RefusesFileDescriptorsAbove1023(t *testing.T) {
	lowfds.Descriptors(t)
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	err := c.LoopStart()
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.Regexp(t, `descriptor \d{4}`, err.Error())
	awaitThread(t)
	runOwn(t, c) // a loop with poll(2) accepts every file descriptor
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())

	for name, connect := range map[string]func(*mosquitto.Client) error{
		"Connect":      func(c *mosquitto.Client) error { return c.Connect("127.0.0.1", b.Port, keepalive) },
		"ConnectAsync": func(c *mosquitto.Client) error { return c.ConnectAsync("127.0.0.1", b.Port, keepalive) },
	} {
		c, e := newClient(t, "", true)
		require.NoError(t, c.LoopStart(), name)
		err := connect(c)
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
		require.Regexp(t, `descriptor \d{4}`, err.Error(), name)
		stopped(t, c)
		wait.None(t, e.connect, "OnConnect")
	}
}

func TestLoopStop_WithoutAConnectionReturns(t *testing.T) {
	b := plain(t)
	t.Run("never connected", func(t *testing.T) {
		c, e := newClient(t, "", true)
		require.NoError(t, c.LoopStart())
		stopped(t, c)
		wait.None(t, e.connect, "OnConnect")
	})
	t.Run("never started", func(t *testing.T) {
		c, _ := newClient(t, "", true)
		require.ErrorIs(t, c.LoopStop(false), mosquitto.ErrInval)
		require.ErrorIs(t, c.LoopStop(true), mosquitto.ErrNotSupported)
	})
	t.Run("twice", func(t *testing.T) {
		c, e := newClient(t, "", true)
		require.NoError(t, c.LoopStart())
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		require.ErrorIs(t, c.LoopStop(true), mosquitto.ErrNotSupported)
		echo(t, c, e) // the thread still runs
		stopped(t, c)
		require.ErrorIs(t, c.LoopStop(false), mosquitto.ErrInval)
	})
	t.Run("broker stopped", func(t *testing.T) {
		b := plain(t)
		c, e := newClient(t, "", true)
		require.NoError(t, c.LoopStart())
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		b.Stop()
		wait.For(t, e.disconnect, "OnDisconnect")
		stopped(t, c)
	})
}
