//go:build cgo && !mosquitto_portable

package mqtt

import (
	"os"

	"golang.org/x/sys/unix"
)

// acceptOne accepts a connection without blocking.
func acceptOne(listener int) (fd int, err error) {
	fd, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	return fd, err
}

// isOwnConnection reports whether this process has made the connection.
func isOwnConnection(fd int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getpid() && int(peer.Uid) == os.Geteuid()
}
