//go:build cgo

package mosquitto

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// pairPoller returns a poller that watches one end of a socket pair, and the other end.
func pairPoller(t *testing.T) (p *poller, other int) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(pair[1]) })
	for _, fd := range pair {
		require.NoError(t, syscall.SetNonblock(fd, true))
	}
	file := os.NewFile(uintptr(pair[0]), "socket")
	t.Cleanup(func() { _ = file.Close() })
	p = &poller{fd: pair[0]}
	p.raw, err = file.SyscallConn()
	require.NoError(t, err)
	p.file.Store(file)
	return p, pair[1]
}

// The socket may become writable before Run waits. Then nothing else wakes Run.
func TestPoller_SocketThatIsWritableBeforeTheWaitEndsTheWait(t *testing.T) {
	p, _ := pairPoller(t)
	require.Zero(t, p.planOutput(&pass{wantWrite: true}), "the pass has found the socket full")
	require.Eventually(t, func() bool { return !p.writeWait.Load() }, 10*time.Second, time.Millisecond)
	require.False(t, p.beginWait(nil, time.Now().Add(time.Hour), false, func() bool { return false }), "Run waits although the socket is writable")
}

// A goroutine that has woken Run from the connect may set its deadline later.
func TestPoller_LateWakeOfTheConnectDoesNotEndTheWaitForAFullSocket(t *testing.T) {
	p, other := pairPoller(t)
	chunk := make([]byte, 4096)
	for {
		if _, err := syscall.Write(p.fd, chunk); err != nil {
			require.ErrorIs(t, err, syscall.EAGAIN)
			break
		}
	}
	require.NoError(t, p.file.Load().SetWriteDeadline(past))
	writable := make(chan struct{})
	go func() {
		p.waitWritable(p.file.Load(), p.raw)
		close(writable)
	}()
	time.Sleep(20 * time.Millisecond) // longer than the wait that ends at once
	wait.None(t, writable, "the end of the wait for a full socket")
	for {
		if _, err := syscall.Read(other, chunk); err != nil {
			require.ErrorIs(t, err, syscall.EAGAIN)
			break
		}
	}
	wait.For(t, writable, "the end of the wait")
}

func TestPoller_ServeInputEndsIfTheFileCannotBeWatched(t *testing.T) {
	p, _ := pairPoller(t)
	require.NoError(t, p.file.Load().Close())
	served := make(chan bool, 1)
	go func() { served <- p.serveInput() }()
	require.False(t, wait.For(t, served, "the end of serveInput"))
}
