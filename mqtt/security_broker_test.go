//go:build cgo

package mqtt_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// The kinds that need two ends of the same make: the real broker.

const (
	presharedKey = "00112233445566778899aabbccddeeff"
	anotherKey   = "ffeeddccbbaa99887766554433221100"
)

// notServed asserts that a client does not come about, and that the broker has not
// seen a CONNECT of it.
func notServed(t *testing.T, b *broker.Broker, server string, options ...mqtt.Option) {
	t.Helper()
	options = append(options, fast(), mqtt.WithCredentials("username-1", "password-1"))
	_, err := mqtt.Dial(wait.Soon(t), []string{server}, options...)
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.NotErrorIs(t, err, mqtt.ErrConnectTimeout)
	require.Zero(t, served(b))
}

// served counts the clients that the broker has accepted.
func served(b *broker.Broker) int { return strings.Count(b.Log(), "New client connected") }

func TestSecurityPlainAndTLS(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	secret := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	notServed(t, secret, url(secret.Port)) // it has heard the password: see SECURITY.md
	open := plain(t)
	notServed(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	notServed(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File, ServerName: "broker.internal"}))
	notServed(t, open, secure(open.Port), mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"}))
}

// A broker that wants to know its clients by their certificates.
func TestSecurityClientCertificate(t *testing.T) {
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
				notServed(t, b, secure(b.Port), mqtt.WithTLS(settings))
			})
		}
	}
	own := ca.Issue("client")
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile}))
}

func TestSecurityPSK(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{PSK: map[string]string{"device": presharedKey}})
	for name, settings := range map[string]mqtt.TLS{
		"wrong key":        {PSK: anotherKey, PSKIdentity: "device"},
		"shorter key":      {PSK: presharedKey[:30], PSKIdentity: "device"},
		"unknown identity": {PSK: presharedKey, PSKIdentity: "nobody"},
		"certificates":     {CAFile: broker.NewCA(t, "authority").File},
	} {
		t.Run(name, func(t *testing.T) { notServed(t, b, secure(b.Port), mqtt.WithTLS(settings)) })
	}
	settings := mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"})
	t.Run("reconnect", func(t *testing.T) {
		option, changes := states()
		c := dialAll(t, []string{secure(b.Port)}, settings, option)
		for _, keys := range []map[string]string{{"device": anotherKey}, {"another": presharedKey}} {
			b.SetPSK(keys)
			b.Restart()
			before := served(b)
			for awaitFailure(t, changes).Attempt < 3 {
			}
			require.Equal(t, before, served(b))
			require.NotEqual(t, mqtt.StateConnected, c.State())
			b.SetPSK(map[string]string{"device": presharedKey})
			b.Restart()
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		}
	})
}

// A broker with a certificate instead of the key has proved nothing.
func TestSecurityPSKAndCertificate(t *testing.T) {
	t.Parallel()
	g := watch(t, showing(t, broker.SelfSigned(t, "anybody", "elsewhere.example")))
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(g.Port)}, fast(),
		mqtt.WithTLS(mqtt.TLS{PSK: presharedKey, PSKIdentity: "device"}), mqtt.WithCredentials("username-1", "password-1"))
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	wait.Until(t, "the server's part", g.over)
	heardNothing(t, g)
}

// MinVersion is the lowest one, and Ciphers are those of TLS 1.2: a broker with
// TLS 1.3 does not meet them.
func TestSecurityVersionsAndCiphers(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	cert := ca.Issue("broker", "127.0.0.1")
	for name, test := range map[string]struct {
		settings mqtt.TLS
		most     uint16 // of the server
		want     uint16
	}{
		"nothing said":              {mqtt.TLS{}, tls.VersionTLS13, tls.VersionTLS13},
		"nothing said, to 1.2":      {mqtt.TLS{}, tls.VersionTLS12, tls.VersionTLS12},
		"1.2 is the lowest":         {mqtt.TLS{MinVersion: "tlsv1.2"}, tls.VersionTLS13, tls.VersionTLS13},
		"1.2 to 1.2":                {mqtt.TLS{MinVersion: "tlsv1.2"}, tls.VersionTLS12, tls.VersionTLS12},
		"1.3":                       {mqtt.TLS{MinVersion: "tlsv1.3"}, tls.VersionTLS13, tls.VersionTLS13},
		"ciphers, to 1.2":           {mqtt.TLS{Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"}, tls.VersionTLS12, tls.VersionTLS12},
		"ciphers do not govern 1.3": {mqtt.TLS{Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"}, tls.VersionTLS13, tls.VersionTLS13},
	} {
		for _, serverName := range []string{"", "127.0.0.1"} {
			t.Run(name+" "+serverName, func(t *testing.T) {
				met := make(chan tls.ConnectionState, 10)
				config := showing(t, cert)
				config.MaxVersion = test.most
				config.VerifyConnection = func(s tls.ConnectionState) error {
					met <- s
					return nil
				}
				test.settings.CAFile, test.settings.ServerName = ca.File, serverName
				dialAll(t, []string{secure(watch(t, config).Port)}, mqtt.WithTLS(test.settings))
				state := wait.For(t, met, "the handshake")
				require.Equal(t, tls.VersionName(test.want), tls.VersionName(state.Version))
				if test.settings.Ciphers != "" && test.want == tls.VersionTLS12 {
					require.Equal(t, tls.CipherSuiteName(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), tls.CipherSuiteName(state.CipherSuite))
				}
			})
		}
	}
}
