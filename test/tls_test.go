package test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// tlsBroker starts a TLS broker with a certificate of a new CA for these names.
func tlsBroker(t testing.TB, hosts ...string) (*broker.Broker, *broker.CA) {
	t.Helper()
	ca := broker.NewCA(t, "authority")
	return broker.Start(t, broker.Config{TLS: ca.Issue("broker", hosts...)}), ca
}

// trusting returns a client that trusts this CA.
func trusting(t testing.TB, ca *broker.CA) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
	return c, e
}

// accepted connects and asserts that the broker accepts.
func accepted(t testing.TB, c *mosquitto.Client, e *events, host string, port int) (ended <-chan error) {
	t.Helper()
	require.NoError(t, c.Connect(host, port, keepalive))
	ended = loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	return ended
}

// refused connects to a server that the client must not accept. It returns the error of
// Connect or LoopForever.
func refused(t testing.TB, c *mosquitto.Client, e *events, host string, port int) error {
	t.Helper()
	err := c.Connect(host, port, keepalive)
	if err == nil {
		err = wait.For(t, loop(t, c), "the end of LoopForever")
	}
	require.Error(t, err)
	wait.None(t, e.connect, "OnConnect")
	return err
}

// failed connects where no connection is possible. It returns the first error of
// Connect, LoopForever or OnDisconnect.
func failed(t testing.TB, c *mosquitto.Client, e *events, host string, port int) (err error) {
	t.Helper()
	if err := c.Connect(host, port, keepalive); err != nil {
		return err
	}
	select {
	case err = <-loop(t, c):
	case d := <-e.disconnect:
		err = d.Err
	case <-time.After(wait.Patience):
		require.FailNow(t, "waited in vain for a failure")
	}
	wait.None(t, e.connect, "OnConnect")
	return err
}

// distrusted is refused for a certificate that the client rejects in the handshake. The
// library 2.0.11 returns ErrTLS without a callback. Later versions call OnDisconnect
// with EPROTO.
func distrusted(t testing.TB, c *mosquitto.Client, e *events, host string, port int) {
	t.Helper()
	err := refused(t, c, e, host, port)
	if !atLeast(2, 0, 15) {
		require.ErrorIs(t, err, mosquitto.ErrTLS)
		wait.None(t, e.disconnect, "OnDisconnect")
		return
	}
	requireTLSFailure(t, err)
	requireTLSFailure(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
}

// requireTLSFailure asserts that the error reports a failed handshake, as the library's
// functions that read or that write report it.
func requireTLSFailure(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, mosquitto.ErrErrno) {
		require.ErrorIs(t, err, syscall.EPROTO)
		return
	}
	require.ErrorIs(t, err, mosquitto.ErrTLS)
}

// echo asserts that the client receives a message that it publishes.
func echo(t testing.TB, c *mosquitto.Client, e *events) {
	t.Helper()
	subscribe(t, c, e, "echo", 1)
	_, err := c.Publish("echo", []byte("hello"), 1, false)
	require.NoError(t, err)
	require.Equal(t, "hello", string(wait.For(t, e.message, "the message").Payload))
}

func TestTLS_CertificateOfTheCAIsAccepted(t *testing.T) {
	b, ca := tlsBroker(t, "localhost", "127.0.0.1")
	other := broker.NewCA(t, "other")
	for _, test := range []struct{ name, file, dir, host string }{
		{"file", ca.File, "", "localhost"},
		{"file, by address", ca.File, "", "127.0.0.1"},
		{"directory", "", sslctx.HashedDir(t, ca.File), "localhost"},
		{"file of another CA and directory", other.File, sslctx.HashedDir(t, ca.File), "localhost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.TLSSet(test.file, test.dir, "", "", nil))
			ended := accepted(t, c, e, test.host, b.Port)
			echo(t, c, e)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
			require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		})
	}
}

func TestTLS_CertificateOfAnotherCAIsRefused(t *testing.T) {
	b, _ := tlsBroker(t, "localhost", "127.0.0.1")
	other := broker.NewCA(t, "authority") // a different CA with the same name
	for _, test := range []struct{ name, file, dir string }{
		{"file", other.File, ""},
		{"directory", "", sslctx.HashedDir(t, other.File)},
		{"empty directory", "", t.TempDir()},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.TLSSet(test.file, test.dir, "", "", nil))
			distrusted(t, c, e, "localhost", b.Port)
			require.NotContains(t, b.Log(), "New client connected")
		})
	}
}

func TestTLS_WrongNameIsRefused(t *testing.T) {
	for _, test := range []struct{ name, cert, host string }{
		{"address for a name", "127.0.0.1", "localhost"},
		{"name for an address", "localhost", "127.0.0.1"},
		{"another name", "elsewhere.example", "localhost"},
		{"another address", "127.0.0.2", "127.0.0.1"},
		{"a wildcard for all", "*", "localhost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, ca := tlsBroker(t, test.cert)
			c, e := trusting(t, ca)
			distrusted(t, c, e, test.host, b.Port)
			require.NotContains(t, b.Log(), "New client connected")

			careless, e := trusting(t, ca)
			require.NoError(t, careless.TLSInsecureSet(true))
			accepted(t, careless, e, test.host, b.Port)

			careful, e := trusting(t, ca)
			require.NoError(t, careful.TLSInsecureSet(true))
			require.NoError(t, careful.TLSInsecureSet(false))
			distrusted(t, careful, e, test.host, b.Port)
		})
	}
}

func TestTLS_InsecureStillChecksTheCA(t *testing.T) {
	b, _ := tlsBroker(t, "localhost")
	c, e := trusting(t, broker.NewCA(t, "other"))
	require.NoError(t, c.TLSInsecureSet(true))
	distrusted(t, c, e, "localhost", b.Port)
}

func TestTLS_VerifyNoneAcceptsEveryCertificate(t *testing.T) {
	b, _ := tlsBroker(t, "elsewhere.example")
	c, e := trusting(t, broker.NewCA(t, "other"))
	require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyNone, "", ""))
	accepted(t, c, e, "localhost", b.Port)
	echo(t, c, e)
}

func TestTLS_BadCertificatesAreRefused(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	now := time.Now()
	for name, cert := range map[string]*broker.Cert{
		"expired":       ca.IssueFor("expired", now.Add(-2*time.Hour), now.Add(-time.Hour), "localhost"),
		"not yet valid": ca.IssueFor("early", now.Add(time.Hour), now.Add(2*time.Hour), "localhost"),
		"self-signed":   broker.SelfSigned(t, "self", "localhost"),
	} {
		t.Run(name, func(t *testing.T) {
			b := broker.Start(t, broker.Config{TLS: cert})
			c, e := trusting(t, ca)
			distrusted(t, c, e, "localhost", b.Port)

			careless, e := trusting(t, ca)
			require.NoError(t, careless.TLSInsecureSet(true))
			distrusted(t, careless, e, "localhost", b.Port)

			blind, e := trusting(t, ca)
			require.NoError(t, blind.TLSOptsSet(mosquitto.SSLVerifyNone, "", ""))
			accepted(t, blind, e, "localhost", b.Port)
		})
	}
}

// A self-signed certificate is accepted if it is itself the trusted certificate.
func TestTLS_SelfSignedCertificateCanBeTheCA(t *testing.T) {
	cert := broker.SelfSigned(t, "self", "localhost")
	b := broker.Start(t, broker.Config{TLS: cert})
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSSet(cert.CertFile, "", "", "", nil))
	accepted(t, c, e, "localhost", b.Port)
}

func TestTLS_PlainBrokerIsRefused(t *testing.T) {
	b := plain(t)
	c, e := trusting(t, broker.NewCA(t, "authority"))
	refused(t, c, e, "127.0.0.1", b.Port)
}

// TLSSet checks its arguments at once. The content of the files is checked at connect.
func TestTLSSet_BadArgumentsReturnErrors(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	mine := ca.Issue("mine")
	c, e := newClient(t, "", true)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, err := range map[string]error{
		"no CA":                  c.TLSSet("", "", "", "", nil),
		"certificate alone":      c.TLSSet(ca.File, "", mine.CertFile, "", nil),
		"key alone":              c.TLSSet(ca.File, "", "", mine.KeyFile, nil),
		"missing CA":             c.TLSSet(missing, "", "", "", nil),
		"missing certificate":    c.TLSSet(ca.File, "", missing, mine.KeyFile, nil),
		"missing key":            c.TLSSet(ca.File, "", mine.CertFile, missing, nil),
		"NUL":                    c.TLSSet(ca.File+"\x00", "", "", "", nil),
		"verify of 2":            c.TLSOptsSet(2, "", ""),
		"verify below 0":         c.TLSOptsSet(-1, "", ""),
		"unknown version":        c.TLSOptsSet(mosquitto.SSLVerifyPeer, "tlsv1.4", ""),
		"version in capitals":    c.TLSOptsSet(mosquitto.SSLVerifyPeer, "TLSv1.2", ""),
		"NUL in the ciphers":     c.TLSOptsSet(mosquitto.SSLVerifyPeer, "", "A\x00"),
		"certificate without CA": c.TLSSet("", "", mine.CertFile, mine.KeyFile, nil),
		"certificate, but no CA": c.TLSSet("", "", mine.CertFile, mine.KeyFile, nil),
	} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
	}
	require.Nil(t, c.SSLGet())

	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	require.NoError(t, os.WriteFile(garbage, []byte("garbage"), 0o600))
	for name, files := range map[string][3]string{
		"CA":          {garbage, "", ""},
		"certificate": {ca.File, garbage, mine.KeyFile},
		"key":         {ca.File, mine.CertFile, garbage},
		"other key":   {ca.File, mine.CertFile, ca.Issue("other").KeyFile},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.TLSSet(files[0], "", files[1], files[2], nil))
			require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS)
			require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS, "again")
			require.Equal(t, -1, c.Socket())
			wait.None(t, e.connect, "OnConnect")
		})
	}
	wait.None(t, e.connect, "OnConnect")
}

func TestSSLGet_ReturnsTheCurrentSSL(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyPeer, "tlsv1.3", ""))
	versions := make(chan string, 1)
	c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) { versions <- sslctx.Version(c.SSLGet()) })
	require.Nil(t, c.SSLGet())
	accepted(t, c, e, "localhost", b.Port)
	subscribe(t, c, e, "a", 0)
	_, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	require.Equal(t, "TLSv1.3", wait.For(t, versions, "the version"))
	require.NoError(t, c.Disconnect())
	wait.For(t, e.disconnect, "OnDisconnect")
	require.Nil(t, c.SSLGet())
	require.NoError(t, c.Close())
	require.Nil(t, c.SSLGet())

	p := plain(t)
	c, e = newClient(t, "", true)
	got := make(chan bool, 1)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { got <- c.SSLGet() != nil })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	loop(t, c)
	require.False(t, wait.For(t, got, "OnConnect"))
	wait.None(t, e.disconnect, "OnDisconnect")
}
