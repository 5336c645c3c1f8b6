package broker

import (
	"errors"
	"syscall"
)

// lock locks a name until the process ends. It returns false if another process holds
// the lock. The lock is an abstract unix socket: it has the scope of the ports, and the
// kernel closes it when the process ends.
func lock(name string) (locked bool, err error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: "@" + name})
	if err == nil {
		return true, nil
	}
	syscall.Close(fd)
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, nil
	}
	return false, err
}
