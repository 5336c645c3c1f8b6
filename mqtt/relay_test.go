//go:build cgo

package mqtt

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience limits every wait of these tests.
const patience = 10 * time.Second

// relayed connects a relay, and returns the connections of both sides: the library's and the
// server's.
func relayed(t *testing.T) (r *relay, library *net.UnixConn, server *net.TCPConn) {
	t.Helper()
	near, far := tcpPair(t)
	r, err := startRelay(transport{near, near}, func(path string) (err error) {
		library, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		library.Close()
		far.Close()
		r.end(t.Context())
	})
	for _, conn := range []net.Conn{library, far} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	}
	return r, library, far
}

// tcpPair returns both ends of a TCP connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	conn, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestRelay_EndOfServerArrivesAfterItsBytes(t *testing.T) {
	r, library, server := relayed(t)
	_, err := server.Write(make([]byte, 100_000))
	require.NoError(t, err)
	require.NoError(t, server.CloseWrite())
	got, err := io.ReadAll(library)
	require.NoError(t, err)
	require.Len(t, got, 100_000)
	require.NoError(t, r.failure())
	_, err = library.Write([]byte("still open"))
	require.NoError(t, err)
	require.NoError(t, library.CloseWrite())
	got, err = io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "still open", string(got))
}

func TestRelay_EndOfLibraryArrivesAfterItsBytes(t *testing.T) {
	_, library, server := relayed(t)
	_, err := library.Write(make([]byte, 100_000))
	require.NoError(t, err)
	library.Close()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Len(t, got, 100_000)
}

func TestRelay_ResetIsAnError(t *testing.T) {
	r, library, server := relayed(t)
	require.NoError(t, server.SetLinger(0))
	server.Close()
	_, err := io.ReadAll(library)
	require.NoError(t, err)
	require.ErrorIs(t, r.failure(), syscall.ECONNRESET)
}

// failingConn is a connection that cannot write, and whose Read blocks until Close.
type failingConn struct{ net.Conn }

var errBroken = errors.New("broken")

func (failingConn) Write([]byte) (int, error) { return 0, errBroken }

func TestRelay_FailedWriteEndsLibrarysConnection(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { far.Close() })
	conn := failingConn{near}
	var library net.Conn
	r, err := startRelay(transport{conn, conn}, func(path string) (err error) {
		library, err = net.Dial("unix", path)
		return err
	})
	require.NoError(t, err)
	_, err = library.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, library.SetDeadline(time.Now().Add(patience)))
	_, err = io.ReadAll(library)
	require.NoError(t, err)
	require.Equal(t, errBroken, r.failure())
	require.Eventually(t, func() bool {
		_, err := library.Write([]byte("x"))
		return errors.Is(err, syscall.EPIPE)
	}, patience, time.Millisecond)
	library.Close()
	r.end(t.Context())
}

func TestRelay_BlockedServerBlocksLibrary(t *testing.T) {
	_, library, server := relayed(t)
	require.NoError(t, library.SetWriteDeadline(time.Now().Add(time.Second)))
	const most = 64 << 20
	n, err := library.Write(make([]byte, most))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, n, most)
	require.NoError(t, library.CloseWrite())
	got, err := io.Copy(io.Discard, server)
	require.NoError(t, err)
	require.EqualValues(t, n, got)
}
