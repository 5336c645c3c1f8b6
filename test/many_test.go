package test

import (
	"os"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// openDescriptors returns the number of sockets of this process.
func openDescriptors(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, entry := range entries {
		if what, _ := os.Readlink("/proc/self/fd/" + entry.Name()); strings.HasPrefix(what, "socket:") {
			n++
		}
	}
	return n
}

func leavesNothing(t *testing.T, before leak.State) {
	t.Helper()
	require.Empty(t, before.Left(wait.Patience))
}

// Clients that are created and closed leave no handle, goroutine, file descriptor or
// thread.
func TestMany_ClientsInARowLeaveNothing(t *testing.T) {
	before := leak.Take()
	for range 2000 {
		c, err := mosquitto.New("", true, nil)
		require.NoError(t, err)
		listen(c)
		require.NoError(t, c.Close())
	}
	leavesNothing(t, before)
}

func TestMany_ClientsAtOnceLeaveNothing(t *testing.T) {
	const goroutines, each = 10, 100
	before, open := leak.Take(), mosquitto.OpenClients()
	clients := make(chan *mosquitto.Client, goroutines*each)
	failed := make(chan error, goroutines*each)
	wait.AtOnce(goroutines, func(int) {
		for range each {
			c, err := mosquitto.New("", true, nil)
			if err != nil {
				failed <- err
				continue
			}
			clients <- c
		}
	})
	wait.None(t, failed, "failure of New")
	require.Equal(t, open+goroutines*each, mosquitto.OpenClients())
	wait.AtOnce(goroutines, func(int) {
		for range each {
			(<-clients).Close()
		}
	})
	leavesNothing(t, before)
}

func TestMany_ConnectedClientsLeaveNothing(t *testing.T) {
	b := plain(t)
	before := leak.Take()
	const n = 60
	connected, failed := make(chan struct{}, n), make(chan error, n)
	clients := make([]*mosquitto.Client, n)
	wait.AtOnce(n, func(i int) {
		c, err := mosquitto.New("", true, nil)
		if err != nil {
			failed <- err
			return
		}
		clients[i] = c
		c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { connected <- struct{}{} })
		if err := c.Connect("127.0.0.1", b.Port, keepalive); err != nil {
			failed <- err
		}
		if err := c.LoopStart(); err != nil {
			failed <- err
		}
	})
	wait.None(t, failed, "failure")
	for range n {
		wait.For(t, connected, "OnConnect")
	}
	wait.AtOnce(n, func(i int) {
		if i%2 == 0 {
			if err := clients[i].LoopStop(false); err != nil {
				failed <- err
			}
		}
		clients[i].Close()
	})
	wait.None(t, failed, "failure")
	b.Kill()
	leavesNothing(t, before)
}

// A client that is reinitialised many times holds the resources of one client.
func TestReinitialise_LeavesNothing(t *testing.T) {
	before := leak.Take()
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	held := openDescriptors(t)
	for range 500 {
		require.NoError(t, c.Reinitialise("again", false, nil))
	}
	require.Equal(t, held, openDescriptors(t))
	require.NoError(t, c.Close())
	leavesNothing(t, before)
}
