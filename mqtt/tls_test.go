//go:build cgo

package mqtt_test

import (
	"os"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// pem reads a file.
func pem(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

// The client can use certificates from memory at every connection, also with an encrypted key.
// It writes nothing to a disk. The test is not parallel, because it changes the environment.
func TestTLS_CertificatesFromMemoryAreUsed(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	own := ca.Issue("client")
	encrypted := ca.Encrypt(own.KeyFile, "password")
	material := []mqtt.TLS{
		{CA: pem(t, ca.File), Cert: pem(t, own.CertFile), Key: pem(t, own.KeyFile)},
		{CA: pem(t, ca.File), Cert: pem(t, own.CertFile), Key: pem(t, encrypted), KeyPassword: func() (string, error) { return "password", nil }},
	}
	require.NoError(t, os.RemoveAll(own.CertFile), "the client must not need the files")
	require.NoError(t, os.RemoveAll(own.KeyFile))
	require.NoError(t, os.RemoveAll(encrypted))
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, m := range material {
		c := dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(m))
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		b.Kill()
		b.Restart()
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "after a reconnect")
		require.NoError(t, c.Close(wait.Soon(t)))
	}
	entries, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, entries)
}
