//go:build cgo && !mosquitto_portable

package mqtt

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// See TestRun_AcknowledgesInputAtOnce: this is the same for connections of WithDialer.
func TestRelay_AcknowledgesInputAtOnce(t *testing.T) {
	_, library, server := relayed(t)
	raw, err := server.SyscallConn()
	require.NoError(t, err)
	one := make([]byte, 1)
	for i := range 30 {
		_, err = library.Write(one) // makes Linux delay the next acknowledgement
		require.NoError(t, err)
		_, err = io.ReadFull(server, one)
		require.NoError(t, err)
		_, err = server.Write(one)
		require.NoError(t, err)
		_, err = io.ReadFull(library, one)
		require.NoError(t, err)
		unacknowledged := -1
		require.NoError(t, raw.Control(func(fd uintptr) { unacknowledged, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }))
		require.NoError(t, err)
		require.Zero(t, unacknowledged, "byte %d", i)
	}
}

func TestRelay_FindsTheTCPConnectionBelowTLS(t *testing.T) {
	near, far := tcpPair(t)
	defer near.Close()
	defer far.Close()
	require.NotNil(t, tcpBelow(tls.Client(near, nil)))
	require.Nil(t, tcpBelow(nil))
}
