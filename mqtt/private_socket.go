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
	"time"

	"golang.org/x/sys/unix"
)

// privateSocket is a listening unix socket for connections of this process. The library
// can only connect to a path, so the socket has a file until close or hide. Owned by the
// goroutine that connects.
type privateSocket struct {
	path     string
	dir      *os.File // the directory, locked until hide, close or the end of the process
	listener *net.UnixListener
	file     *os.File // the socket's file, opened with O_PATH by hide: path is then /proc/self/fd/N; nil before hide
}

// idleSockets keeps hidden sockets for later connects, as long as a relayed client runs.
// Making a socket and its directory takes more CPU time than the rest of the relay's work. A
// socket is in use only during a connect, so four are enough. Shared: it has its own mutex.
var idleSockets socketPool

type socketPool struct {
	mu    sync.Mutex
	users int // clients
	idle  []*privateSocket
}

const maxIdleSockets = 4

func (p *socketPool) addUser() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// removeUser closes all sockets when there are no more clients.
func (p *socketPool) removeUser() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		for _, s := range p.idle {
			s.close()
		}
		p.idle = nil
	}
}

// take returns an idle socket, or makes one.
func (p *socketPool) take() (*privateSocket, error) {
	if s := p.takeIdle(); s != nil {
		return s, nil
	}
	s, err := listenPrivately()
	if err == nil {
		s.hide()
	}
	return s, err
}

func (p *socketPool) takeIdle() (s *privateSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		s, p.idle = p.idle[last], p.idle[:last]
	}
	return s
}

// put keeps a socket that a connect no longer uses, or closes it.
func (p *socketPool) put(s *privateSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.isHidden() || p.users == 0 || len(p.idle) == maxIdleSockets {
		s.close()
		return
	}
	p.idle = append(p.idle, s)
}

// connectPrivately returns the other end of the connection that connect makes.
func connectPrivately(connect func(path string) error) (*net.UnixConn, error) {
	s, err := idleSockets.take()
	if err != nil {
		return nil, err
	}
	if err := connect(s.path); err != nil {
		s.close()
		return nil, err
	}
	conn, err := s.accept()
	if err != nil {
		s.close()
		return nil, err
	}
	idleSockets.put(s)
	return conn, nil
}

func (s *privateSocket) isHidden() bool { return s.file != nil }

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

// errDirectoryTaken means that another process has removed or locked the new directory,
// because it looked abandoned.
var errDirectoryTaken = errors.New("another process removed or locked the directory")

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

// acceptPatience is how long accept waits for a connection that poll has reported.
const acceptPatience = time.Second

// accept returns the connection that this process has made to the socket. If there are
// several, accept returns the last: libmosquitto 2.1 may connect several times to drop
// old input. accept closes the connections of other processes.
func (s *privateSocket) accept() (last *net.UnixConn, err error) {
	raw, err := s.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	_ = s.listener.SetDeadline(time.Now().Add(acceptPatience))
	for hasInput(raw) {
		conn, err := s.listener.AcceptUnix()
		switch {
		case err != nil:
			closeIfMade(last)
			return nil, err
		case !isOwn(conn):
			_ = conn.Close()
			continue
		}
		closeIfMade(last)
		last = conn
	}
	if last == nil {
		return nil, errors.New("private socket: no connection from this process")
	}
	return last, nil
}

func closeIfMade(conn *net.UnixConn) {
	if conn != nil {
		_ = conn.Close()
	}
}

// hasInput reports whether a socket has input, or a listening socket has connections.
func hasInput(raw syscall.RawConn) (has bool) {
	_ = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err := unix.Poll(poll, 0)
			if !errors.Is(err, syscall.EINTR) {
				has = n > 0
				return
			}
		}
	})
	return has
}

// isOwn reports whether this process has made the connection.
func isOwn(conn *net.UnixConn) (own bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Control(func(fd uintptr) { own = isOwnConnection(int(fd)) }) == nil && own
}

// close stops listening and removes the socket and its directory.
func (s *privateSocket) close() {
	if s.listener != nil {
		_ = s.listener.Close() // removes the file
	}
	if s.isHidden() {
		s.file.Close()
		return
	}
	s.removeDirectory()
}

// removeDirectory removes the directory of the socket, which is empty.
func (s *privateSocket) removeDirectory() {
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
			removeAbandonedDirectory(dir)
			dir.Close()
		}
	}
}

// removeAbandonedDirectory removes a socket and its directory, if the user owns the
// directory. It removes no other files, also if another user replaces the directory at the
// same time.
func removeAbandonedDirectory(dir *os.File) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &stat); err != nil || int(stat.Uid) != os.Geteuid() {
		return
	}
	_ = unix.Unlinkat(int(dir.Fd()), privateName, 0)
	_ = unix.Rmdir(dir.Name())
}
