package test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// withTLS makes a client with TLS settings.
func withTLS(t testing.TB, settings mosquitto.TLS) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, "", true)
	require.NoError(t, c.SetTLS(settings))
	return c, e
}

func TestSetTLS_ServerName(t *testing.T) {
	b, ca := tlsBroker(t, "broker.internal", "10.1.2.3")
	for name, settings := range map[string]mosquitto.TLS{
		"name":               {ServerName: "broker.internal", CAFile: ca.File},
		"address":            {ServerName: "10.1.2.3", CAFile: ca.File},
		"directory":          {ServerName: "broker.internal", CAPath: sslctx.HashedDir(t, ca.File)},
		"only TLS 1.3":       {ServerName: "broker.internal", CAFile: ca.File, MinVersion: "tlsv1.3"},
		"no name is checked": {CAFile: ca.File, InsecureSkipHostname: true},
		"nothing is checked": {InsecureSkipVerify: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withTLS(t, settings)
			accepted(t, c, e, "127.0.0.1", b.Port)
			echo(t, c, e)
		})
	}
	for name, settings := range map[string]mosquitto.TLS{
		"another name":    {ServerName: "127.0.0.1", CAFile: ca.File},
		"part of a name":  {ServerName: "internal", CAFile: ca.File},
		"another address": {ServerName: "10.1.2.4", CAFile: ca.File},
		"the host":        {CAFile: ca.File},
		"another CA":      {ServerName: "broker.internal", CAFile: broker.NewCA(t, "other").File},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withTLS(t, settings)
			distrusted(t, c, e, "127.0.0.1", b.Port)
		})
	}
}

// The client reconnects with it, under Run.
func TestSetTLS_Reconnects(t *testing.T) {
	b, ca := tlsBroker(t, "broker.internal")
	c, e := withTLS(t, mosquitto.TLS{ServerName: "broker.internal", CAFile: ca.File})
	connectRun(t, c, e, b.Port)
	for range 3 {
		b.Restart()
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		echo(t, c, e)
	}
}

// The error says why the client does not accept the broker's certificate.
func TestSetTLS_ErrorSaysWhatIsWrongWithTheCertificate(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "another authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	named := broker.Start(t, broker.Config{TLS: ca.Issue("elsewhere", "broker.internal")})
	now := time.Now()
	late := broker.Start(t, broker.Config{TLS: ca.IssueFor("late", now.Add(-2*time.Hour), now.Add(-time.Hour), "127.0.0.1")})
	for _, x := range []struct {
		name, reason string
		port         int
		tls          mosquitto.TLS
	}{
		{"unknown CA", "broker's certificate: unable to get local issuer certificate", b.Port, mosquitto.TLS{CAFile: other.File}},
		{"wrong name", "broker's certificate: hostname mismatch", b.Port, mosquitto.TLS{CAFile: ca.File, ServerName: "broker.internal"}},
		{"wrong address", "broker's certificate: IP address mismatch", named.Port, mosquitto.TLS{CAFile: ca.File}},
		{"expired", "broker's certificate: certificate has expired", late.Port, mosquitto.TLS{CAFile: ca.File}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, e := withTLS(t, x.tls)
			err := c.Connect("127.0.0.1", x.port, keepalive)
			if err == nil { // the handshake needs more input
				err = c.RunOnce(t.Context())
			}
			var failure *mosquitto.OpError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, x.reason, failure.Detail)
			requireTLSFailure(t, err)

			err = failed(t, c, e, "127.0.0.1", x.port)
			require.ErrorAs(t, err, &failure)
			require.Equal(t, x.reason, failure.Detail, "with LoopForever")
		})
	}
}

// The error belongs to the connection: calls of other clients inside its callbacks neither report
// the reason nor take it away.
func TestSetTLS_CallbackDoesNotTakeTheReasonAway(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "another authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	c, _ := withTLS(t, mosquitto.TLS{CAFile: other.File})
	bystander, _ := newClient(t, "", true)
	failures := make(chan error, 100)
	c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) { failures <- bystander.Disconnect() })
	err := c.Connect("127.0.0.1", b.Port, keepalive)
	if err == nil {
		err = c.RunOnce(t.Context())
	}
	var failure *mosquitto.OpError
	require.ErrorAs(t, err, &failure)
	require.Contains(t, failure.Detail, "broker's certificate")
	require.NotEmpty(t, failures)
	for len(failures) > 0 {
		require.ErrorAs(t, <-failures, &failure)
		require.Empty(t, failure.Detail)
	}
}

func TestSetTLS_ClientCertificate(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "broker.internal"), ClientCA: ca.File})
	own := ca.Issue("client")
	for name, key := range map[string][2]string{"plain": {own.KeyFile}, "encrypted": {ca.Encrypt(own.KeyFile, "secret"), "secret"}} {
		t.Run(name, func(t *testing.T) {
			c, e := withTLS(t, mosquitto.TLS{
				ServerName: "broker.internal", CAFile: ca.File, CertFile: own.CertFile, KeyFile: key[0], KeyPassword: password(key[1]),
			})
			accepted(t, c, e, "127.0.0.1", b.Port)
		})
	}
}

// The ClientHello contains the name and the protocol.
func TestSetTLS_AsksForNameAndProtocol(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	cert := ca.Issue("broker", "broker.internal")
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	hellos := make(chan *tls.ClientHelloInfo, 10)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		NextProtos: []string{"mqtt"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			hellos <- hello
			return &pair, nil
		},
	})
	require.NoError(t, err)
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*tls.Conn).Handshake()
		conn.Close()
	}()
	c, _ := withTLS(t, mosquitto.TLS{ServerName: "broker.internal", CAFile: ca.File, ALPN: []string{"mqtt", "other"}})
	require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port, keepalive, "", nil))
	require.Error(t, c.RunOnce(t.Context()))
	hello := wait.For(t, hellos, "a ClientHello")
	require.Equal(t, "broker.internal", hello.ServerName)
	require.Equal(t, []string{"mqtt", "other"}, hello.SupportedProtos)
	wait.For(t, ended, "the end of the server")
}

// read returns the content of a file.
func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

// password returns the password of a key.
func password(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

func TestSetTLS_BadSettingsNameTheirField(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	c, _ := newClient(t, "", true)
	for field, settings := range map[string]mosquitto.TLS{
		"TLS.CAFile, TLS.CA: ":        {CAFile: ca.File, CA: read(t, ca.File)},
		"TLS.CertFile, TLS.Cert: ":    {CertFile: own.CertFile, Cert: read(t, own.CertFile), KeyFile: own.KeyFile},
		"TLS.KeyFile, TLS.Key: ":      {CertFile: own.CertFile, KeyFile: own.KeyFile, Key: read(t, own.KeyFile)},
		"TLS.Cert, TLS.Key: ":         {CAFile: ca.File, CertFile: own.CertFile},
		"TLS.MinVersion: ":            {CAFile: ca.File, MinVersion: "ssl3"},
		"TLS.MinVersion: a PSK":       {PSK: "00", PSKIdentity: "device", MinVersion: "tlsv1.3"},
		"TLS.ServerName: contains":    {CAFile: ca.File, ServerName: "a\x00b"},
		"TLS.ServerName: the":         {ServerName: "a", InsecureSkipHostname: true},
		"TLS.ALPN: ":                  {CAFile: ca.File, ALPN: []string{string(make([]byte, 300))}},
		"TLS.PSK, TLS.PSKIdentity: ":  {PSK: "00"},
		"TLS.PSK: set":                {PSK: "00", PSKIdentity: "device", CAFile: ca.File},
		"TLS.PSK: not":                {PSK: "xyz", PSKIdentity: "device"},
		"TLS.Certificate: no cert":    {Certificate: &tls.Certificate{}},
		"TLS.Certificate: no private": {Certificate: &tls.Certificate{Certificate: [][]byte{{1}}}},
		"TLS.Certificate: the":        {Certificate: &tls.Certificate{}, CertFile: own.CertFile, KeyFile: own.KeyFile},
	} {
		err := c.SetTLS(settings)
		require.ErrorIs(t, err, mosquitto.ErrInval, field)
		require.ErrorContains(t, err, field)
	}
	require.False(t, c.HasTLS())
}

func TestSetTLS_RefusalsOfOpenSSLNameTheirField(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	own, other := ca.Issue("client"), ca.Issue("other")
	encrypted := ca.Encrypt(own.KeyFile, "secret")
	mixed := append(read(t, ca.File), "-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n"...)
	c, _ := newClient(t, "", true)
	for field, settings := range map[string]mosquitto.TLS{
		"TLS.KeyFile: " + encrypted + ": ":                            {CAFile: ca.File, CertFile: own.CertFile, KeyFile: encrypted, KeyPassword: password("bad password")},
		"TLS.KeyFile: " + encrypted + ": bad":                         {CAFile: ca.File, CertFile: own.CertFile, KeyFile: encrypted}, // and OpenSSL does not ask on the terminal
		"TLS.Key: ":                                                   {CAFile: ca.File, Cert: read(t, own.CertFile), Key: read(t, other.KeyFile)},
		"TLS.Key: no key in PEM form":                                 {Cert: read(t, own.CertFile), Key: read(t, own.CertFile)},
		"TLS.Cert: no certificate in PEM form":                        {Cert: []byte("no PEM"), Key: read(t, own.KeyFile)},
		"TLS.Certificate: ":                                           {Certificate: &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: ed25519.PrivateKey(make([]byte, 64))}},
		"TLS.Ciphers: no cipher match":                                {CAFile: ca.File, Ciphers: "none"},
		"TLS.CA: no certificate in PEM form":                          {CA: []byte("no PEM")},
		"TLS.CA: ":                                                    {CA: mixed},
		"TLS.CAFile: " + own.KeyFile + ": no certificate in PEM form": {CAFile: own.KeyFile},
	} {
		err := c.SetTLS(settings)
		require.ErrorIs(t, err, mosquitto.ErrTLS, field)
		require.ErrorContains(t, err, field)
		require.NotContains(t, err.Error(), "bad password")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestSetTLS_MissingFilesNameTheirField(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	c, _ := newClient(t, "", true)
	for field, settings := range map[string]mosquitto.TLS{
		"TLS.CAFile: /nowhere: no such file or directory":   {CAFile: "/nowhere"},
		"TLS.CAPath: /nowhere: no such file or directory":   {CAPath: "/nowhere"},
		"TLS.CertFile: /nowhere: no such file or directory": {CAFile: ca.File, CertFile: "/nowhere", KeyFile: own.KeyFile},
		"TLS.KeyFile: /nowhere: no such file or directory":  {CAFile: ca.File, CertFile: own.CertFile, KeyFile: "/nowhere"},
	} {
		err := c.SetTLS(settings)
		require.ErrorIs(t, err, fs.ErrNotExist, field)
		require.ErrorContains(t, err, field)
	}
	require.ErrorContains(t, c.SetTLS(mosquitto.TLS{CAPath: ca.File}), "TLS.CAPath: "+ca.File+": not a directory")
	stop := errors.New("no password today")
	err := c.SetTLS(mosquitto.TLS{CertFile: own.CertFile, KeyFile: ca.Encrypt(own.KeyFile, "secret"), KeyPassword: func() (string, error) { return "", stop }})
	require.ErrorIs(t, err, stop)
	require.ErrorContains(t, err, "TLS.KeyPassword: no password today")
}

// hardwareKey is a key that can sign and that cannot be read.
type hardwareKey struct{ crypto.Signer }

func TestSetTLS_Certificate(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "broker.internal"), ClientCA: ca.File})
	own := ca.Issue("client")
	pair, err := tls.LoadX509KeyPair(own.CertFile, own.KeyFile)
	require.NoError(t, err)
	c, e := withTLS(t, mosquitto.TLS{ServerName: "broker.internal", CAFile: ca.File, Certificate: &pair})
	accepted(t, c, e, "127.0.0.1", b.Port)

	pair.PrivateKey = hardwareKey{pair.PrivateKey.(crypto.Signer)}
	err = c.SetTLS(mosquitto.TLS{Certificate: &pair})
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.ErrorContains(t, err, "TLS.Certificate: ")
	require.ErrorContains(t, err, "WithTLSConfig")
}

func TestSetTLS_PSK(t *testing.T) {
	b := pskBroker(t)
	for name, settings := range map[string]mosquitto.TLS{
		"PSK": {PSK: pskKey, PSKIdentity: "device"}, "odd number of digits": {PSK: pskKey[1:], PSKIdentity: "device"},
		"ciphers": {PSK: pskKey, PSKIdentity: "device", Ciphers: "PSK-AES128-CBC-SHA256"},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withTLS(t, settings)
			accepted(t, c, e, "127.0.0.1", b.Port)
			echo(t, c, e)
		})
	}
	for name, settings := range map[string]mosquitto.TLS{
		"wrong key": {PSK: pskOtherKey, PSKIdentity: "device"}, "unknown identity": {PSK: pskKey, PSKIdentity: "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withTLS(t, settings)
			requireTLSFailure(t, failed(t, c, e, "127.0.0.1", b.Port))
		})
	}
}

// A broker with a certificate instead of the key is refused, by every version of the
// library and with all ciphers.
func TestSetTLS_PSKRefusesABrokerWithACertificate(t *testing.T) {
	b, _ := tlsBroker(t, "localhost")
	for _, ciphers := range []string{"", "DEFAULT"} {
		c, e := withTLS(t, mosquitto.TLS{PSK: pskKey, PSKIdentity: "device", Ciphers: ciphers})
		requireTLSFailure(t, refused(t, c, e, "localhost", b.Port))
	}
}

// Settings replace earlier settings: the client trusts only the authorities of the last
// call, and shows only its certificate.
func TestSetTLS_ReplacesEarlierSettings(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "other")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	t.Setenv("SSL_CERT_FILE", other.File)
	own := ca.Issue("client")
	good := mosquitto.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile}
	c, _ := newClient(t, "", true)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { _ = c.Disconnect() })
	connectOnce := func(settings mosquitto.TLS) error {
		require.NoError(t, c.SetTLS(settings))
		if err := c.ConnectAsyncContext(wait.Soon(t), "127.0.0.1", b.Port, keepalive, "", nil); err != nil {
			return err
		}
		return c.RunOnce(wait.Soon(t))
	}
	require.NoError(t, c.TLSSet(other.File, "", "", "", nil), "SetTLS replaces it")
	for name, settings := range map[string]mosquitto.TLS{
		"another CA": {CAFile: other.File, CertFile: own.CertFile, KeyFile: own.KeyFile}, "no certificate": {CAFile: ca.File},
		"the system's CA": {CertFile: own.CertFile, KeyFile: own.KeyFile}, "PSK": {PSK: pskKey, PSKIdentity: "device"},
	} {
		require.NoError(t, connectOnce(good), name)
		require.Error(t, connectOnce(settings), name)
	}
	require.NoError(t, connectOnce(good))
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.SetTLS(good), mosquitto.ErrClosed)
}

// The settings are the same in each call. The contents of the file count.
func TestSetTLS_ReadsTheFilesAgain(t *testing.T) {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "other")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	settings := mosquitto.TLS{CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	c, _ := newClient(t, "", true)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { _ = c.Disconnect() })
	for range 3 {
		for _, file := range []struct {
			of       *broker.CA
			accepted bool
		}{{ca, true}, {ca, true}, {other, false}, {other, false}} {
			require.NoError(t, os.WriteFile(settings.CAFile, read(t, file.of.File), 0o600))
			require.NoError(t, c.SetTLS(settings))
			err := c.ConnectAsyncContext(wait.Soon(t), "127.0.0.1", b.Port, keepalive, "", nil)
			if err == nil { // otherwise the handshake has failed already
				err = c.RunOnce(wait.Soon(t))
			}
			require.Equal(t, file.accepted, err == nil)
		}
	}
	require.NoError(t, os.Remove(settings.CAFile))
	require.ErrorIs(t, c.SetTLS(settings), os.ErrNotExist)
}

func TestSetTLS_ReplacesADirectory(t *testing.T) {
	b, ca := tlsBroker(t, "127.0.0.1")
	settings := mosquitto.TLS{CAFile: broker.NewCA(t, "other").File, CAPath: sslctx.HashedDir(t, ca.File)}
	c, e := withTLS(t, settings)
	settings.CAPath = ""
	require.NoError(t, c.SetTLS(settings))
	distrusted(t, c, e, "127.0.0.1", b.Port)
}

// Settings of the library that would have no effect are refused.
func TestSetTLS_RefusesOtherTLSSettings(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	c, _ := withTLS(t, mosquitto.TLS{CAFile: ca.File})
	for name, set := range map[string]func() error{
		"TLSSet":     func() error { return c.TLSSet(ca.File, "", "", "", nil) },
		"TLSOptsSet": func() error { return c.TLSOptsSet(mosquitto.SSLVerifyPeer, "", "") },
		"TLSPSKSet":  func() error { return c.TLSPSKSet(pskKey, "device", "") }, "TLSInsecureSet": func() error { return c.TLSInsecureSet(true) },
		"OptTLSALPN":       func() error { return c.StringOption(mosquitto.OptTLSALPN, "mqtt") },
		"OptTLSUseOSCerts": func() error { return c.IntOption(mosquitto.OptTLSUseOSCerts, 1) },
	} {
		require.ErrorIs(t, set(), mosquitto.ErrInval, name)
		require.ErrorContains(t, set(), "SetTLS has been called", name)
	}
	require.NoError(t, c.IntOption(mosquitto.OptTLSOCSPRequired, 1))
	require.NoError(t, c.VoidOption(mosquitto.OptSSLCtx, sslctx.New(t, ca.File)), "another context replaces the settings")
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
	require.NoError(t, c.SetTLS(mosquitto.TLS{CAFile: ca.File}))
	require.NoError(t, c.Reinitialise("", true, nil))
	require.False(t, c.HasTLS())
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
}

// A call that fails leaves the earlier settings in force.
func TestSetTLS_FailedCallKeepsTheSettings(t *testing.T) {
	b, ca := tlsBroker(t, "127.0.0.1")
	c, e := withTLS(t, mosquitto.TLS{CAFile: ca.File})
	require.Error(t, c.SetTLS(mosquitto.TLS{CAFile: "/nowhere"}))
	leave(t, c, e, accepted(t, c, e, "127.0.0.1", b.Port))
}

// Clients with the same settings share memory. A change or the end of one client does not
// affect the others.
func TestSetTLS_ClientsWithTheSameSettingsAreIndependent(t *testing.T) {
	b, ca := tlsBroker(t, "127.0.0.1")
	settings := mosquitto.TLS{CAFile: ca.File}
	first, _ := withTLS(t, settings)
	changed, e := withTLS(t, settings)
	require.NoError(t, first.Close())
	require.NoError(t, changed.SetTLS(mosquitto.TLS{CAFile: broker.NewCA(t, "other").File}))
	distrusted(t, changed, e, "127.0.0.1", b.Port)
	require.NoError(t, changed.Close())
	for range 2 {
		c, e := withTLS(t, settings)
		leave(t, c, e, accepted(t, c, e, "127.0.0.1", b.Port))
	}
}

// residentBytes returns the memory of the process.
func residentBytes(t testing.TB) int {
	t.Helper()
	fields := strings.Fields(string(read(t, "/proc/self/statm")))
	pages, err := strconv.Atoi(fields[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// Each call frees the settings of the previous call, and Close frees the last settings.
func TestSetTLS_FreesEarlierSettings(t *testing.T) {
	const calls = 1000 // a context has 14 KB at least
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	settings := mosquitto.TLS{
		CA: bytes.Repeat(read(t, ca.File), 3), Cert: read(t, own.CertFile), Key: read(t, own.KeyFile), ServerName: "name", ALPN: []string{"mqtt"}, Ciphers: "DEFAULT",
	}
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "name")})
	for name, use := range map[string]func(){
		"calls": func() {
			c, _ := newClient(t, "", true)
			for i := range calls {
				changed := settings
				changed.ServerName = fmt.Sprint("name", i)
				require.NoError(t, c.SetTLS(changed))
			}
			require.NoError(t, c.Close())
		},
		"clients": func() {
			for range calls {
				c, err := mosquitto.New("", true, nil)
				require.NoError(t, err)
				require.NoError(t, c.SetTLS(settings))
				require.NoError(t, c.Close())
			}
		},
		"reinitialised clients": func() {
			c, _ := newClient(t, "", true)
			for range calls {
				require.NoError(t, c.SetTLS(settings))
				require.NoError(t, c.Reinitialise("", true, nil))
			}
			require.NoError(t, c.Close())
		},
		"connections": func() {
			c, _ := newClient(t, "", true)
			c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { _ = c.Disconnect() })
			for range calls / 20 {
				require.NoError(t, c.SetTLS(settings))
				require.NoError(t, c.ConnectAsyncContext(wait.Soon(t), "127.0.0.1", b.Port, keepalive, "", nil))
				require.NoError(t, c.RunOnce(wait.Soon(t)))
			}
			require.NoError(t, c.Close())
		},
	} {
		use()
		runtime.GC()
		before := residentBytes(t)
		use()
		runtime.GC()
		require.Less(t, residentBytes(t)-before, 12<<20, name)
	}
}
