package test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// inherited returns the sockets that a child of this process inherits.
func inherited() (sockets []string, err error) {
	output, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	for line := range strings.SplitSeq(string(output), "\n") {
		if strings.Contains(line, "socket:") {
			sockets = append(sockets, line)
		}
	}
	return sockets, err
}

func requireNoneInherited(t *testing.T) {
	t.Helper()
	sockets, err := inherited()
	require.NoError(t, err)
	require.Empty(t, sockets)
}

// A child that inherits the socket would keep the connection open.
func TestChildren_InheritNoSockets(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	requireNoneInherited(t)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	requireNoneInherited(t)
	turnUntil(t, c, e.connect)
	requireNoneInherited(t)
	require.NoError(t, c.Reconnect())
	requireNoneInherited(t)
	require.NoError(t, c.ConnectAsync("127.0.0.1", b.Port, keepalive))
	requireNoneInherited(t)
	require.NoError(t, c.Reinitialise("", true, nil))
	requireNoneInherited(t)
}

// The library's own loop reconnects.
func TestChildren_InheritNoSocketsAfterAReconnect(t *testing.T) {
	b := plain(t)
	for name, start := range map[string]func(*testing.T, *mosquitto.Client, *events, int){
		"LoopForever": func(t *testing.T, c *mosquitto.Client, e *events, port int) { connect(t, c, e, port) },
		"LoopStart":   startThread,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			start(t, c, e, b.Port)
			b.Restart()
			require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			requireNoneInherited(t)
		})
	}
}

func TestChildren_InheritNoSocketsWithoutOnConnect(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	connect(t, c, e, b.Port)
	c.OnConnect(nil)
	b.Kill()
	require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
	mid, _ := c.Publish("a", nil, 1, false) // sent after the reconnect, so OnPublish reports that the client is connected
	require.NotZero(t, mid)
	b.Restart()
	require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
	requireNoneInherited(t)
}

func TestChildren_StartedBesideNewClientsInheritNoSockets(t *testing.T) {
	wrong := make(chan any, 1000)
	wait.AtOnce(6, func(i int) {
		if i < 2 {
			for range 20 {
				if sockets, err := inherited(); err != nil || len(sockets) > 0 {
					wrong <- append(sockets, "")
				}
			}
			return
		}
		for range 200 {
			c, err := mosquitto.New("", true, nil)
			if err != nil {
				wrong <- err
				return
			}
			if err := c.Reinitialise("", true, nil); err != nil {
				wrong <- err
			}
			c.Close()
		}
	})
	wait.None(t, wrong, "inherited socket or error")
}
