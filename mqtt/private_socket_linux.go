//go:build cgo

package mqtt

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// isOwnConnection reports whether this process has made the connection.
func isOwnConnection(fd int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getpid() && int(peer.Uid) == os.Geteuid()
}

// hide removes the file and the directory of the socket. Then only this process can
// connect to it, with a path below /proc. If that path cannot be used, hide changes
// nothing.
func (s *privateSocket) hide() {
	fd, err := unix.Open(s.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	file, path := os.NewFile(uintptr(fd), s.path), fmt.Sprintf("/proc/self/fd/%d", fd)
	if !s.canConnect(path) {
		file.Close()
		return
	}
	_ = os.Remove(s.path)
	s.removeDirectory()
	s.listener.SetUnlinkOnClose(false)
	s.path, s.file = path, file
}

// canConnect reports whether a connect to path reaches the socket.
func (s *privateSocket) canConnect(path string) bool {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return false
	}
	accepted, err := s.accept()
	closeIfMade(conn)
	closeIfMade(accepted)
	return err == nil
}
