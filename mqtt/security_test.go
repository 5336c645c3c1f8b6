//go:build cgo

package mqtt_test

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/sslctx"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// forgery is a server that is not the broker which the client has in mind, or that
// offers it less than it demands.
type forgery struct {
	name    string
	host    string                          // of the broker, "localhost" if empty
	cert    func(authorities) shown         // what is shown instead of a good certificate
	server  func(*tls.Config) *tls.Config   // how the server differs otherwise
	client  func(*mqtt.TLS)                 // what the client demands
	stapled bool                            // the client demands an OCSP answer
	staple  func(authorities, shown) []byte // what it gets about a good certificate
	mends   bool                            // a retry may help: Dial goes on until its context ends
	says    string                          // a part of the error
}

// shown is a certificate that a server has.
type shown = *broker.Cert

// authorities are the one that a client trusts, and another one of the same name.
type authorities struct {
	t           testing.TB
	good, other *broker.CA
}

const badCertificate = "certificate verify failed"

var forgeries = []forgery{
	{name: "wrong CA", says: badCertificate,
		cert: func(ca authorities) shown { return ca.other.Issue("forged", "localhost") }},
	{name: "wrong host name", says: badCertificate,
		cert: func(ca authorities) shown { return ca.good.Issue("elsewhere", "elsewhere.example", "127.0.0.1") }},
	{name: "wrong IP address", host: "127.0.0.1", says: badCertificate,
		cert: func(ca authorities) shown { return ca.good.Issue("elsewhere", "127.0.0.2", "localhost") }},
	{name: "an IP address as a name", host: "127.0.0.1", says: badCertificate,
		cert: func(ca authorities) shown { return ca.good.Issue("127.0.0.1", "localhost") }},
	{name: "expired", says: badCertificate,
		cert: func(ca authorities) shown {
			return ca.good.IssueFor("late", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), "localhost")
		}},
	{name: "not yet valid", says: badCertificate,
		cert: func(ca authorities) shown {
			return ca.good.IssueFor("early", time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), "localhost")
		}},
	{name: "self-signed", says: badCertificate,
		cert: func(ca authorities) shown { return broker.SelfSigned(ca.t, "self", "localhost") }},
	{name: "a client's certificate", says: badCertificate,
		cert: func(ca authorities) shown { return ca.good.IssueForClient("client", "localhost") }},
	{name: "TLS 1.1 alone", says: "alert protocol version",
		server: func(c *tls.Config) *tls.Config {
			c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			return c
		}},
	{name: "TLS 1.2 for a client of 1.3", says: "alert protocol version",
		server: func(c *tls.Config) *tls.Config { c.MaxVersion = tls.VersionTLS12; return c },
		client: func(c *mqtt.TLS) { c.MinVersion = "tlsv1.3" }},
	{name: "TLS 1.1 for a client of 1.2", says: "alert protocol version",
		server: func(c *tls.Config) *tls.Config {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return c
		},
		client: func(c *mqtt.TLS) { c.MinVersion = "tlsv1.2" }},
	{name: "other ciphers", says: "alert handshake failure", mends: true,
		server: func(c *tls.Config) *tls.Config {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			return c
		},
		client: func(c *mqtt.TLS) { c.Ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384" }},
	{name: "no TLS", says: "unexpected eof", mends: true,
		server: func(*tls.Config) *tls.Config { return nil }},
	{name: "revoked", stapled: true, mends: true, says: "invalid status response",
		staple: func(ca authorities, cert shown) []byte { return answer(ca.t, ca.good, cert, sslctx.Revoked) }},
	{name: "vouched for by another CA", stapled: true, mends: true, says: "invalid status response",
		staple: func(ca authorities, cert shown) []byte { return answer(ca.t, ca.other, cert, sslctx.Good) }},
	{name: "not vouched for", stapled: true, mends: true, says: "invalid status response",
		staple: func(authorities, shown) []byte { return nil }},
}

// answer is that of an authority about a certificate.
func answer(t testing.TB, ca *broker.CA, cert shown, status int) []byte {
	return sslctx.OCSPAnswer(t, ca.File, ca.KeyFile, cert.CertFile, status)
}

// ways are those in which a client is told whom to trust.
var ways = []struct {
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

// scene is a forgery, the broker that it pretends to be, and a client's settings.
type scene struct {
	good, bad *tls.Config
	server    string
	options   []mqtt.Option
}

func (f forgery) scene(t *testing.T, known func(*testing.T, *broker.CA, string) (string, mqtt.TLS)) (s scene) {
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
	s.good, s.bad = showing(t, genuine), showing(t, forged)
	var settings mqtt.TLS
	s.server, settings = known(t, ca.good, host)
	if f.client != nil {
		f.client(&settings)
	}
	s.options = []mqtt.Option{fast(), mqtt.WithTLS(settings), mqtt.WithCredentials("username-1", "password-1"), mqtt.WithBindAddress("127.0.0.1")}
	if f.stapled {
		s.good.Certificates[0].OCSPStaple = answer(t, ca.good, genuine, sslctx.Good)
		s.bad.Certificates[0].OCSPStaple = f.staple(ca, genuine)
		s.options = append(s.options, mqtt.WithLibrarySetup(func(m *mosquitto.Client) error { return m.IntOption(mosquitto.OptTLSOCSPRequired, 1) }))
	}
	if f.server != nil {
		s.bad = f.server(s.bad)
	}
	return s
}

func (s scene) servers(g *guard) []string {
	return []string{fmt.Sprintf("mqtts://%s:%d", s.server, g.Port)}
}

// everyForgery runs a test for each forgery and each way to tell whom to trust.
func everyForgery(t *testing.T, test func(t *testing.T, f forgery, s scene)) {
	t.Parallel()
	for _, f := range forgeries {
		for _, way := range ways {
			t.Run(f.name+"/"+way.name, func(t *testing.T) { test(t, f, f.scene(t, way.tls)) })
		}
	}
}

// heardNothing asserts that a server which some clients have tried got no MQTT, and
// no secret in the clear.
func heardNothing(t testing.TB, g *guard) {
	t.Helper()
	wire, heard, accepted, _ := g.report()
	require.Empty(t, heard)
	require.Zero(t, accepted)
	require.NotEmpty(t, wire)
	require.Equal(t, byte(22), wire[0], "a handshake of TLS, and not CONNECT")
	for _, secret := range []string{"username-1", "password-1", "payload-1"} {
		require.NotContains(t, wire, secret)
	}
}

// A first connection that must not come about does not: Dial says why, and the
// server has heard nothing of MQTT.
func TestSecurityFirstConnection(t *testing.T) {
	everyForgery(t, func(t *testing.T, f forgery, s scene) {
		g := watch(t, s.bad)
		if !f.mends { // no retry would help: Dial does not wait for the end of its context
			s.options = append(s.options, mqtt.WithConnectRetry())
		}
		_, err := mqtt.Dial(wait.Soon(t), s.servers(g), s.options...)
		var failure *mqtt.ConnectError
		require.ErrorAs(t, err, &failure)
		require.ErrorContains(t, err, f.says)
		wait.Until(t, "the server's part", g.over)
		heardNothing(t, g)

		g.become(s.good) // the same client connects to the right one
		c, err := mqtt.Dial(wait.Soon(t), s.servers(g), s.options...)
		require.NoError(t, err)
		defer shut(t, c)
		_, heard, _, _ := g.report()
		require.Contains(t, heard, "password-1")
	})
}

// A client that was connected, and meets a forgery in the broker's place, goes on
// trying. It is connected when the broker is back, and sends then what it was given
// meanwhile.
func TestSecurityReconnect(t *testing.T) {
	everyForgery(t, func(t *testing.T, f forgery, s scene) {
		g := watch(t, s.good)
		option, changes := states()
		c, err := mqtt.Dial(wait.Soon(t), s.servers(g), append(s.options, option)...)
		require.NoError(t, err)
		defer shut(t, c)
		awaitState(t, changes, mqtt.StateConnected)

		g.become(s.bad)
		awaitFailure(t, changes) // the loss
		token := c.PublishAsync(wait.Soon(t), "a", []byte("payload-1"), mqtt.WithQoS(0))
		for attempt := 1; attempt <= 3; attempt++ {
			change := wait.For(t, changes, "a failed attempt")
			require.Equal(t, mqtt.StateConnecting, change.State)
			require.Equal(t, attempt, change.Attempt)
			require.ErrorContains(t, change.Err, f.says)
		}
		heardNothing(t, g)
		pending(t, token)
		require.NoError(t, c.Err())

		g.become(s.good)
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		wait.Until(t, "the message", func() bool {
			_, heard, _, _ := g.report()
			return containsAll(heard, "password-1", "payload-1")
		})
	})
}
