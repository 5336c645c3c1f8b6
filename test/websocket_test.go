package test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// overWebsockets returns a client that uses WebSocket. This needs libmosquitto 2.1. With
// an older library it asserts the error and returns ok false.
func overWebsockets(t testing.TB) (c *mosquitto.Client, e *events, ok bool) {
	t.Helper()
	c, e = newClient(t, "", true)
	err := c.IntOption(mosquitto.OptTransport, mosquitto.TransportWebsockets)
	if !has21() {
		require.ErrorIs(t, err, mosquitto.ErrNotSupported)
		return nil, nil, false
	}
	require.NoError(t, err)
	return c, e, true
}

// websocketBroker starts a broker and returns its WebSocket port. With a certificate it
// uses TLS.
func websocketBroker(t testing.TB, cert *broker.Cert) (b *broker.Broker, port int) {
	t.Helper()
	port = broker.FreePort(t)
	lines := fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets", port)
	if cert != nil {
		lines += fmt.Sprintf("\ncertfile %s\nkeyfile %s", cert.CertFile, cert.KeyFile)
	}
	return broker.Start(t, broker.Config{Extra: lines}), port
}

func TestWebsockets_ReconnectsAfterARestart(t *testing.T) {
	c, e, ok := overWebsockets(t)
	if !ok {
		return
	}
	b, port := websocketBroker(t, nil)
	ended := accepted(t, c, e, "127.0.0.1", port)
	echo(t, c, e)
	subscribe(t, c, e, "large", 1)
	_, err := c.Publish("large", make([]byte, 1<<20), 1, false)
	require.NoError(t, err)
	require.Len(t, wait.For(t, e.message, "the large message").Payload, 1<<20)

	b.Restart()
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, e.connect, "OnConnect after the restart").Err())
	echo(t, c, e)
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
	require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
}

func TestWebsockets_TLSChecksTheCertificate(t *testing.T) {
	c, e, ok := overWebsockets(t)
	if !ok {
		return
	}
	ca := broker.NewCA(t, "authority")
	_, port := websocketBroker(t, ca.Issue("broker", "localhost"))
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
	accepted(t, c, e, "localhost", port)
	echo(t, c, e)

	c, e, _ = overWebsockets(t)
	require.NoError(t, c.TLSSet(broker.NewCA(t, "other").File, "", "", "", nil))
	refused(t, c, e, "localhost", port)
}

// upgradeRequest reads the client's HTTP request.
func upgradeRequest(t testing.TB, conn *fakebroker.Conn) *http.Request {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(conn.Conn))
	require.NoError(t, err)
	require.Equal(t, "websocket", request.Header.Get("Upgrade"))
	require.Equal(t, "mqtt", request.Header.Get("Sec-WebSocket-Protocol"))
	require.NotEmpty(t, request.Header.Get("Sec-WebSocket-Key"))
	return request
}

func TestWebsockets_RequestHasThePath(t *testing.T) {
	for path, want := range map[string]string{"": "/mqtt", "/other/path": "/other/path"} {
		c, e, ok := overWebsockets(t)
		if !ok {
			return
		}
		if path != "" {
			require.NoError(t, c.StringOption(mosquitto.OptHTTPPath, path))
		}
		p := fakebroker.Listen(t)
		require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
		ended := loop(t, c)
		conn := p.Accept()
		require.Equal(t, want, upgradeRequest(t, conn).URL.Path)
		conn.Send([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
		require.ErrorIs(t, wait.For(t, ended, "the end of LoopForever"), mosquitto.ErrUnknown)
		wait.None(t, e.connect, "OnConnect")
	}
}

// A response longer than OptHTTPHeaderSize closes the connection.
func TestWebsockets_LongHeaderEndsTheConnection(t *testing.T) {
	c, e, ok := overWebsockets(t)
	if !ok {
		return
	}
	require.NoError(t, c.IntOption(mosquitto.OptHTTPHeaderSize, 100))
	p := fakebroker.Listen(t)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	loop(t, c)
	conn := p.Accept()
	upgradeRequest(t, conn)
	conn.Send([]byte("HTTP/1.1 101 Switching Protocols\r\nX-Long: " + strings.Repeat("a", 200) + "\r\n\r\n"))
	require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	wait.None(t, e.connect, "OnConnect")
}

// After a loss during the upgrade, the library does not ask for an upgrade again.
// Setting the option before each attempt helps.
func TestWebsockets_LossDuringTheUpgradeIsRetried(t *testing.T) {
	c, e, ok := overWebsockets(t)
	if !ok {
		return
	}
	failed := make(chan error, 10)
	require.NoError(t, c.OnPreConnect(func(c *mosquitto.Client) {
		failed <- c.IntOption(mosquitto.OptTransport, mosquitto.TransportWebsockets)
	}))
	p := fakebroker.Listen(t)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	loop(t, c)
	for range 2 {
		require.NoError(t, wait.For(t, failed, "OnPreConnect"))
		conn := p.Accept()
		upgradeRequest(t, conn)
		conn.Close()
		require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	}
	wait.None(t, e.connect, "OnConnect")
}
