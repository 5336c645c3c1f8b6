package test

import (
	"sync/atomic"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// OnPreConnect can set the password of the connection that is about to be made.
func TestPreConnect_MaySetThePassword(t *testing.T) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "first"}})
	var password atomic.Value
	password.Store("first")
	c, e := newClient(t, "", true)
	asked := make(chan error, 100)
	err := c.OnPreConnect(func(c *mosquitto.Client) {
		asked <- c.UsernamePwSet("user", password.Load().(string))
	})
	if !has21() {
		require.ErrorIs(t, err, mosquitto.ErrNotSupported)
		return
	}
	require.NoError(t, err)
	require.NoError(t, c.UsernamePwSet("user", "outdated"))
	connect(t, c, e, b.Port)
	require.NoError(t, wait.For(t, asked, "OnPreConnect"))
	wait.None(t, asked, "second OnPreConnect")
	echo(t, c, e)

	b.Stop()
	require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	password.Store("second")
	b.SetUsers(map[string]string{"user": "second"})
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	require.NoError(t, wait.For(t, asked, "OnPreConnect of the reconnect"))
	echo(t, c, e)
}

// OnPreConnect runs for every attempt of every kind of connect, and can be removed.
func TestPreConnect_RunsForEveryAttempt(t *testing.T) {
	if !has21() {
		c, _ := newClient(t, "", true)
		require.ErrorIs(t, c.OnPreConnect(nil), mosquitto.ErrNotSupported)
		return
	}
	b := plain(t)
	c, e := newClient(t, "", true)
	asked := make(chan *mosquitto.Client, 100)
	require.NoError(t, c.OnPreConnect(func(c *mosquitto.Client) { asked <- c }))
	for name, connect := range map[string]func() error{
		"Connect":        func() error { return c.Connect("127.0.0.1", b.Port, keepalive) },
		"ConnectAsync":   func() error { return c.ConnectAsync("127.0.0.1", b.Port, keepalive) },
		"Reconnect":      c.Reconnect,
		"ReconnectAsync": c.ReconnectAsync,
	} {
		if name == "Reconnect" || name == "ReconnectAsync" {
			require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
			wait.For(t, asked, "OnPreConnect")
		}
		require.NoError(t, connect(), name)
		require.Same(t, c, wait.For(t, asked, "OnPreConnect of "+name))
		wait.None(t, asked, "second OnPreConnect of "+name)
	}
	require.Error(t, c.Connect("127.0.0.1", broker.FreePort(t), keepalive))
	require.Same(t, c, wait.For(t, asked, "OnPreConnect of a refused attempt"))

	require.NoError(t, c.OnPreConnect(nil))
	connect(t, c, e, b.Port)
	wait.None(t, asked, "OnPreConnect after its removal")
}

func TestPreConnect_LoopsAndConnectsInsideItAreRefused(t *testing.T) {
	if !has21() {
		return // OnPreConnect is not supported: tested above
	}
	b := plain(t)
	c, _ := newClient(t, "", true)
	inside := make(chan error, 10)
	require.NoError(t, c.OnPreConnect(func(c *mosquitto.Client) {
		inside <- c.Connect("127.0.0.1", b.Port, keepalive)
		inside <- c.Reconnect()
		inside <- c.Loop(0)
		inside <- c.Reinitialise("", true, nil)
	}))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	for range 4 {
		require.ErrorIs(t, wait.For(t, inside, "the result of a call"), mosquitto.ErrInCallback)
	}
}
