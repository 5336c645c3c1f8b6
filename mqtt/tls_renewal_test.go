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
)

// copyFile replaces the content of a file with the content of another file.
func copyFile(t testing.TB, to, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o600))
}

// renew replaces a certificate and its key in their files.
func renew(t testing.TB, old, by *broker.Cert) {
	t.Helper()
	copyFile(t, old.CertFile, by.CertFile)
	copyFile(t, old.KeyFile, by.KeyFile)
}

// requireServed requires that the client reconnects and that the broker serves it.
func requireServed(t testing.TB, c *mqtt.Client) {
	t.Helper()
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// stop stops the broker, and takes the changes up to the first failed attempt after that.
func stop(t testing.TB, b *broker.Broker, changes <-chan mqtt.StateChange) {
	t.Helper()
	b.Stop()
	awaitState(t, changes, mqtt.StateDisconnected)
	awaitFailure(t, changes)
}

// requireDistrust requires that the next attempts to connect fail, because the client
// does not trust the broker.
func requireDistrust(t testing.TB, changes <-chan mqtt.StateChange) {
	t.Helper()
	for refused := 0; refused < 3; {
		change := wait.For(t, changes, "a failed attempt")
		require.NotEqual(t, mqtt.StateConnected, change.State)
		if change.Err != nil && strings.Contains(change.Err.Error(), badCertificate) {
			refused++
		}
	}
}

// serverNames are the two ways to name a broker: by the server's host and by ServerName.
var serverNames = map[string]string{"host": "", "server name": "127.0.0.1"}

func TestTLSRenewal_CAFileIsReadAtEveryAttempt(t *testing.T) {
	t.Parallel()
	for name, serverName := range serverNames {
		t.Run(name, func(t *testing.T) {
			first, second := broker.NewCA(t, "first"), broker.NewCA(t, "second")
			shown := first.Issue("broker", "127.0.0.1")
			of1, of2 := first.Issue("copy", "127.0.0.1"), second.Issue("broker", "127.0.0.1")
			trusted := t.TempDir() + "/ca.pem"
			copyFile(t, trusted, first.File)
			b := broker.Start(t, broker.Config{TLS: shown})
			option, changes := states()
			c := dialAll(t, []string{secure(b.Port)}, option, mqtt.WithTLS(mqtt.TLS{CAFile: trusted, ServerName: serverName}))
			stop(t, b, changes)
			renew(t, shown, of2)
			copyFile(t, trusted, second.File) // renewed
			b.Restart()
			requireServed(t, c)
			stop(t, b, changes)
			renew(t, shown, of1) // the first CA is withdrawn
			b.Restart()
			requireDistrust(t, changes)
			copyFile(t, trusted, first.File)
			requireServed(t, c)
		})
	}
}

func TestTLSRenewal_ClientCertificateFileIsReadAtEveryAttempt(t *testing.T) {
	t.Parallel()
	for name, serverName := range serverNames {
		t.Run(name, func(t *testing.T) {
			ca, first, second := broker.NewCA(t, "authority"), broker.NewCA(t, "first"), broker.NewCA(t, "second")
			own, renewed := first.Issue("client"), second.Issue("client")
			clients := t.TempDir() + "/clients.pem"
			copyFile(t, clients, first.File)
			b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: clients})
			option, changes := states()
			settings := mqtt.TLS{CAFile: ca.File, ServerName: serverName, CertFile: own.CertFile, KeyFile: own.KeyFile}
			c := dialAll(t, []string{secure(b.Port)}, option, mqtt.WithTLS(settings))
			stop(t, b, changes)
			copyFile(t, clients, second.File)
			b.Restart()
			for awaitFailure(t, changes).Attempt < 2 {
			}
			renew(t, own, renewed)
			requireServed(t, c)
		})
	}
}
