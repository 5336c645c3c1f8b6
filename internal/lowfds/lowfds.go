// Package lowfds opens all file descriptors that select(2) can use, so that a client
// gets a file descriptor above 1023. Do not use it in parallel tests.
package lowfds

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const limitFD = 1100 // more than 1023, the highest file descriptor for select(2)

// Descriptors opens every free file descriptor below 1100. It closes them when the
// test ends.
func Descriptors(tb testing.TB) {
	tb.Helper()
	var limit syscall.Rlimit
	require.NoError(tb, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < 1300 {
		tb.Fatal("this test needs more file descriptors: ulimit -n 4096")
	}
	for fill(tb) > 0 {
		time.Sleep(100 * time.Millisecond) // goroutines of earlier tests may still close file descriptors
	}
}

// fill opens the free file descriptors and returns how many there were.
func fill(tb testing.TB) (free int) {
	tb.Helper()
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		require.NoError(tb, err)
		tb.Cleanup(func() { syscall.Close(fd) })
		if fd >= limitFD {
			return free
		}
		free++
	}
}
