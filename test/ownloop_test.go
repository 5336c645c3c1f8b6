package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/lowfds"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// poll waits for the file descriptor and returns the events that it is ready for.
func poll(fd int, events int16, timeout time.Duration) (ready int16) {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	_, _ = unix.Poll(p, int(timeout.Milliseconds()))
	return p[0].Revents
}

// ownLoop is a poll loop as in programs that watch other file descriptors, too. It ends
// when the connection is closed.
func ownLoop(c *mosquitto.Client) error {
	for {
		fd := c.Socket()
		if fd < 0 {
			return nil
		}
		events := int16(unix.POLLIN)
		if c.WantWrite() {
			events |= unix.POLLOUT
		}
		ready := poll(fd, events, 10*time.Millisecond)
		if ready&^unix.POLLOUT != 0 { // also POLLERR and POLLHUP
			if err := c.LoopRead(); err != nil {
				return err
			}
		}
		if ready&unix.POLLOUT != 0 && c.Socket() >= 0 {
			if err := c.LoopWrite(); err != nil {
				return err
			}
		}
		if c.Socket() >= 0 {
			if err := c.LoopMisc(); err != nil {
				return err
			}
		}
	}
}

// runOwn runs ownLoop. The channel receives its result.
func runOwn(t testing.TB, c *mosquitto.Client) <-chan error {
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		ended <- ownLoop(c)
	}()
	t.Cleanup(func() {
		c.Close()
		wait.For(t, gone, "the end of the poll loop")
	})
	return ended
}

func TestOwnLoop_TransfersMessages(t *testing.T) {
	for name, many := range map[string]bool{"few descriptors": false, "more than select can watch": true} {
		t.Run(name, func(t *testing.T) {
			if many {
				lowfds.Descriptors(t)
			}
			t.Run("plain", func(t *testing.T) {
				c, e := newClient(t, "", true)
				throughOwnLoop(t, c, e, plain(t).Port)
			})
			t.Run("TLS", func(t *testing.T) {
				b, ca := tlsBroker(t, "localhost")
				c, e := trusting(t, ca)
				throughOwnLoop(t, c, e, b.Port)
			})
		})
	}
}

func throughOwnLoop(t *testing.T, c *mosquitto.Client, e *events, port int) {
	t.Helper()
	require.NoError(t, c.Connect("localhost", port, keepalive))
	ended := runOwn(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a", 2)
	const count = 200
	payload := make([]byte, 3000) // several messages need more than one TLS record
	for i := range count {
		payload[0] = byte(i)
		_, err := c.Publish("a", payload, mosquitto.QoS(i%3), false)
		require.NoError(t, err)
	}
	for range count {
		require.Len(t, wait.For(t, e.message, "a message").Payload, len(payload))
	}
	for range count {
		wait.For(t, e.publish, "OnPublish")
	}
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of the poll loop"))
	require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	require.Equal(t, -1, c.Socket())

	require.NoError(t, c.Reconnect())
	ended = runOwn(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e) // the library reports a Disconnect during the CONNACK as a lost connection
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of the poll loop"))
}

func TestOwnLoop_ReturnsALostConnection(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := runOwn(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	b.Kill()
	require.ErrorIs(t, wait.For(t, ended, "the end of the poll loop"), mosquitto.ErrConnLost)
	require.ErrorIs(t, wait.For(t, e.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
	wait.None(t, e.disconnect, "second OnDisconnect")
}
