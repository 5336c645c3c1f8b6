//go:build !mosquitto_portable

package test

import (
	"fmt"
	"net"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Mosquitto sends with the Nagle delay: a small message waits until the client's system has
// acknowledged the previous message. Linux delays this acknowledgement by 40 ms on a connection
// that also sends.
func TestRun_AcknowledgesInputAtOnce(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "acknowledge", true)
	conn, _ := meetRun(t, c, e, p)
	for i := range 30 {
		_, err := c.Publish("a", nil, 0, false) // makes Linux delay the next acknowledgement
		require.NoError(t, err)
		conn.Expect(fakebroker.PUBLISH)
		conn.Send(fakebroker.Publish(0, "a", 0, fmt.Sprint(i)))
		wait.For(t, e.message, "OnMessage")
		turned(t, c)
		require.Zero(t, unacknowledged(t, conn.Conn), "message %d", i)
	}
}

// unacknowledged returns the number of sent bytes that the peer's system has not
// acknowledged.
func unacknowledged(t testing.TB, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }))
	require.NoError(t, err)
	return n
}
