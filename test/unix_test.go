package test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestUnixSocket_ReconnectsAfterARestart(t *testing.T) {
	b := broker.Start(t, broker.Config{Unix: true})
	c, e := newClient(t, "", true)
	ended := accepted(t, c, e, b.Unix, 0)
	address, err := syscall.Getpeername(c.Socket())
	require.NoError(t, err)
	require.Equal(t, b.Unix, address.(*syscall.SockaddrUnix).Name)
	echo(t, c, e)

	b.Restart()
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
}

func TestUnixSocket_ConnectAsyncConnects(t *testing.T) {
	b := broker.Start(t, broker.Config{Unix: true})
	c, e := newClient(t, "", true)
	require.NoError(t, c.ConnectAsync(b.Unix, 0, keepalive))
	loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestUnixSocket_MissingReturnsAnError(t *testing.T) {
	c, e := newClient(t, "", true)
	for name, path := range map[string]string{
		"no such path":    filepath.Join(t.TempDir(), "missing"),
		"a directory":     t.TempDir(),
		"longer than 107": "/" + strings.Repeat("a", 200),
		"no listener":     deadSocket(t),
	} {
		err := c.Connect(path, 0, keepalive)
		require.Error(t, err, name)
		require.True(t, errors.Is(err, mosquitto.ErrErrno) || errors.Is(err, mosquitto.ErrInval), "%s: %v", name, err)
		require.Equal(t, -1, c.Socket())
	}
	wait.None(t, e.connect, "OnConnect")
}

// deadSocket returns the path of a socket whose listener is closed.
func deadSocket(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	fakebroker.On(t, l).Close()
	return path
}
