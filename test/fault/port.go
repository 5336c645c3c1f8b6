package fault

import "syscall"

// holdPort binds a free loopback port without listening on it: who connects is
// refused, nobody else is given the port, and a listener may still be opened.
func holdPort() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
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
	// The listener, whose option Go sets, may share the port only if both have it.
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
