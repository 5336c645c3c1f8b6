//go:build cgo

package mqtt_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The tests of this file need a real broker: PSK, client certificates, and TLS versions.

const (
	presharedKey = "00112233445566778899aabbccddeeff"
	anotherKey   = "ffeeddccbbaa99887766554433221100"
)

// requireNotConnected requires that Dial fails and that the broker received no CONNECT.
func requireNotConnected(t *testing.T, b *broker.Broker, server string, options ...mqtt.Option) {
	t.Helper()
	options = append(options, fast(), mqtt.WithCredentials("username-1", "password-1"))
	_, err := mqtt.Dial(wait.Soon(t), []string{server}, options...)
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.NotErrorIs(t, err, mqtt.ErrConnectTimeout)
	require.Zero(t, countConnects(b))
}

// countConnects returns the number of clients that the broker has accepted.
func countConnects(b *broker.Broker) int { return strings.Count(b.Log(), "New client connected") }

func TestSecurity_PlainClientAndTLSServerDoNotConnect(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	secret := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	requireNotConnected(t, secret, url(secret.Port)) // the server can read the password: see SECURITY.md
	open := plain(t)
	requireNotConnected(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	requireNotConnected(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File, ServerName: "broker.internal"}))
	requireNotConnected(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"}))
}

func TestSecurity_BrokerRefusesBadClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	now := time.Now()
	for name, own := range map[string]*broker.Cert{
		"none": {}, "of another CA": other.Issue("client"), "self-signed": broker.SelfSigned(t, "client"),
		"expired": ca.IssueFor("late", now.Add(-2*time.Hour), now.Add(-time.Hour)),
	} {
		for _, serverName := range []string{"", "127.0.0.1"} {
			t.Run(name+" "+serverName, func(t *testing.T) {
				settings := mqtt.TLS{ServerName: serverName, CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile}
				requireNotConnected(t, b, secure(b.Port), mqtt.WithTLS(settings))
			})
		}
	}
	own := ca.Issue("client")
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile}))
}

func TestSecurity_PSKMustMatch(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{PSK: map[string]string{"device": presharedKey}})
	for name, settings := range map[string]mqtt.TLS{
		"wrong key":        {PSK: anotherKey, PSKIdentity: "device"},
		"shorter key":      {PSK: presharedKey[:30], PSKIdentity: "device"},
		"unknown identity": {PSK: presharedKey, PSKIdentity: "nobody"},
		"certificates":     {CAFile: broker.NewCA(t, "authority").File},
	} {
		t.Run(name, func(t *testing.T) { requireNotConnected(t, b, secure(b.Port), mqtt.WithTLS(settings)) })
	}
	settings := mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"})
	t.Run("reconnect", func(t *testing.T) {
		option, changes := watchStates()
		c := dialAll(t, []string{secure(b.Port)}, settings, option)
		for _, keys := range []map[string]string{{"device": anotherKey}, {"another": presharedKey}} {
			b.SetPSK(keys)
			b.Restart()
			before := countConnects(b)
			for awaitFailure(t, changes).Attempt < 3 {
			}
			require.Equal(t, before, countConnects(b))
			require.NotEqual(t, mqtt.StateConnected, c.State())
			b.SetPSK(map[string]string{"device": presharedKey})
			b.Restart()
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		}
	})
}

// A client with a PSK refuses a server that has a certificate and not the key.
func TestSecurity_PSKClientRefusesACertificate(t *testing.T) {
	t.Parallel()
	g := startRecordingServer(t, serverConfig(t, broker.SelfSigned(t, "anybody", "elsewhere.example")))
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(g.Port)}, fast(),
		mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"}), mqtt.WithCredentials("username-1", "password-1"))
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	wait.Until(t, "the refused handshake", g.hasRefused)
	requireNoMQTT(t, g)
}

// MinVersion is the lowest version. Ciphers apply to TLS 1.2 and have no effect on TLS 1.3.
func TestSecurity_TLSVersionIsAtLeastMinVersion(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	cert := ca.Issue("broker", "127.0.0.1")
	for name, test := range map[string]struct {
		settings mqtt.TLS
		most     uint16 // highest version of the server
		want     uint16
	}{
		"no settings":                 {mqtt.TLS{}, tls.VersionTLS13, tls.VersionTLS13},
		"no settings, to 1.2":         {mqtt.TLS{}, tls.VersionTLS12, tls.VersionTLS12},
		"1.2 is the lowest":           {mqtt.TLS{MinVersion: "tlsv1.2"}, tls.VersionTLS13, tls.VersionTLS13},
		"1.2 to 1.2":                  {mqtt.TLS{MinVersion: "tlsv1.2"}, tls.VersionTLS12, tls.VersionTLS12},
		"1.3":                         {mqtt.TLS{MinVersion: "tlsv1.3"}, tls.VersionTLS13, tls.VersionTLS13},
		"ciphers, to 1.2":             {mqtt.TLS{Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"}, tls.VersionTLS12, tls.VersionTLS12},
		"no effect of ciphers on 1.3": {mqtt.TLS{Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"}, tls.VersionTLS13, tls.VersionTLS13},
	} {
		for _, serverName := range []string{"", "127.0.0.1"} {
			t.Run(name+" "+serverName, func(t *testing.T) {
				met := make(chan tls.ConnectionState, 10)
				config := serverConfig(t, cert)
				config.MaxVersion = test.most
				config.VerifyConnection = func(s tls.ConnectionState) error {
					met <- s
					return nil
				}
				test.settings.CAFile, test.settings.ServerName = ca.File, serverName
				dialAll(t, []string{secure(startRecordingServer(t, config).Port)}, mqtt.WithTLS(test.settings))
				state := wait.For(t, met, "the handshake")
				require.Equal(t, tls.VersionName(test.want), tls.VersionName(state.Version))
				if test.settings.Ciphers != "" && test.want == tls.VersionTLS12 {
					require.Equal(t, tls.CipherSuiteName(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), tls.CipherSuiteName(state.CipherSuite))
				}
			})
		}
	}
}
