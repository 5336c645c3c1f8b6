package test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/sslctx"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// withContext makes a client with a context of its own.
func withContext(t testing.TB, settings mosquitto.TLSContext) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSContextSet(settings))
	return c, e
}

func TestTLSContextServerName(t *testing.T) {
	b, ca := tlsBroker(t, "broker.internal", "10.1.2.3")
	for name, settings := range map[string]mosquitto.TLSContext{
		"name":               {ServerName: "broker.internal", CAFile: ca.File},
		"address":            {ServerName: "10.1.2.3", CAFile: ca.File},
		"directory":          {ServerName: "broker.internal", CAPath: sslctx.HashedDir(t, ca.File)},
		"only TLS 1.3":       {ServerName: "broker.internal", CAFile: ca.File, MinVersion: "tlsv1.3"},
		"no name is checked": {CAFile: ca.File},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withContext(t, settings)
			accepted(t, c, e, "127.0.0.1", b.Port)
			echo(t, c, e)
		})
	}
	for name, settings := range map[string]mosquitto.TLSContext{
		"another name":    {ServerName: "127.0.0.1", CAFile: ca.File},
		"part of a name":  {ServerName: "internal", CAFile: ca.File},
		"another address": {ServerName: "10.1.2.4", CAFile: ca.File},
		"another CA":      {ServerName: "broker.internal", CAFile: broker.NewCA(t, "other").File},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := withContext(t, settings)
			distrusted(t, c, e, "127.0.0.1", b.Port)
		})
	}
}

// The client reconnects with it, under Run.
func TestTLSContextReconnects(t *testing.T) {
	b, ca := tlsBroker(t, "broker.internal")
	c, e := withContext(t, mosquitto.TLSContext{ServerName: "broker.internal", CAFile: ca.File})
	connectRun(t, c, e, b.Port)
	for range 3 {
		b.Restart()
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		echo(t, c, e)
	}
}

func TestTLSContextClientCertificate(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "broker.internal"), ClientCA: ca.File})
	own := ca.Issue("client")
	for name, key := range map[string][2]string{"plain": {own.KeyFile}, "encrypted": {ca.Encrypt(own.KeyFile, "secret"), "secret"}} {
		t.Run(name, func(t *testing.T) {
			c, e := withContext(t, mosquitto.TLSContext{
				ServerName: "broker.internal", CAFile: ca.File, CertFile: own.CertFile, KeyFile: key[0], KeyPassword: key[1],
			})
			accepted(t, c, e, "127.0.0.1", b.Port)
		})
	}
}

// What the server is asked for: the name and the protocol.
func TestTLSContextAsksForNameAndProtocol(t *testing.T) {
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
	c, _ := withContext(t, mosquitto.TLSContext{ServerName: "broker.internal", CAFile: ca.File, ALPN: "mqtt"})
	require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port, keepalive, "", nil))
	require.Error(t, c.RunOnce(t.Context()))
	hello := wait.For(t, hellos, "a ClientHello")
	require.Equal(t, "broker.internal", hello.ServerName)
	require.Equal(t, []string{"mqtt"}, hello.SupportedProtos)
	wait.For(t, ended, "the end of the server")
}

func TestTLSContextRefusals(t *testing.T) {
	_, ca := tlsBroker(t, "localhost")
	own := ca.Issue("client")
	c, _ := newClient(t, "", true)
	for argument, settings := range map[string]mosquitto.TLSContext{
		"CAFile, CAPath":    {ServerName: "a"},
		"CertFile, KeyFile": {CAFile: ca.File, CertFile: own.CertFile},
		"MinVersion":        {CAFile: ca.File, MinVersion: "ssl3"},
		"ServerName":        {CAFile: ca.File, ServerName: "a\x00b"},
		"ALPN":              {CAFile: ca.File, ALPN: string(make([]byte, 300))},
	} {
		err := c.TLSContextSet(settings)
		require.ErrorIs(t, err, mosquitto.ErrInval, argument)
		require.ErrorContains(t, err, argument)
	}
	encrypted := ca.Encrypt(own.KeyFile, "secret")
	for argument, settings := range map[string]mosquitto.TLSContext{
		"CAFile: /nowhere: no such file or directory":              {CAFile: "/nowhere"},
		"CertFile: /nowhere: no such file or directory":            {CAFile: ca.File, CertFile: "/nowhere", KeyFile: own.KeyFile},
		"KeyFile: " + encrypted + ": ":                             {CAFile: ca.File, CertFile: own.CertFile, KeyFile: encrypted, KeyPassword: "bad password"},
		"Ciphers: no cipher match":                                 {CAFile: ca.File, Ciphers: "none"},
		"CAFile: no such file or directory":                        {CAFile: "/proc/self/fd/99999"},
		"CAFile: " + own.KeyFile + ": no certificate or crl found": {CAFile: own.KeyFile},
	} {
		err := c.TLSContextSet(settings)
		require.ErrorIs(t, err, mosquitto.ErrTLS, argument)
		require.ErrorContains(t, err, argument)
		require.NotContains(t, err.Error(), "bad password")
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "/proc/")
	}
	// and without a password nothing asks on the terminal
	require.ErrorIs(t, c.TLSContextSet(mosquitto.TLSContext{CAFile: ca.File, CertFile: own.CertFile, KeyFile: ca.Encrypt(own.KeyFile, "secret")}), mosquitto.ErrTLS)
}
