//go:build cgo

package mqtt_test

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// badServer is a server that the client must refuse: it is not the expected broker, or it
// does not meet the client's TLS settings.
type badServer struct {
	name      string
	host      string                                 // host name of the broker, "localhost" if empty
	cert      func(authorities) *broker.Cert         // returns a bad certificate; nil for a good one
	server    func(*tls.Config) *tls.Config          // changes the server's TLS configuration
	client    func(*mqtt.TLS)                        // changes the client's TLS settings
	stapled   bool                                   // the client requires an OCSP response
	staple    func(authorities, *broker.Cert) []byte // returns the OCSP response of the bad server
	temporary bool                                   // the error is temporary: Dial retries until its context ends
	errorText string                                 // a part of the error
}

// authorities are a CA that the client trusts, and another CA with the same name.
type authorities struct {
	t           testing.TB
	good, other *broker.CA
}

const badCertificate = "certificate verify failed"

var badServers = []badServer{
	{name: "wrong CA", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return ca.other.Issue("forged", "localhost") }},
	{name: "wrong host name", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return ca.good.Issue("elsewhere", "elsewhere.example", "127.0.0.1") }},
	{name: "wrong IP address", host: "127.0.0.1", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return ca.good.Issue("elsewhere", "127.0.0.2", "localhost") }},
	{name: "an IP address as a name", host: "127.0.0.1", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return ca.good.Issue("127.0.0.1", "localhost") }},
	{name: "expired", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert {
			return ca.good.IssueFor("late", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), "localhost")
		}},
	{name: "not yet valid", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert {
			return ca.good.IssueFor("early", time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), "localhost")
		}},
	{name: "self-signed", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return broker.SelfSigned(ca.t, "self", "localhost") }},
	{name: "a client's certificate", errorText: badCertificate,
		cert: func(ca authorities) *broker.Cert { return ca.good.IssueForClient("client", "localhost") }},
	{name: "TLS 1.1 only", errorText: "alert protocol version",
		server: func(c *tls.Config) *tls.Config {
			c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			return c
		}},
	{name: "TLS 1.2 for a client of 1.3", errorText: "alert protocol version",
		server: func(c *tls.Config) *tls.Config { c.MaxVersion = tls.VersionTLS12; return c },
		client: func(c *mqtt.TLS) { c.MinVersion = "tlsv1.3" }},
	{name: "TLS 1.1 for a client of 1.2", errorText: "alert protocol version",
		server: func(c *tls.Config) *tls.Config {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return c
		},
		client: func(c *mqtt.TLS) { c.MinVersion = "tlsv1.2" }},
	{name: "other ciphers", errorText: "alert handshake failure", temporary: true,
		server: func(c *tls.Config) *tls.Config {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			return c
		},
		client: func(c *mqtt.TLS) { c.Ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384" }},
	{name: "no TLS", errorText: "unexpected eof", temporary: true,
		server: func(*tls.Config) *tls.Config { return nil }},
	{name: "revoked", stapled: true, temporary: true, errorText: "invalid status response",
		staple: func(ca authorities, cert *broker.Cert) []byte {
			return ocspResponse(ca.t, ca.good, cert, sslctx.Revoked)
		}},
	{name: "OCSP response of another CA", stapled: true, temporary: true, errorText: "invalid status response",
		staple: func(ca authorities, cert *broker.Cert) []byte { return ocspResponse(ca.t, ca.other, cert, sslctx.Good) }},
	{name: "no OCSP response", stapled: true, temporary: true, errorText: "invalid status response",
		staple: func(authorities, *broker.Cert) []byte { return nil }},
}

// ocspResponse returns the OCSP response of a CA about a certificate.
func ocspResponse(t testing.TB, ca *broker.CA, cert *broker.Cert, status int) []byte {
	return sslctx.OCSPAnswer(t, ca.File, ca.KeyFile, cert.CertFile, status)
}

// trustSettings are the ways to configure the trusted CA and the name of the server.
var trustSettings = []struct {
	name string
	tls  func(t *testing.T, ca *broker.CA, host string) (server string, settings mqtt.TLS)
}{
	{"file", func(_ *testing.T, ca *broker.CA, host string) (string, mqtt.TLS) {
		return host, mqtt.TLS{CAFile: ca.File}
	}},
	{"memory", func(t *testing.T, ca *broker.CA, host string) (string, mqtt.TLS) {
		return host, mqtt.TLS{CA: pem(t, ca.File)}
	}},
	{"server name and file", func(_ *testing.T, ca *broker.CA, host string) (string, mqtt.TLS) {
		return "127.0.0.1", mqtt.TLS{ServerName: host, CAFile: ca.File}
	}},
	{"server name and memory", func(t *testing.T, ca *broker.CA, host string) (string, mqtt.TLS) {
		return "127.0.0.1", mqtt.TLS{ServerName: host, CA: pem(t, ca.File)}
	}},
}

// securityTest has the TLS configurations of the right server and of a bad server, and the
// settings of the client.
type securityTest struct {
	good, bad *tls.Config
	server    string // host of the server
	options   []mqtt.Option
}

func (f badServer) newTest(t *testing.T, trust func(*testing.T, *broker.CA, string) (string, mqtt.TLS)) (s securityTest) {
	t.Helper()
	ca := authorities{t, broker.NewCA(t, "authority"), broker.NewCA(t, "authority")}
	host := f.host
	if host == "" {
		host = "localhost"
	}
	genuine := ca.good.Issue("broker", host)
	forged := genuine
	if f.cert != nil {
		forged = f.cert(ca)
	}
	s.good, s.bad = serverConfig(t, genuine), serverConfig(t, forged)
	var settings mqtt.TLS
	s.server, settings = trust(t, ca.good, host)
	if f.client != nil {
		f.client(&settings)
	}
	s.options = []mqtt.Option{fast(), mqtt.WithTLS(settings), mqtt.WithCredentials("username-1", "password-1"), mqtt.WithBindAddress("127.0.0.1")}
	if f.stapled {
		s.good.Certificates[0].OCSPStaple = ocspResponse(t, ca.good, genuine, sslctx.Good)
		s.bad.Certificates[0].OCSPStaple = f.staple(ca, genuine)
		s.options = append(s.options, mqtt.WithLibrarySetup(func(m *mosquitto.Client) error { return m.IntOption(mosquitto.OptTLSOCSPRequired, 1) }))
	}
	if f.server != nil {
		s.bad = f.server(s.bad)
	}
	return s
}

func (s securityTest) servers(g *recordingServer) []string {
	return []string{fmt.Sprintf("mqtts://%s:%d", s.server, g.Port)}
}

// withEachBadServer runs a test with each bad server and each of trustSettings.
func withEachBadServer(t *testing.T, test func(t *testing.T, f badServer, s securityTest)) {
	t.Parallel()
	for _, f := range badServers {
		for _, trust := range trustSettings {
			t.Run(f.name+"/"+trust.name, func(t *testing.T) { test(t, f, f.newTest(t, trust.tls)) })
		}
	}
}

// requireNoMQTT requires that clients tried to connect, that the server received no MQTT
// packet, and that no secret was sent in plain text.
func requireNoMQTT(t testing.TB, g *recordingServer) {
	t.Helper()
	wire, heard, accepted, _ := g.report()
	require.Empty(t, heard)
	require.Zero(t, accepted)
	require.NotEmpty(t, wire)
	require.Equal(t, byte(22), wire[0], "the first byte is that of a TLS handshake, not of CONNECT")
	for _, secret := range []string{"username-1", "password-1", "payload-1"} {
		require.NotContains(t, wire, secret)
	}
}

// Dial returns the reason. The server receives no MQTT packet.
func TestSecurity_DialRefusesBadServers(t *testing.T) {
	withEachBadServer(t, func(t *testing.T, f badServer, s securityTest) {
		g := startRecordingServer(t, s.bad)
		if !f.temporary { // Dial must return the error although it may retry
			s.options = append(s.options, mqtt.WithConnectRetry())
		}
		_, err := mqtt.Dial(wait.Soon(t), s.servers(g), s.options...)
		var failure *mqtt.ConnectError
		require.ErrorAs(t, err, &failure)
		require.ErrorContains(t, err, f.errorText)
		wait.Until(t, "the refused handshake", g.hasRefused)
		requireNoMQTT(t, g)

		g.replace(s.good) // a client with the same options accepts the right server
		c, err := mqtt.Dial(wait.Soon(t), s.servers(g), s.options...)
		require.NoError(t, err)
		defer closeNow(t, c)
		_, heard, _, _ := g.report()
		require.Contains(t, heard, "password-1")
	})
}

// After a connection loss a bad server replaces the broker. The client keeps trying, and
// sends its queued messages only when the right server has returned.
func TestSecurity_ReconnectRefusesBadServers(t *testing.T) {
	withEachBadServer(t, func(t *testing.T, f badServer, s securityTest) {
		g := startRecordingServer(t, s.good)
		option, changes := watchStates()
		c, err := mqtt.Dial(wait.Soon(t), s.servers(g), append(s.options, option)...)
		require.NoError(t, err)
		defer closeNow(t, c)
		awaitState(t, changes, mqtt.StateConnected)

		g.replace(s.bad)
		awaitFailure(t, changes) // the connection loss
		token := c.PublishAsync(wait.Soon(t), "a", []byte("payload-1"), mqtt.WithQoS(0))
		for attempt := 1; attempt <= 3; attempt++ {
			change := wait.For(t, changes, "a failed attempt")
			require.Equal(t, mqtt.StateConnecting, change.State)
			require.Equal(t, attempt, change.Attempt)
			require.ErrorContains(t, change.Err, f.errorText)
		}
		requireNoMQTT(t, g)
		requirePending(t, token)
		require.NoError(t, c.Err())

		g.replace(s.good)
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		wait.Until(t, "the message", func() bool {
			_, heard, _, _ := g.report()
			return containsAll(heard, "password-1", "payload-1")
		})
	})
}
