// Package crowd takes the descriptors that select(2) knows, so that those of a
// client come behind them. It is not for parallel tests.
package crowd

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const enough = 1100 // select(2) ends at 1023

// Descriptors takes all that are free below 1100 until the test ends.
func Descriptors(tb testing.TB) {
	tb.Helper()
	var limit syscall.Rlimit
	require.NoError(tb, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.Greater(tb, limit.Cur, uint64(1300), "this test needs more descriptors: ulimit -n 4096")
	for fill(tb) > 0 {
		time.Sleep(100 * time.Millisecond) // goroutines of earlier tests may be closing some
	}
}

// fill says how many were free.
func fill(tb testing.TB) (free int) {
	tb.Helper()
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		require.NoError(tb, err)
		tb.Cleanup(func() { syscall.Close(fd) })
		if fd >= enough {
			return free
		}
		free++
	}
}
