//go:build !mosquitto_portable

package test

import (
	"net"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// segments returns how many TCP segments with data the connection has received.
func segments(t *testing.T, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		require.NoError(t, err)
		n = int(info.Data_segs_in)
	}))
	return n
}

func TestRun_CollectsMessagesThatTheLibrarySendsAgain(t *testing.T) {
	const messages = 8
	p := fakebroker.Listen(t)
	c, e := newClient(t, "collect", false)
	conn, _ := meetRun(t, c, e, p)
	for range messages {
		_, err := c.Publish("a", []byte("x"), 1, false)
		require.NoError(t, err)
	}
	for range messages {
		conn.Expect(fakebroker.PUBLISH)
	}
	conn.Close()
	conn = p.Accept()
	conn.Expect(fakebroker.CONNECT)
	before := segments(t, conn.Conn)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	wait.For(t, e.connect, "OnConnect")
	for range messages {
		conn.Expect(fakebroker.PUBLISH)
	}
	require.Equal(t, 1, segments(t, conn.Conn)-before)
}
