//go:build cgo

package mqtt_test

import (
	"os"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fileWatch watches folders for files that are created or changed.
type fileWatch struct {
	t  *testing.T
	fd int
}

func watchFolders(t *testing.T, folders ...string) fileWatch {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	for _, folder := range folders {
		_, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
		require.NoError(t, err)
	}
	return fileWatch{t, fd}
}

// requireNoFile requires that no file was created or changed since the start of the watch.
func (w fileWatch) requireNoFile() {
	w.t.Helper()
	n, err := unix.Read(w.fd, make([]byte, 4096))
	require.ErrorIs(w.t, err, unix.EAGAIN, "%d bytes of events", n)
}

// Keys from memory are never written to a disk, and no open file of the process contains them.
// The test is not parallel, because it inspects the whole process.
func TestSecrets_AreNotWrittenToADisk(t *testing.T) {
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
	watch := watchFolders(t, folder, "/dev/shm")
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
	watch.requireNoFile()

	require.NoError(t, os.WriteFile("key.pem", nil, 0o600)) // the watch must report this file
	n, err := unix.Read(watch.fd, make([]byte, 4096))
	require.NoError(t, err)
	require.Positive(t, n)
}

// regularFiles returns the contents of the regular files that the process has open.
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
