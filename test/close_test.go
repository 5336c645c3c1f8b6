package test

import (
	"errors"
	"maps"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Close while a loop, a connect, a publish or a callback runs.

// closeBeside starts run in a goroutine, waits until ready receives, closes the client,
// and returns the result of run.
func closeBeside(t *testing.T, c *mosquitto.Client, ready <-chan struct{}, run func() error) error {
	t.Helper()
	returned := make(chan error, 1)
	go func() { returned <- run() }()
	wait.For(t, ready, "the call to start")
	require.NoError(t, c.Close())
	return wait.For(t, returned, "the call's return")
}

func requireClosed(t *testing.T, c *mosquitto.Client) {
	t.Helper()
	_, err := c.Publish("a", nil, 0, false)
	require.ErrorIs(t, err, mosquitto.ErrClosed)
	require.NoError(t, c.Close(), "again")
}

func TestClose_EndsLoopForever(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	ready := make(chan struct{}, 1)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { ready <- struct{}{} })
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, closeBeside(t, c, ready, func() error { return c.LoopForever(-1) }))
	requireClosed(t, c)
	b.Kill()
	leavesNothing(t, before)
}

func TestClose_EndsLoop(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	ready := make(chan struct{}, 1)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { ready <- struct{}{} })
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	err = closeBeside(t, c, ready, func() error {
		for {
			if err := c.Loop(time.Minute); err != nil {
				return err
			}
		}
	})
	require.True(t, errors.Is(err, mosquitto.ErrClosed) || errors.Is(err, mosquitto.ErrNoConn), err)
	requireClosed(t, c)
	b.Kill()
	leavesNothing(t, before)
}

func TestClose_EndsTheThreadOfLoopStart(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	require.Equal(t, 1, leak.LibraryThreads())
	require.NoError(t, c.Close())
	awaitThread(t)
	requireClosed(t, c)
	b.Kill()
	leavesNothing(t, before)
}

func TestClose_EndsAThreadThatWaitsForConnect(t *testing.T) {
	before := leak.Take()
	c, _ := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Close())
	requireClosed(t, c)
	leavesNothing(t, before)
}

func TestClose_ConcurrentPublishesReturnErrClosed(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	for range 10 {
		c, err := mosquitto.New("", true, nil)
		require.NoError(t, err)
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		require.NoError(t, c.LoopStart())
		going := make(chan struct{}, 8)
		wrong := make(chan error, 8)
		wait.AtOnce(9, func(i int) {
			if i == 8 {
				for range 8 {
					<-going
				}
				c.Close()
				return
			}
			going <- struct{}{}
			for {
				_, err := c.Publish("a", []byte("x"), mosquitto.QoS(i%3), false)
				if errors.Is(err, mosquitto.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, mosquitto.ErrNoConn) {
					wrong <- err
					return
				}
			}
		})
		wait.None(t, wrong, "error")
		requireClosed(t, c)
	}
	b.Kill()
	leavesNothing(t, before)
}

func TestClose_BesideConnectLeavesNothing(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	for range 30 {
		c, err := mosquitto.New("", true, nil)
		require.NoError(t, err)
		wait.AtOnce(3, func(i int) {
			switch i {
			case 0:
				_ = c.Connect("127.0.0.1", b.Port, keepalive)
			case 1:
				_ = c.LoopForever(-1)
			case 2:
				c.Close()
			}
		})
		requireClosed(t, c)
	}
	b.Kill()
	leavesNothing(t, before)
}

func TestClose_FromManyGoroutinesSucceeds(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	for range 20 {
		c, e := newClient(t, "", true)
		startThread(t, c, e, b.Port)
		wait.AtOnce(8, func(int) { c.Close() })
		requireClosed(t, c)
	}
	b.Kill()
	leavesNothing(t, before)
}

// Close inside a callback returns at once. The client is freed when the loop has left
// C, and no further callback starts.
func TestClose_InsideACallbackIsDeferred(t *testing.T) {
	b := plain(t)
	before := mosquitto.OpenClients()
	for _, kind := range callbackKinds() {
		t.Run(kind, func(t *testing.T) {
			c, err := mosquitto.New("", true, nil)
			require.NoError(t, err)
			steps, closed := make(chan string, 100), make(chan error, 100)
			installEvery(c, func(c *mosquitto.Client, now string) {
				if now == kind {
					closed <- c.Close()
					return
				}
				steps <- now
			})
			returned := make(chan error, 1)
			go func() {
				if err := c.Connect("127.0.0.1", b.Port, keepalive); err != nil {
					returned <- err
					return
				}
				returned <- c.LoopForever(-1)
			}()
			for len(closed) == 0 {
				select {
				case now := <-steps:
					if kind == "OnDisconnect" && now == "OnConnect" {
						require.NoError(t, c.Disconnect())
					} else {
						_, _ = c.Publish("step", nil, 1, false)
						stepUnlessClosed(c, now)
					}
				case <-time.After(time.Millisecond):
				}
			}
			wait.For(t, returned, "the loop's return")
			require.NoError(t, <-closed)
			wait.Until(t, "the end of the client", func() bool { return mosquitto.OpenClients() == before })
			require.Empty(t, closed, "a callback after Close")
			requireClosed(t, c)
		})
	}
}

func stepUnlessClosed(c *mosquitto.Client, kind string) {
	switch kind {
	case "OnConnect":
		_, _ = c.Subscribe("step", 1)
	case "OnMessage", "OnPublish":
		_, _ = c.Unsubscribe("step")
	}
}

func TestClose_InsideACallbackOfTheThreadIsDeferred(t *testing.T) {
	before := leak.Take()
	b := plain(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	closed := make(chan error, 10)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { closed <- c.Close() })
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) { closed <- errors.New("callback after Close") })
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, wait.For(t, closed, "Close"))
	b.Kill()
	leavesNothing(t, before)
	require.Empty(t, closed)
	requireClosed(t, c)
}

// Close returns an error if a callback does not return. The client is freed when the
// callback returns.
func TestClose_ReportsACallbackThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	inside, finish := make(chan struct{}), make(chan struct{})
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) {
		close(inside)
		<-finish
	})
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := make(chan error, 1)
	go func() { ended <- c.LoopForever(-1) }()
	wait.For(t, inside, "OnConnect")
	err = c.Close()
	require.ErrorIs(t, err, mosquitto.ErrTimeout)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.Close(), "again")
	close(finish)
	wait.For(t, ended, "the end of LoopForever")
}

func TestClose_StartsNoCallbackAfterwards(t *testing.T) {
	b := plain(t)
	for range 20 {
		c, e := newClient(t, "", true)
		var closed atomic.Bool
		late := make(chan struct{}, 10000)
		c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {
			if closed.Load() {
				late <- struct{}{}
			}
		})
		startThread(t, c, e, b.Port)
		subscribe(t, c, e, "flood", 0)
		for range 200 {
			_, err := c.Publish("flood", nil, 0, false)
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
		closed.Store(true)
		wait.None(t, late, "callback")
	}
}

// Every method of a closed client returns ErrClosed.
func TestClose_LaterCallsReturnErrClosed(t *testing.T) {
	c, _ := newClient(t, "", true)
	require.NoError(t, c.Close())
	errs := ownersCalls(c, 1)
	maps.Copy(errs, refusedInside(c, 1))
	_, errs["SubscribeV5"] = c.SubscribeV5("a", 0, 0, nil)
	_, errs["SubscribeMultiple"] = c.SubscribeMultiple([]string{"a"}, 0, 0, nil)
	_, errs["UnsubscribeV5"] = c.UnsubscribeV5("a", nil)
	_, errs["UnsubscribeMultiple"] = c.UnsubscribeMultiple([]string{"a"}, nil)
	errs["ExtAuthContinue"] = c.ExtAuthContinue("a", nil, nil)
	for what, err := range errs {
		require.ErrorIs(t, err, mosquitto.ErrClosed, what)
	}
	require.Equal(t, -1, c.Socket())
	require.False(t, c.WantWrite())
	require.Nil(t, c.SSLGet())
	installEvery(c, func(*mosquitto.Client, string) {})
	c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) {})
	c.OnLog(nil)
}

// Close sends no DISCONNECT if no loop runs, so the broker publishes the will.
func TestClose_WithoutALoopTriggersTheWill(t *testing.T) {
	b := plain(t)
	watcher, we := newClient(t, "", true)
	connect(t, watcher, we, b.Port)
	subscribe(t, watcher, we, "will", 1)
	c, e := newClient(t, "", true)
	require.NoError(t, c.WillSet("will", []byte("client lost"), 1, false))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, c, e.connect)
	require.NoError(t, c.Close())
	require.Equal(t, "client lost", string(wait.For(t, we.message, "the will").Payload))
}
