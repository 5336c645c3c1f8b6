//go:build !linux

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lock locks a name until the process ends. It returns false if another process holds
// the lock. Without abstract unix sockets, the lock is a file.
func lock(name string) (locked bool, err error) {
	fd, err := syscall.Open(filepath.Join(os.TempDir(), name), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return false, err
	}
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return true, nil
	}
	syscall.Close(fd)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return false, err
}
