//go:build cgo

package mqtt_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
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

// stop stops the broker and receives changes until an attempt to connect has failed.
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

// renewableTrust makes a client trust one CA. The test replaces the CA.
type renewableTrust struct {
	option mqtt.Option
	trust  func(ca *broker.CA)
}

func TestTLSRenewal_CAFileIsReadAtEveryAttempt(t *testing.T) {
	t.Parallel()
	renewCA(t, func(t *testing.T, serverName string) renewableTrust {
		trusted := t.TempDir() + "/ca.pem"
		return renewableTrust{mqtt.WithTLS(mqtt.TLS{CAFile: trusted, ServerName: serverName}), func(ca *broker.CA) { copyFile(t, trusted, ca.File) }}
	})
}

func TestTLSRenewal_CAOfWithTLSFuncIsUsed(t *testing.T) {
	t.Parallel()
	renewCA(t, func(t *testing.T, serverName string) renewableTrust {
		var f settingsFunc
		return renewableTrust{f.option(), func(ca *broker.CA) { f.set(mqtt.TLS{CA: pem(t, ca.File), ServerName: serverName}) }}
	})
}

// renewCA tests that a client trusts the current CA of its settings at each attempt, and no
// longer the previous CA.
func renewCA(t *testing.T, settings func(t *testing.T, serverName string) renewableTrust) {
	t.Helper()
	for name, serverName := range serverNames {
		t.Run(name, func(t *testing.T) {
			first, second := broker.NewCA(t, "first"), broker.NewCA(t, "second")
			shown := first.Issue("broker", "127.0.0.1")
			of1, of2 := first.Issue("copy", "127.0.0.1"), second.Issue("broker", "127.0.0.1")
			s := settings(t, serverName)
			s.trust(first)
			b := broker.Start(t, broker.Config{TLS: shown})
			option, changes := watchStates()
			c := dialAll(t, []string{secure(b.Port)}, option, s.option)
			stop(t, b, changes)
			renew(t, shown, of2)
			s.trust(second) // renewed
			b.Restart()
			requireServed(t, c)
			stop(t, b, changes)
			renew(t, shown, of1) // the first CA is withdrawn
			b.Restart()
			requireDistrust(t, changes)
			s.trust(first)
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
			option, changes := watchStates()
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

// settingsFunc is a function for WithTLSFunc. The test sets its result.
type settingsFunc struct{ settings atomic.Pointer[mqtt.TLS] }

func (f *settingsFunc) set(t mqtt.TLS) { f.settings.Store(&t) }

func (f *settingsFunc) option() mqtt.Option {
	return mqtt.WithTLSFunc(func(context.Context) (mqtt.TLS, error) { return *f.settings.Load(), nil })
}

func TestTLSRenewal_CADirectoryIsReadAtEveryAttempt(t *testing.T) {
	t.Parallel()
	first, second := broker.NewCA(t, "authority"), broker.NewCA(t, "authority") // with the same name both CAs have the same hash
	shown := first.Issue("broker", "127.0.0.1")
	directory := sslctx.HashedDir(t, first.File)
	files, err := filepath.Glob(directory + "/*")
	require.NoError(t, err)
	require.Len(t, files, 1)
	b := broker.Start(t, broker.Config{TLS: shown})
	option, changes := watchStates()
	c := dialAll(t, []string{secure(b.Port)}, option, mqtt.WithTLS(mqtt.TLS{CAPath: directory}))
	stop(t, b, changes)
	copyFile(t, files[0], second.File)
	b.Restart()
	requireDistrust(t, changes)
	copyFile(t, files[0], first.File)
	requireServed(t, c)
}

// rsaCertificate makes a client certificate with an RSA key.
func rsaCertificate(t testing.TB, ca *broker.CA) *tls.Certificate {
	t.Helper()
	authority, err := tls.LoadX509KeyPair(ca.File, ca.KeyFile)
	require.NoError(t, err)
	issuer, err := x509.ParseCertificate(authority.Certificate[0])
	require.NoError(t, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), authority.PrivateKey)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A renewed client certificate replaces the old one, also if its key is of another kind.
func TestTLSRenewal_CertificateOfWithTLSFuncIsUsed(t *testing.T) {
	t.Parallel()
	ca, first, second := broker.NewCA(t, "authority"), broker.NewCA(t, "first"), broker.NewCA(t, "second")
	own := second.Issue("client")
	renewed, err := tls.LoadX509KeyPair(own.CertFile, own.KeyFile)
	require.NoError(t, err)
	clients := t.TempDir() + "/clients.pem"
	copyFile(t, clients, first.File)
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: clients})
	var f settingsFunc
	f.set(mqtt.TLS{CAFile: ca.File, Certificate: rsaCertificate(t, first)})
	option, changes := watchStates()
	c := dialAll(t, []string{secure(b.Port)}, option, f.option())
	stop(t, b, changes)
	copyFile(t, clients, second.File)
	b.Restart()
	for awaitFailure(t, changes).Attempt < 3 {
	}
	f.set(mqtt.TLS{CAFile: ca.File, Certificate: &renewed})
	requireServed(t, c)
}

// The client resumes no session: a resumed session would not verify certificates again.
func TestTLSRenewal_SessionsAreNotResumed(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	for version, maxVersion := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(version, func(t *testing.T) {
			handshakes := make(chan tls.ConnectionState, 10)
			config := serverConfig(t, ca.Issue("broker", "127.0.0.1"))
			config.MaxVersion = maxVersion
			config.VerifyConnection = func(s tls.ConnectionState) error {
				handshakes <- s
				return nil
			}
			g := startRecordingServer(t, config)
			dialAll(t, []string{secure(g.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
			require.False(t, wait.For(t, handshakes, "the first handshake").DidResume)
			g.replace(config)
			require.False(t, wait.For(t, handshakes, "the second handshake").DidResume)
		})
	}
}

// While a file is missing, attempts to connect fail with an error that names the file. The
// client does not end, and does not use the old settings.
func TestTLSRenewal_MissingFileFailsTheAttempt(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	trusted := t.TempDir() + "/ca.pem"
	copyFile(t, trusted, ca.File)
	option, changes := watchStates()
	c := dialAll(t, []string{secure(b.Port)}, option, mqtt.WithTLS(mqtt.TLS{CAFile: trusted}))
	stop(t, b, changes)
	require.NoError(t, os.Remove(trusted))
	b.Restart()
	for {
		err := awaitFailure(t, changes).Err
		if errors.Is(err, fs.ErrNotExist) {
			require.EqualError(t, err, "mqtt: connect "+secure(b.Port)+": WithTLS: TLS.CAFile: "+trusted+": no such file or directory")
			break
		}
	}
	copyFile(t, trusted, ca.File)
	requireServed(t, c)
}
