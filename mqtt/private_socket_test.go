//go:build cgo

package mqtt

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/require"
)

func TestPrivateSocket_AdmitsUserOnlyAndLeavesNoFile(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	s, err := listenPrivately()
	require.NoError(t, err)
	dir := filepath.Dir(s.path)
	require.Equal(t, base, filepath.Dir(dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	s.close()
	require.Empty(t, names(t, base))
}

func TestPrivateSocket_ConnectsLeaveNoFile(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	idleSockets.addUser()
	defer idleSockets.removeUser()
	for range 3 {
		var library net.Conn
		accepted, err := connectPrivately(func(path string) (err error) {
			library, err = net.Dial("unix", path)
			return err
		})
		require.NoError(t, err)
		require.Empty(t, names(t, base))
		_, err = accepted.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(library, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, library.Close())
		require.NoError(t, accepted.Close())
	}
}

func TestPrivateSocket_FailedConnectDoesNotDisturbTheNext(t *testing.T) {
	failure := errors.New("failed")
	_, err := connectPrivately(func(path string) error {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		return failure
	})
	require.ErrorIs(t, err, failure)
	var library net.Conn
	accepted, err := connectPrivately(func(path string) (err error) {
		library, err = net.Dial("unix", path)
		return err
	})
	require.NoError(t, err)
	defer accepted.Close()
	defer library.Close()
	_, err = library.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(accepted, make([]byte, 1))
	require.NoError(t, err)
}

func TestPrivateSocket_UsesNextDirectoryIfOneFails(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	require.NoError(t, os.Mkdir(long, 0o700))
	base, err := os.MkdirTemp("", "short") //nolint:usetesting // the name of t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.Remove(base) })
	t.Setenv("TMPDIR", base)
	for _, bad := range []string{long, filepath.Join(base, "none")} {
		t.Setenv("XDG_RUNTIME_DIR", bad)
		s, err := listenPrivately()
		require.NoError(t, err)
		require.Equal(t, base, filepath.Dir(filepath.Dir(s.path)))
		s.close()
	}
	require.Empty(t, names(t, long))
	require.Empty(t, names(t, base))
}

func TestPrivateSocket_RefusesConnectionOfOtherProcess(t *testing.T) {
	if path := os.Getenv(socketVariable); path != "" {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		defer conn.Close()
		reply, err := io.ReadAll(conn)
		println("read", len(reply), err == nil)
		return
	}
	s, err := listenPrivately()
	require.NoError(t, err)
	defer s.close()
	stranger, lines := startChild(t, socketVariable+"="+s.path)
	requireConnections(t, s, 1)
	_, err = s.accept()
	require.Error(t, err, "only the other process has connected")
	awaitLine(t, lines, "read 0 true")
	require.NoError(t, stranger.Wait())

	own, err := net.Dial("unix", s.path)
	require.NoError(t, err)
	defer own.Close()
	stranger, lines = startChild(t, socketVariable+"="+s.path)
	requireConnections(t, s, 2)
	accepted, err := s.accept()
	require.NoError(t, err)
	defer accepted.Close()
	awaitLine(t, lines, "read 0 true")
	require.NoError(t, stranger.Wait())
	_, err = accepted.Write([]byte("x"))
	require.NoError(t, err)
	reply := make([]byte, 1)
	_, err = io.ReadFull(own, reply)
	require.NoError(t, err)
}

func TestPrivateSocket_AcceptsLastConnection(t *testing.T) {
	s, err := listenPrivately()
	require.NoError(t, err)
	defer s.close()
	var last net.Conn
	for range 3 {
		last, err = net.Dial("unix", s.path)
		require.NoError(t, err)
		defer last.Close()
	}
	accepted, err := s.accept()
	require.NoError(t, err)
	defer accepted.Close()
	_, err = last.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, accepted.SetDeadline(time.Now().Add(patience)))
	_, err = io.ReadFull(accepted, make([]byte, 1))
	require.NoError(t, err)
}

func TestPrivateSocket_NextStartRemovesFilesOfKilledProcess(t *testing.T) {
	if os.Getenv(baseVariable) != "" {
		s, err := listenPrivately()
		require.NoError(t, err)
		println("listens", s.path)
		time.Sleep(patience) // the parent kills this process before
		return
	}
	base, err := os.MkdirTemp("", "private") //nolint:usetesting // the name of t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	environment := []string{baseVariable + "=1", "XDG_RUNTIME_DIR=" + base}
	require.NoError(t, os.Mkdir(filepath.Join(base, "other"), 0o700))
	start := func() (*exec.Cmd, string) {
		child, lines := startChild(t, environment...)
		return child, filepath.Base(filepath.Dir(awaitLine(t, lines, "listens")))
	}
	kill := func(child *exec.Cmd) {
		require.NoError(t, child.Process.Kill())
		require.Error(t, child.Wait())
	}
	first, firstName := start()
	kill(first)
	require.ElementsMatch(t, []string{firstName, "other"}, names(t, base), "a killed process cannot remove its files")
	second, secondName := start()
	require.ElementsMatch(t, []string{secondName, "other"}, names(t, base))
	third, thirdName := start()
	require.ElementsMatch(t, []string{secondName, thirdName, "other"}, names(t, base), "the second process still runs")
	kill(second)
	kill(third)
	removeAbandoned(base)
	require.Equal(t, []string{"other"}, names(t, base))
}

// These variables select what a child process does.
const (
	socketVariable = "MQTT_TEST_SOCKET"
	baseVariable   = "MQTT_TEST_BASE"
)

// startChild runs this test again in a new process, and returns its output.
func startChild(t *testing.T, environment ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := subprocess.Command(self, "-test.count=1", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), environment...)
	subprocess.EndWithParent(cmd)
	output, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(output)
}

// awaitLine reads lines up to a line that begins with a text, and returns the line.
func awaitLine(t *testing.T, lines *bufio.Scanner, begin string) string {
	t.Helper()
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), begin) {
			return lines.Text()
		}
	}
	require.FailNow(t, "the child process did not write "+begin)
	return ""
}

// requireConnections waits until n connections have been made to a socket.
func requireConnections(t *testing.T, s *privateSocket, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		table, err := os.ReadFile("/proc/net/unix")
		return err == nil && strings.Count(string(table), s.path+"\n") == n+1 // with the listener
	}, patience, 5*time.Millisecond)
}

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}
