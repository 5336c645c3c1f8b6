package test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// silentPort is a port of 127.0.0.1 that never answers a connect: its listener's backlog is
// full.
type silentPort struct {
	port int

	t       testing.TB
	fillers []string // sockets of this test that fill the backlog
}

func newSilentPort(t testing.TB) *silentPort {
	t.Helper()
	d := &silentPort{t: t}
	l := d.socket()
	require.NoError(t, syscall.Bind(l, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(l, 0))
	address, err := syscall.Getsockname(l)
	require.NoError(t, err)
	d.port = address.(*syscall.SockaddrInet4).Port
	return d
}

// fill fills the backlog. Before, one client can connect.
func (d *silentPort) fill() {
	d.t.Helper()
	for range 3 {
		_ = syscall.Connect(d.socket(), &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: d.port})
	}
	wait.Until(d.t, "the backlog to be full", func() bool { return len(d.unanswered()) > 0 })
	d.fillers = d.unanswered()
}

func (d *silentPort) socket() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(d.t, err)
	require.NoError(d.t, syscall.SetNonblock(fd, true))
	d.t.Cleanup(func() { syscall.Close(fd) })
	return fd
}

// unanswered returns the inodes of the sockets that wait for an answer of the port
// (state SYN_SENT in /proc/net/tcp), without the fillers.
func (d *silentPort) unanswered() (inodes []string) {
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(d.t, err)
	remote := fmt.Sprintf("0100007F:%04X", d.port)
	for line := range strings.SplitSeq(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) > 9 && f[2] == remote && f[3] == "02" && !slices.Contains(d.fillers, f[9]) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// asked reports whether a client waits for an answer.
func (d *silentPort) asked() bool { return len(d.unanswered()) > 0 }

// hangUp shuts down the waiting sockets, so that blocking connects return.
func (d *silentPort) hangUp() {
	waiting := d.unanswered()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(d.t, err)
	for _, entry := range entries {
		what, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		inode := strings.TrimSuffix(strings.TrimPrefix(what, "socket:["), "]")
		if slices.Contains(waiting, inode) {
			fd, err := strconv.Atoi(entry.Name())
			require.NoError(d.t, err)
			_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
		}
	}
}
