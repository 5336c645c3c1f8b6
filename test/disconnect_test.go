package test

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// The broker must read the messages and the DISCONNECT, although its acknowledgements arrive
// when the client has closed the connection. Otherwise it publishes the will.
func TestRun_DisconnectSendsAllOutputWithoutAReset(t *testing.T) {
	const messages = 5
	b := plain(t)
	watcher, seen := newClient(t, "watcher", true)
	connectRun(t, watcher, seen, b.Port)
	subscribe(t, watcher, seen, "#", 1)
	for i := range 20 {
		c, e := newClient(t, fmt.Sprint("client", i), true)
		require.NoError(t, c.WillSet("will", nil, 1, false))
		connectRun(t, c, e, b.Port)
		for range messages {
			_, err := c.Publish("a", nil, 1, false)
			require.NoError(t, err)
		}
		require.NoError(t, c.Disconnect())
		for range messages {
			require.Equal(t, "a", wait.For(t, seen.message, "a message").Topic)
		}
	}
	wait.None(t, seen.message, "a will")
}
