//go:build cgo

package mosquitto

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The socket may become writable before Run waits. Then nothing else wakes Run.
func TestPoller_SocketThatIsWritableBeforeTheWaitEndsTheWait(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	for _, fd := range pair {
		require.NoError(t, syscall.SetNonblock(fd, true))
		t.Cleanup(func() { _ = syscall.Close(fd) })
	}
	fd, err := syscall.Dup(pair[0])
	require.NoError(t, err)
	file := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { _ = file.Close() })
	var p poller
	p.raw, err = file.SyscallConn()
	require.NoError(t, err)
	p.file.Store(file)
	require.Zero(t, p.outputDelay(&pass{wantWrite: true}), "the pass has found the socket full")
	require.Eventually(t, func() bool { return !p.writeWait.Load() }, 10*time.Second, time.Millisecond)
	require.False(t, p.mayWait(nil, time.Now().Add(time.Hour), false, func() bool { return false }), "Run waits although the socket is writable")
}
