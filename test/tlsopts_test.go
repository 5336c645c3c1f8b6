package test

import (
	"crypto/tls"
	"net"
	"os"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// deadlineListener is a TLS listener whose Accept can have a deadline.
type deadlineListener struct {
	*net.TCPListener
	config *tls.Config
}

func (l deadlineListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(conn, l.config), nil
}

// tlsFakeBroker starts a fake broker that uses TLS with this certificate.
func tlsFakeBroker(t testing.TB, cert *broker.Cert, config *tls.Config) *fakebroker.Broker {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	pair.OCSPStaple = config.Certificates[0].OCSPStaple
	config.Certificates = []tls.Certificate{pair}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return fakebroker.On(t, deadlineListener{l, config})
}

// stapling returns a TLS configuration with this OCSP response, which may be nil.
func stapling(answer []byte) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{{OCSPStaple: answer}}}
}

// handshakes does the handshake with one client and sends its result.
func handshakes(t testing.TB, p *fakebroker.Broker) <-chan error {
	t.Helper()
	done, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		done <- p.Accept().Conn.(*tls.Conn).Handshake()
	}()
	t.Cleanup(func() {
		p.Close()
		wait.For(t, gone, "the end of the handshake")
	})
	return done
}

func TestTLS_MinimumVersionIsEnforced(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	for _, test := range []struct {
		floor  string
		broker uint16
		want   string // "" if the connection must fail
	}{
		{"", tls.VersionTLS12, "TLSv1.2"},
		{"", tls.VersionTLS13, "TLSv1.3"},
		{"tlsv1.2", tls.VersionTLS12, "TLSv1.2"},
		{"tlsv1.2", tls.VersionTLS13, "TLSv1.3"}, // the version is a minimum
		{"tlsv1.3", tls.VersionTLS12, ""},
		{"tlsv1.3", tls.VersionTLS13, "TLSv1.3"},
		{"", tls.VersionTLS11, ""},
		{"tlsv1.2", tls.VersionTLS11, ""},
	} {
		t.Run(test.floor+" to "+tls.VersionName(test.broker), func(t *testing.T) {
			config := stapling(nil)
			config.MinVersion, config.MaxVersion = test.broker, test.broker
			p := tlsFakeBroker(t, ca.Issue("broker", "127.0.0.1"), config)
			c, e := trusting(t, ca)
			require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyPeer, test.floor, ""))
			if test.want == "" {
				done := handshakes(t, p)
				requireTLSFailure(t, refused(t, c, e, "127.0.0.1", p.Port))
				require.Error(t, wait.For(t, done, "the handshake"))
				return
			}
			version := make(chan string, 1)
			c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { version <- sslctx.Version(c.SSLGet()) })
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			loop(t, c)
			p.AcceptConnect()
			require.Equal(t, test.want, wait.For(t, version, "OnConnect"))
		})
	}
	c, _ := trusting(t, ca)
	err := c.TLSOptsSet(mosquitto.SSLVerifyPeer, "tlsv1.1", "")
	if has21() {
		require.ErrorIs(t, err, mosquitto.ErrInval)
	} else {
		require.NoError(t, err)
	}
}

func TestTLS_CipherCanBeChosen(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, _ := trusting(t, ca)
	require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyPeer, "", "NO-SUCH-CIPHER"))
	require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS)

	const wanted = "ECDHE-ECDSA-AES256-GCM-SHA384" // not the first choice of client or server
	config := stapling(nil)
	config.MaxVersion = tls.VersionTLS12 // the cipher list is for TLS 1.2
	p := tlsFakeBroker(t, ca.Issue("broker", "127.0.0.1"), config)
	c, _ = trusting(t, ca)
	require.NoError(t, c.TLSOptsSet(mosquitto.SSLVerifyPeer, "", wanted))
	cipher := make(chan string, 1)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { cipher <- sslctx.Cipher(c.SSLGet()) })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	loop(t, c)
	p.AcceptConnect()
	require.Equal(t, wanted, wait.For(t, cipher, "OnConnect"))
}

func TestTLS_ALPNIsNegotiated(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	config := stapling(nil)
	config.NextProtos = []string{"other", "x-amzn-mqtt-ca"}
	p := tlsFakeBroker(t, ca.Issue("broker", "127.0.0.1"), config)
	for _, protocol := range []string{"", "x-amzn-mqtt-ca"} {
		c, e := trusting(t, ca)
		if protocol != "" {
			require.NoError(t, c.StringOption(mosquitto.OptTLSALPN, protocol))
		}
		require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
		loop(t, c)
		state := p.AcceptConnect().Conn.(*tls.Conn).ConnectionState()
		require.Equal(t, protocol, state.NegotiatedProtocol)
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	}
}

// The client sends the host name of the connect as the server name, unless it is an IP
// address.
func TestTLS_ServerNameIsSent(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	p := tlsFakeBroker(t, ca.Issue("broker", "localhost"), stapling(nil))
	c, e := trusting(t, ca)
	require.NoError(t, c.Connect("localhost", p.Port, keepalive))
	loop(t, c)
	require.Equal(t, "localhost", p.AcceptConnect().Conn.(*tls.Conn).ConnectionState().ServerName)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestTLS_OCSPResponseIsRequired(t *testing.T) {
	ca, foreign := broker.NewCA(t, "authority"), broker.NewCA(t, "foreign")
	cert := ca.Issue("broker", "127.0.0.1")
	for _, test := range []struct {
		name   string
		answer []byte
		good   bool
	}{
		{"nothing stapled", nil, false},
		{"garbage stapled", []byte("garbage"), false},
		{"revoked", sslctx.OCSPAnswer(t, ca.File, ca.KeyFile, cert.CertFile, sslctx.Revoked), false},
		{"signed by another CA", sslctx.OCSPAnswer(t, foreign.File, foreign.KeyFile, cert.CertFile, sslctx.Good), false},
		{"good", sslctx.OCSPAnswer(t, ca.File, ca.KeyFile, cert.CertFile, sslctx.Good), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := tlsFakeBroker(t, cert, stapling(test.answer))
			c, e := trusting(t, ca)
			require.NoError(t, c.IntOption(mosquitto.OptTLSOCSPRequired, 1))
			if test.good {
				require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
				loop(t, c)
				p.AcceptConnect()
				require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
				return
			}
			done := handshakes(t, p)
			requireTLSFailure(t, refused(t, c, e, "127.0.0.1", p.Port))
			require.Error(t, wait.For(t, done, "the handshake"))

			require.NoError(t, c.IntOption(mosquitto.OptTLSOCSPRequired, 0))
			p = tlsFakeBroker(t, cert, stapling(test.answer))
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			loop(t, c)
			p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		})
	}
}

// The system's certificates are those of OpenSSL. SSL_CERT_FILE replaces them for a
// whole process.
func TestTLS_OSCertsDoNotIncludeAPrivateCA(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	t.Run("private CA", func(t *testing.T) {
		c, e := newClient(t, "", true)
		require.NoError(t, c.IntOption(mosquitto.OptTLSUseOSCerts, 1))
		distrusted(t, c, e, "localhost", b.Port)
	})
	t.Run("switched off", func(t *testing.T) { // disables TLS
		p := plain(t)
		c, e := newClient(t, "", true)
		require.NoError(t, c.IntOption(mosquitto.OptTLSUseOSCerts, 1))
		require.NoError(t, c.IntOption(mosquitto.OptTLSUseOSCerts, 0))
		accepted(t, c, e, "127.0.0.1", p.Port)
	})
	t.Run("TLSSet adds a CA", func(t *testing.T) {
		c, e := trusting(t, ca)
		require.NoError(t, c.IntOption(mosquitto.OptTLSUseOSCerts, 1))
		accepted(t, c, e, "localhost", b.Port)
	})
}

func TestTLS_OSCertsAreTrusted(t *testing.T) {
	file := os.Getenv("SSL_CERT_FILE")
	if os.Getenv(childVariable) == "" {
		file = broker.NewCA(t, "authority").File
	}
	if !inChild(t, "", "SSL_CERT_FILE="+file, "SSL_CERT_DIR=/nonexistent") {
		return
	}
	cert := broker.SelfSigned(t, "self", "localhost")
	text, err := os.ReadFile(cert.CertFile)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600)) // OpenSSL reads the file at the first connect
	b := broker.Start(t, broker.Config{TLS: cert})
	c, e := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptTLSUseOSCerts, 1))
	accepted(t, c, e, "localhost", b.Port)
	echo(t, c, e)
	require.NoError(t, c.Disconnect())
}

// A library 2.1 that was built without the engine API of OpenSSL returns
// ErrNotSupported. Debian's library has engines.
func TestTLS_EngineOptionsAreChecked(t *testing.T) {
	c, _ := newClient(t, "", true)
	without := c.StringOption(mosquitto.OptTLSKeyform, "pem")
	if without != nil {
		require.True(t, has21())
		require.ErrorIs(t, without, mosquitto.ErrNotSupported)
	}
	const digest = "0123456789abcdef0123456789ABCDEF01234567"
	for _, test := range []struct {
		option mosquitto.Option
		value  string
		want   error
	}{
		{mosquitto.OptTLSKeyform, "pem", nil},
		{mosquitto.OptTLSKeyform, "engine", nil},
		{mosquitto.OptTLSKeyform, "der", mosquitto.ErrInval},
		{mosquitto.OptTLSEngine, "no-such-engine", mosquitto.ErrInval},
		{mosquitto.OptTLSEngineKpassSHA1, digest, nil},
		{mosquitto.OptTLSEngineKpassSHA1, "not hex", mosquitto.ErrInval},
	} {
		err := c.StringOption(test.option, test.value)
		switch {
		case without != nil:
			require.ErrorIs(t, err, mosquitto.ErrNotSupported, "%+v", test)
		case test.want == nil:
			require.NoError(t, err, "%+v", test)
		default:
			require.ErrorIs(t, err, test.want, "%+v", test)
		}
	}
	for _, option := range []mosquitto.Option{mosquitto.OptTLSKeyform, mosquitto.OptTLSEngine, mosquitto.OptTLSEngineKpassSHA1} {
		require.ErrorIs(t, c.StringOption(option, ""), mosquitto.ErrInval) // the library would crash with some of these options
	}
	if without != nil {
		return
	}
	b, ca := tlsBroker(t, "localhost")
	mine := ca.Issue("mine")
	c, _ = newClient(t, "", true)
	require.NoError(t, c.TLSSet(ca.File, "", mine.CertFile, mine.KeyFile, nil))
	require.NoError(t, c.StringOption(mosquitto.OptTLSKeyform, "engine"))
	require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrTLS, "the key is not in an engine")
}

// A server that closes the connection during the handshake may be available later, so
// later library versions retry.
func TestTLS_LossDuringTheHandshakeIsReported(t *testing.T) {
	p := fakebroker.Listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn := p.Accept().Conn
		_, _ = conn.Read(make([]byte, 4096)) // reads the ClientHello
		conn.Close()
	}()
	c, e := trusting(t, broker.NewCA(t, "authority"))
	require.Error(t, failed(t, c, e, "127.0.0.1", p.Port))
	require.NoError(t, c.Close())
	wait.None(t, e.connect, "OnConnect")
	wait.For(t, done, "the fake broker")
}

func TestTLSSet_NamesTheFileThatCannotBeOpened(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	c, _ := newClient(t, "", true)
	for want, files := range map[string][3]string{
		"caFile: /nowhere/ca: no such file or directory":     {"/nowhere/ca", own.CertFile, own.KeyFile},
		"certFile: /nowhere/cert: no such file or directory": {ca.File, "/nowhere/cert", own.KeyFile},
		"keyFile: /nowhere/key: no such file or directory":   {ca.File, own.CertFile, "/nowhere/key"},
		"keyFile: no such file or directory":                 {ca.File, own.CertFile, "/proc/self/fd/99999"},
	} {
		err := c.TLSSet(files[0], "", files[1], files[2], nil)
		require.ErrorIs(t, err, mosquitto.ErrInval)
		require.ErrorContains(t, err, "tls_set: "+want)
		require.NotContains(t, err.Error(), "\n")
	}
}
