package test

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Each server either is not the broker, or offers less than the client requires. The
// handshake must fail, so that the server receives no MQTT packet. TLS is set with
// TLSSet and with SetTLS.
func TestTLS_EveryWrongServerIsRefused(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "authority")
	now := time.Now()
	good := ca.Issue("good", "127.0.0.1")
	only12 := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	only11 := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }
	weak := func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	}
	staple := func(answer []byte) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates[0].OCSPStaple = answer }
	}
	for _, kind := range []struct {
		name           string
		cert           *broker.Cert
		server         func(*tls.Config)
		floor, ciphers string
		stapled        bool
	}{
		{name: "wrong CA", cert: other.Issue("other", "127.0.0.1")},
		{name: "wrong host name", cert: ca.Issue("name", "localhost", "elsewhere.example")},
		{name: "wrong IP address", cert: ca.Issue("address", "127.0.0.2")},
		{name: "an address as the common name", cert: ca.Issue("127.0.0.1", "localhost")},
		{name: "expired", cert: ca.IssueFor("late", now.Add(-2*time.Hour), now.Add(-time.Hour), "127.0.0.1")},
		{name: "not yet valid", cert: ca.IssueFor("early", now.Add(time.Hour), now.Add(2*time.Hour), "127.0.0.1")},
		{name: "self-signed", cert: broker.SelfSigned(t, "self", "127.0.0.1")},
		{name: "a client's certificate", cert: ca.IssueForClient("client", "127.0.0.1")},
		{name: "TLS 1.1", cert: good, server: only11},
		{name: "TLS 1.1 for a floor of 1.2", cert: good, server: only11, floor: "tlsv1.2"},
		{name: "TLS 1.2 for a floor of 1.3", cert: good, server: only12, floor: "tlsv1.3"},
		{name: "other ciphers", cert: good, server: weak, ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{name: "no OCSP answer", cert: good, stapled: true},
		{name: "revoked", cert: good, stapled: true, server: staple(sslctx.OCSPAnswer(t, ca.File, ca.KeyFile, good.CertFile, sslctx.Revoked))},
	} {
		for way, set := range map[string]func(c *mosquitto.Client) error{
			"TLSSet": func(c *mosquitto.Client) error {
				if err := c.TLSSet(ca.File, "", "", "", nil); err != nil {
					return err
				}
				return c.TLSOptsSet(mosquitto.SSLVerifyPeer, kind.floor, kind.ciphers)
			},
			"SetTLS": func(c *mosquitto.Client) error {
				return c.SetTLS(mosquitto.TLS{CAFile: ca.File, MinVersion: kind.floor, Ciphers: kind.ciphers})
			},
		} {
			t.Run(kind.name+"/"+way, func(t *testing.T) {
				c, e := newClient(t, "", true)
				require.NoError(t, set(c))
				require.NoError(t, c.UsernamePwSet("user", "password"))
				if kind.stapled {
					require.NoError(t, c.IntOption(mosquitto.OptTLSOCSPRequired, 1))
				}
				config := stapling(nil)
				p := tlsFakeBroker(t, kind.cert, config)
				if kind.server != nil {
					kind.server(config)
				}
				done := handshakes(t, p)
				requireTLSFailure(t, refused(t, c, e, "127.0.0.1", p.Port))
				require.Error(t, wait.For(t, done, "the handshake"))
			})
		}
	}
}

func TestTLS_ClientWithoutTLSIsRefused(t *testing.T) {
	b, _ := tlsBroker(t, "127.0.0.1")
	c, e := newClient(t, "", true)
	require.Error(t, failed(t, c, e, "127.0.0.1", b.Port))
	require.NoError(t, c.Close())
	require.NotContains(t, b.Log(), "New client connected")
}

// replaceCert overwrites the files of a certificate and its key with another pair.
func replaceCert(t testing.TB, cert, by *broker.Cert) {
	t.Helper()
	for to, from := range map[string]string{cert.CertFile: by.CertFile, cert.KeyFile: by.KeyFile} {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
	}
}

// The server's certificate is replaced while the client is in Run. The client retries,
// never connects, and connects again with the correct certificate.
func TestTLS_RunRefusesAReplacedCertificate(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "authority")
	now := time.Now()
	good := ca.Issue("good", "127.0.0.1")
	for name, bad := range map[string]*broker.Cert{
		"wrong CA":         other.Issue("forged", "127.0.0.1"),
		"wrong IP address": ca.Issue("elsewhere", "127.0.0.2"),
		"expired":          ca.IssueFor("late", now.Add(-2*time.Hour), now.Add(-time.Hour), "127.0.0.1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for the delays of ReconnectDelaySet
			shown := ca.Issue(strings.ReplaceAll(name, " ", "-"), "127.0.0.1")
			b := broker.Start(t, broker.Config{TLS: shown})
			c, e := trusting(t, ca)
			failures := make(chan string, 100)
			c.OnLog(func(_ *mosquitto.Client, _ mosquitto.LogLevel, text string) {
				if strings.Contains(text, "certificate verify failed") {
					failures <- text
				}
			}, mosquitto.LogErr)
			connectRun(t, c, e, b.Port)
			b.Stop()
			replaceCert(t, shown, bad)
			b.Restart()
			before := strings.Count(b.Log(), "New client connected")
			for range 2 {
				wait.For(t, failures, "a failed handshake")
			}
			wait.None(t, e.connect, "OnConnect")
			require.Equal(t, before, strings.Count(b.Log(), "New client connected"))
			replaceCert(t, shown, good)
			b.Restart()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			echo(t, c, e)
		})
	}
}
