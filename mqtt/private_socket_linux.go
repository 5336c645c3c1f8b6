//go:build cgo

package mqtt

import (
	"os"

	"golang.org/x/sys/unix"
)

// isOwnConnection reports whether this process has made the connection.
func isOwnConnection(fd int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getpid() && int(peer.Uid) == os.Geteuid()
}
