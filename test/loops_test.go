package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/lowfds"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// loopUntil calls Loop with this timeout until the channel has a value.
func loopUntil[T any](t testing.TB, c *mosquitto.Client, timeout time.Duration, ch <-chan T, what string) T {
	t.Helper()
	wait.Until(t, what, func() bool {
		if len(ch) == 0 {
			require.NoError(t, c.Loop(timeout))
		}
		return len(ch) > 0
	})
	return <-ch
}

func TestLoop_WorksWithEveryTimeout(t *testing.T) {
	b := plain(t)
	for name, timeout := range map[string]time.Duration{
		"0": 0, "negative": -1, "long negative": -time.Hour, "a nanosecond": 1, "10 ms": 10 * time.Millisecond, "long": time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.ErrorIs(t, c.Loop(timeout), mosquitto.ErrNoConn)
			require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
			require.NoError(t, loopUntil(t, c, timeout, e.connect, "OnConnect").Err())
			_, err := c.Subscribe("a", 1)
			require.NoError(t, err)
			loopUntil(t, c, timeout, e.subscribe, "OnSubscribe")
			_, err = c.Publish("a", []byte("x"), 1, false)
			require.NoError(t, err)
			loopUntil(t, c, timeout, e.message, "the message")
			require.NoError(t, c.Disconnect())
			wait.Until(t, "OnDisconnect", func() bool {
				_ = c.Loop(timeout)
				return len(e.disconnect) > 0
			})
			require.NoError(t, (<-e.disconnect).Err)
			require.ErrorIs(t, c.Loop(timeout), mosquitto.ErrNoConn)
		})
	}
}

// Loop does not reconnect: it returns that the connection was lost.
func TestLoop_ReturnsALostConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	require.NoError(t, c.LoopWrite())
	conn := p.AcceptConnect()
	loopUntil(t, c, -1, e.connect, "OnConnect")
	conn.Close()
	require.ErrorIs(t, loopUntilError(c), mosquitto.ErrConnLost)
	require.ErrorIs(t, wait.For(t, e.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
	require.Equal(t, -1, c.Socket())
	require.ErrorIs(t, c.Loop(0), mosquitto.ErrNoConn)
	require.NoError(t, c.Reconnect())
	p.Accept()
}

func TestLoopForever_BeforeConnectReturnsErrNoConn(t *testing.T) {
	c, e := newClient(t, "", true)
	require.ErrorIs(t, c.LoopForever(-1), mosquitto.ErrNoConn)
	require.ErrorIs(t, c.LoopRead(), mosquitto.ErrNoConn)
	require.ErrorIs(t, c.LoopWrite(), mosquitto.ErrNoConn)
	require.ErrorIs(t, c.LoopMisc(), mosquitto.ErrNoConn)
	require.Equal(t, -1, c.Socket())
	require.False(t, c.WantWrite())
	wait.None(t, e.connect, "OnConnect")
}

func TestLoopForever_EndsWithDisconnect(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	ended := connect(t, c, e, b.Port)
	echo(t, c, e)
	require.ErrorIs(t, c.Loop(0), mosquitto.ErrBusy)
	require.ErrorIs(t, c.LoopForever(0), mosquitto.ErrBusy)
	require.ErrorIs(t, c.LoopStart(), mosquitto.ErrBusy)
	require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrBusy)
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
	require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	require.ErrorIs(t, c.Disconnect(), mosquitto.ErrNoConn)
}

// A Disconnect while the loop waits before a reconnect ends the loop after this delay.
func TestLoopForever_DisconnectDuringBackoffEndsIt(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	ended := connect(t, c, e, b.Port)
	b.Kill()
	wait.For(t, e.disconnect, "OnDisconnect")
	require.ErrorIs(t, c.Disconnect(), mosquitto.ErrNoConn)
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
	wait.None(t, e.connect, "OnConnect")
}

// A Disconnect during a blocking connect of the loop ends the loop when the connect has returned.
// The library alone would forget it.
func TestLoopForever_DisconnectDuringAReconnectEndsIt(t *testing.T) {
	for name, disconnect := range map[string]func(*mosquitto.Client) error{
		"Disconnect":   (*mosquitto.Client).Disconnect,
		"DisconnectV5": func(c *mosquitto.Client) error { return c.DisconnectV5(0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newSilentPort(t)
			c, e := newClient(t, "", true)
			require.NoError(t, c.Connect("127.0.0.1", d.port, keepalive))
			d.fill()
			require.NoError(t, syscall.Shutdown(c.Socket(), syscall.SHUT_RDWR))
			ended := loop(t, c)
			wait.For(t, e.disconnect, "OnDisconnect")
			wait.Until(t, "the reconnect", d.asked)
			require.NoError(t, disconnect(c), "the library has a socket")
			d.hangUp()
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		})
	}
}

// Disconnect runs on another goroutine during OnConnect, when the library's loop
// overwrites the client's state.
func TestLoopForever_DisconnectBesideOnConnectEndsIt(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	disconnected := make(chan error, 1)
	c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		beside := make(chan error)
		go func() { beside <- c.Disconnect() }()
		disconnected <- <-beside
	})
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	require.NoError(t, wait.For(t, disconnected, "Disconnect"))
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code, "Disconnect was called")
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
}

// Disconnect runs during OnConnect, after the broker has reset the connection.
func TestLoopForever_DisconnectAfterAResetEndsIt(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	gone, disconnected := make(chan struct{}), make(chan error, 1)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		<-gone
		disconnected <- c.Disconnect()
	})
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	p.AcceptConnect().Reset()
	close(gone)
	require.NoError(t, wait.For(t, disconnected, "Disconnect"))
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code, "Disconnect was called")
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
}

func TestLoopForever_Reconnects(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.ReconnectDelaySet(time.Second, 2*time.Second, false))
	ended := connect(t, c, e, b.Port)
	for range 2 {
		b.Restart()
		require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		echo(t, c, e)
	}
	b.Kill()
	require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	wait.None(t, ended, "end of LoopForever")
}

// The delays are at least those of ReconnectDelaySet.
func TestReconnectDelaySet_SetsTheShortestDelays(t *testing.T) {
	for _, test := range []struct {
		name         string
		delay, limit time.Duration
		exponential  bool
		pauses       []time.Duration
	}{
		{"same", time.Second, time.Second, false, []time.Duration{time.Second, time.Second}},
		{"linear", time.Second, 30 * time.Second, false, []time.Duration{time.Second, 2 * time.Second}},
		{"quadratic", time.Second, 2 * time.Second, true, []time.Duration{time.Second, 2 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, _ := newClient(t, "", true)
			require.NoError(t, c.ReconnectDelaySet(test.delay, test.limit, test.exponential))
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			loop(t, c)
			p.Accept().Conn.Close()
			for _, pause := range test.pauses {
				before := time.Now()
				p.Accept().Conn.Close()
				require.GreaterOrEqual(t, time.Since(before), pause-100*time.Millisecond)
			}
		})
	}
}

// Loop and LoopForever use select(2), which cannot use file descriptors above 1023.
func TestLoop_RefusesFileDescriptorsAbove1023(t *testing.T) {
	lowfds.Descriptors(t)
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.Greater(t, c.Socket(), 1023)
	for name, err := range map[string]error{"Loop": c.Loop(0), "LoopForever": c.LoopForever(-1)} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
		require.Regexp(t, `descriptor \d{4}`, err.Error(), name)
	}
	wait.None(t, e.connect, "OnConnect")
}

func TestWantWrite_ReportsQueuedPackets(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	require.True(t, c.WantWrite(), "the CONNECT")
	require.NoError(t, c.LoopWrite())
	require.False(t, c.WantWrite())
	conn := p.AcceptConnect()
	loopUntil(t, c, -1, e.connect, "OnConnect")
	require.False(t, c.WantWrite())
	_, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	require.True(t, c.WantWrite(), "the PUBLISH")
	wait.None(t, e.publish, "OnPublish before the loop has written")
	require.NoError(t, c.LoopWrite())
	require.False(t, c.WantWrite())
	wait.For(t, e.publish, "OnPublish")
	conn.Expect(fakebroker.PUBLISH)
}

func TestLoop_InsideACallbackIsRefused(t *testing.T) {
	b := broker.Start(t, broker.Config{})
	c, e := newClient(t, "", true)
	inside := make(chan error, 10)
	c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		for _, f := range []func() error{
			func() error { return c.Loop(0) }, func() error { return c.LoopForever(0) },
			c.LoopRead, c.LoopWrite, c.LoopMisc, c.LoopStart, func() error { return c.LoopStop(false) },
		} {
			inside <- f()
		}
		e.connect <- ack
	})
	connect(t, c, e, b.Port)
	for range 7 {
		require.ErrorIs(t, wait.For(t, inside, "the result of a call"), mosquitto.ErrInCallback)
	}
	echo(t, c, e)
}
