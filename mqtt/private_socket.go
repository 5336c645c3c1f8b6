//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// privateSocket is a listening unix socket for one connection of this process. The
// library can only connect to a path, so the socket has a file until close. Owned by the
// goroutine that connects.
type privateSocket struct {
	path     string
	dir      *os.File // the directory, locked until close or the end of the process
	listener *net.UnixListener
}

const (
	privatePrefix = "mosquitto-relay-"
	privateName   = "s"
	maxSocketPath = 103 // the shortest limit of the supported systems
)

// removeAbandonedOnce removes the directories of earlier processes.
var removeAbandonedOnce = sync.OnceFunc(func() {
	for _, base := range privateBases() {
		removeAbandoned(base)
	}
})

// privateBases returns the directories that may hold the directory of a socket. Some
// containers can write to /dev/shm only.
func privateBases() []string {
	bases := []string{os.TempDir(), "/dev/shm"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		bases = append([]string{dir}, bases...)
	}
	return bases
}

// listenPrivately makes a socket in a new directory that only the user may enter.
func listenPrivately() (*privateSocket, error) {
	removeAbandonedOnce()
	var all []error
	for _, base := range privateBases() {
		s, err := listenIn(base)
		if errors.Is(err, errDirectoryTaken) {
			s, err = listenIn(base)
		}
		if err == nil {
			return s, nil
		}
		all = append(all, err)
	}
	return nil, fmt.Errorf("private socket: %w", joinErrors(all...))
}

// errDirectoryTaken reports that another process took the new directory for an abandoned
// directory.
var errDirectoryTaken = errors.New("the directory was removed")

// listenIn makes the directory and the socket in base.
func listenIn(base string) (*privateSocket, error) {
	path, err := os.MkdirTemp(base, privatePrefix)
	if err != nil {
		return nil, err
	}
	s := &privateSocket{path: filepath.Join(path, privateName)}
	if err := s.listen(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *privateSocket) listen() (err error) {
	if len(s.path) > maxSocketPath {
		return fmt.Errorf("the path %s is longer than %d bytes", s.path, maxSocketPath)
	}
	if s.dir, err = lockDirectory(filepath.Dir(s.path)); err != nil {
		return err
	}
	s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if errors.Is(err, os.ErrNotExist) {
		return errDirectoryTaken
	}
	return err
}

// lockDirectory opens and locks a directory. The system releases the lock when the
// process ends.
func lockDirectory(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errDirectoryTaken
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return dir, nil
	}
	dir.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errDirectoryTaken
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// accept returns the connection that this process has made to the socket. If there are
// several, accept returns the last: libmosquitto 2.1 may connect several times to drop
// old input. accept closes the connections of other processes. It does not block.
func (s *privateSocket) accept() (conn *net.UnixConn, err error) {
	raw, err := s.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	last := -1
	var failure error
	err = raw.Control(func(fd uintptr) { last, failure = acceptLast(int(fd)) })
	switch {
	case err != nil:
		return nil, err
	case last < 0:
		return nil, fmt.Errorf("private socket: the library's connection was not accepted: %w", failure)
	}
	file := os.NewFile(uintptr(last), s.path)
	defer file.Close()
	accepted, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return accepted.(*net.UnixConn), nil
}

// acceptLast accepts all connections that have been made, and returns the file
// descriptor of the last connection of this process, or -1. failure is the error that
// ended the loop: EAGAIN if there are no more connections.
func acceptLast(listener int) (last int, failure error) {
	last = -1
	for {
		fd, err := acceptOne(listener)
		switch {
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
			continue
		case err != nil:
			return last, err
		case !isOwnConnection(fd):
			_ = syscall.Close(fd)
			continue
		}
		if last >= 0 {
			_ = syscall.Close(last)
		}
		last = fd
	}
}

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

// close stops listening and removes the socket and its directory.
func (s *privateSocket) close() {
	if s.listener != nil {
		_ = s.listener.Close() // removes the file
	}
	_ = os.Remove(filepath.Dir(s.path))
	if s.dir != nil {
		s.dir.Close()
	}
}

// removeAbandoned removes the user's directories in base whose processes have ended. Only
// a process that runs can hold the lock of a directory.
func removeAbandoned(base string) {
	entries, _ := os.ReadDir(base)
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), privatePrefix) {
			continue
		}
		path := filepath.Join(base, entry.Name())
		if dir, err := lockDirectory(path); err == nil {
			removeDirectory(dir)
			dir.Close()
		}
	}
}

// removeDirectory removes a socket and its directory, if the user owns the directory. It
// removes no other files, also if another user replaces the directory at the same time.
func removeDirectory(dir *os.File) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &stat); err != nil || int(stat.Uid) != os.Geteuid() {
		return
	}
	_ = unix.Unlinkat(int(dir.Fd()), privateName, 0)
	_ = unix.Rmdir(dir.Name())
}
