//go:build cgo && (!linux || mosquitto_portable)

package mqtt

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptOne accepts a connection without blocking.
func acceptOne(listener int) (fd int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, _, err = unix.Accept(listener)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	return fd, unix.SetNonblock(fd, true)
}

// isOwnConnection cannot identify the process here. The directory of the socket admits
// only this user.
func isOwnConnection(int) bool { return true }
