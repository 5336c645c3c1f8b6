//go:build cgo

package mqtt_test

import (
	"os"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lookout tells of every file that is made, or opened, in some directories.
type lookout struct {
	t  *testing.T
	fd int
}

func lookOut(t *testing.T, folders ...string) lookout {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	for _, folder := range folders {
		_, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
		require.NoError(t, err)
	}
	return lookout{t, fd}
}

// nothing asserts that there was no file, not even for a moment.
func (w lookout) nothing() {
	w.t.Helper()
	n, err := unix.Read(w.fd, make([]byte, 4096))
	require.ErrorIs(w.t, err, unix.EAGAIN, "%d bytes of events", n)
}

// Keys from memory are on no disk, not even for a moment, and what the process holds
// open of them is memory. Not parallel: it looks at the process.
func TestSecretsAreOnNoDisk(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	settings := secretTLS(t, ca)
	own := ca.Issue("client")
	named := mqtt.TLS{ServerName: "127.0.0.1", CA: settings.CA, Cert: pem(t, own.CertFile), Key: pem(t, own.KeyFile)}
	folder := t.TempDir()
	for _, variable := range []string{"TMPDIR", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} {
		t.Setenv(variable, folder)
	}
	t.Chdir(folder)
	eyes := lookOut(t, folder, "/dev/shm")
	for name, tls := range map[string]mqtt.TLS{"library": settings, "server name": named} {
		t.Run(name, func(t *testing.T) {
			c := dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(tls))
			for _, what := range regularFiles(t) {
				require.NotContains(t, what, string(tls.Key))
			}
			b.Restart()
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "after a reconnect")
		})
	}
	eyes.nothing()

	require.NoError(t, os.WriteFile("key.pem", nil, 0o600)) // that would have been seen
	n, err := unix.Read(eyes.fd, make([]byte, 4096))
	require.NoError(t, err)
	require.Positive(t, n)
}

// regularFiles are the contents of the files on disks that the process has open.
func regularFiles(t *testing.T) (contents []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, entry := range entries {
		path := "/proc/self/fd/" + entry.Name()
		what, _ := os.Readlink(path)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && strings.HasPrefix(what, "/") && !strings.HasPrefix(what, "/memfd:") {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			contents = append(contents, string(content))
		}
	}
	return contents
}
