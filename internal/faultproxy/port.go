package faultproxy

import "syscall"

// holdPort binds a free loopback port without listening on it. Connections to the
// port are refused. The kernel assigns it to no other socket, but the proxy can
// still listen on it.
func holdPort() (fd, port int, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, 0, err
	}
	port, err = bindFree(fd)
	if err != nil {
		syscall.Close(fd)
	}
	return fd, port, err
}

func bindFree(fd int) (port int, err error) {
	// The listener can share the port only if both sockets set SO_REUSEADDR. Go sets
	// it for listeners.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

func releasePort(fd int) { syscall.Close(fd) }
