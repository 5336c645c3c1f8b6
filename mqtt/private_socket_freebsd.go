//go:build cgo

package mqtt

import (
	"os"

	"golang.org/x/sys/unix"
)

// isOwnConnection reports whether this user has made the connection. The process is not
// known before FreeBSD 13.
func isOwnConnection(fd int) bool {
	peer, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	return err == nil && int(peer.Uid) == os.Geteuid()
}
