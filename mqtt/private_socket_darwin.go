//go:build cgo

package mqtt

import (
	"os"

	"golang.org/x/sys/unix"
)

// isOwnConnection reports whether this process has made the connection.
func isOwnConnection(fd int) bool {
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil || pid != os.Getpid() {
		return false
	}
	peer, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	return err == nil && int(peer.Uid) == os.Geteuid()
}
