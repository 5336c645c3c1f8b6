package test

import (
	"errors"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// wantsClientCert starts a broker that accepts only clients with a certificate of its
// CA.
func wantsClientCert(t testing.TB) (*broker.Broker, *broker.CA) {
	t.Helper()
	ca := broker.NewCA(t, "authority")
	return broker.Start(t, broker.Config{TLS: ca.Issue("broker", "localhost"), ClientCA: ca.File}), ca
}

func TestTLS_ClientCertificateIsAccepted(t *testing.T) {
	b, ca := wantsClientCert(t)
	mine := ca.Issue("mine")
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, mine.KeyFile, nil))
	ended := accepted(t, c, e, "localhost", b.Port)
	echo(t, c, e)
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
}

// With TLS 1.3 the client receives the refusal after its own part of the handshake. The
// error depends on how much of the handshake was sent by then.
func TestTLS_RefusedClientCertificateIsReported(t *testing.T) {
	b, ca := wantsClientCert(t)
	foreign := broker.NewCA(t, "authority").Issue("mine")
	now := time.Now()
	expired := ca.IssueFor("late", now.Add(-2*time.Hour), now.Add(-time.Hour))
	for name, cert := range map[string]*broker.Cert{
		"missing": {}, "of another CA": foreign, "expired": expired,
	} {
		for _, version := range []string{"", "tlsv1.3"} {
			t.Run(name+" "+version, func(t *testing.T) {
				c, e := newClient(t, "", true)
				require.NoError(t, c.TLSSet(ca.File, "", cert.CertFile, cert.KeyFile, nil))
				require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyPeer, version, ""))
				err := failed(t, c, e, "localhost", b.Port)
				require.Error(t, err)
				require.NoError(t, c.Close())
				wait.None(t, e.connect, "OnConnect")
				require.NotContains(t, b.Log(), "New client connected")
			})
		}
	}
}

// withEncryptedKey returns a client whose key has the password "secret".
func withEncryptedKey(t testing.TB, ca *broker.CA, password func(*mosquitto.Client) (string, error)) (*mosquitto.Client, *events) {
	t.Helper()
	mine := ca.Issue("mine")
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, ca.Encrypt(mine.KeyFile, "secret"), password))
	return c, e
}

func TestTLSKeyPassword_CallbackRunsAtEachConnect(t *testing.T) {
	b, ca := wantsClientCert(t)
	asked := make(chan *mosquitto.Client, 10)
	c, e := withEncryptedKey(t, ca, func(c *mosquitto.Client) (string, error) {
		asked <- c
		return "secret", nil
	})
	wait.None(t, asked, "password callback")
	accepted(t, c, e, "localhost", b.Port)
	require.Same(t, c, wait.For(t, asked, "the password callback"))
	echo(t, c, e)

	b.Restart() // the key is read again for the next connection
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, e.connect, "OnConnect after the restart").Err())
	require.Same(t, c, wait.For(t, asked, "the second password callback"))
}

func TestTLSKeyPassword_WrongOneReturnsErrTLS(t *testing.T) {
	b, ca := wantsClientCert(t)
	for name, password := range map[string]func(*mosquitto.Client) (string, error){
		"wrong":    func(*mosquitto.Client) (string, error) { return "wrong", nil },
		"empty":    func(*mosquitto.Client) (string, error) { return "", nil },
		"error":    func(*mosquitto.Client) (string, error) { return "secret", errors.New("no") },
		"too long": func(*mosquitto.Client) (string, error) { return "secret" + string(make([]byte, 5000)), nil },
		"nil":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withEncryptedKey(t, ca, password)
			require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS)
			require.Equal(t, -1, c.Socket())
			wait.None(t, e.connect, "OnConnect")
			wait.None(t, e.disconnect, "OnDisconnect")
			require.NotContains(t, b.Log(), "New client connected")
		})
	}
}

func TestTLSKeyPassword_CallbackCanBeRemoved(t *testing.T) {
	b, ca := wantsClientCert(t)
	mine := ca.Issue("mine")
	c, e := newClient(t, "", true)
	key := ca.Encrypt(mine.KeyFile, "secret")
	right := func(*mosquitto.Client) (string, error) { return "secret", nil }
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, key, right))
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, key, nil))
	require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS)
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, key, right))
	accepted(t, c, e, "localhost", b.Port)
}

// OpenSSL asks on the terminal or on standard input if it may. There it would find the
// correct password.
func TestTLSKeyPassword_IsNotReadFromTheTerminal(t *testing.T) {
	if !inChild(t, "secret\nsecret\n") {
		return
	}
	b, ca := wantsClientCert(t)
	c, e := withEncryptedKey(t, ca, nil)
	require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS)
	wait.None(t, e.connect, "OnConnect")
}
