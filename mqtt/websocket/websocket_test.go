package websocket_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/relay"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	mqttwebsocket "github.com/mosquitto-go/mosquitto/mqtt/websocket"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m) }

// gateway is an HTTP server that connects websockets to a broker.
type gateway struct {
	*httptest.Server
	requests chan *http.Request
	sockets  chan *websocket.Conn
}

func startGateway(t *testing.T, start func(http.Handler) *httptest.Server) *gateway {
	t.Helper()
	b := broker.Start(t, broker.Config{})
	g := &gateway{requests: make(chan *http.Request, 100), sockets: make(chan *websocket.Conn, 100)}
	g.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests <- r
		socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return
		}
		g.sockets <- socket
		relay.Join(websocket.NetConn(r.Context(), socket, websocket.MessageBinary), b.Addr())
	}))
	t.Cleanup(g.Close)
	return g
}

// address returns the URL of the gateway's websockets.
func (g *gateway) address(rest string) string { return "ws" + strings.TrimPrefix(g.URL, "http") + rest }

// host returns the address of the gateway for mqtt.Dial.
func (g *gateway) host() string { return "mqtt://" + g.Listener.Addr().String() }

// dial connects a client through a websocket.
func (g *gateway) dial(t *testing.T, address string, options mqttwebsocket.Options, more ...mqtt.Option) *mqtt.Client {
	t.Helper()
	more = append(more, mqtt.WithDialer(mqttwebsocket.Dialer(address, options)), mqtt.WithBackoff(time.Millisecond, time.Second, 0))
	c, err := mqtt.Dial(wait.Soon(t), []string{g.host()}, more...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(wait.Soon(t)) })
	return c
}

// requireMessages requires that the client receives the messages that it publishes.
func requireMessages(t *testing.T, c *mqtt.Client) {
	t.Helper()
	got := make(chan mqtt.Message, 10)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(_ context.Context, m mqtt.Message) { got <- m }))
	for _, size := range []int{0, 600, 1 << 20} {
		require.NoError(t, c.Publish(wait.Soon(t), "a", make([]byte, size)))
		require.Len(t, wait.For(t, got, "a message").Payload, size)
	}
}

func TestDialer_SendsPathQueryHeaderAndSubprotocol(t *testing.T) {
	g := startGateway(t, httptest.NewServer)
	c := g.dial(t, g.address("/some/path?token=secret"), mqttwebsocket.Options{Header: http.Header{"X-Token": {"t"}}})
	r := wait.For(t, g.requests, "a request")
	require.Equal(t, "/some/path?token=secret", r.RequestURI)
	require.Equal(t, "t", r.Header.Get("X-Token"))
	require.Equal(t, "mqtt", r.Header.Get("Sec-WebSocket-Protocol"))
	requireMessages(t, c)
}

func TestDialer_URLWithoutHostUsesServer(t *testing.T) {
	g := startGateway(t, httptest.NewServer)
	requireMessages(t, g.dial(t, "ws:///mqtt", mqttwebsocket.Options{}))
	require.Equal(t, "/mqtt", wait.For(t, g.requests, "a request").URL.Path)
}

func TestDialer_EncryptsWSS(t *testing.T) {
	g := startGateway(t, httptest.NewTLSServer)
	pool := x509.NewCertPool()
	pool.AddCert(g.Certificate())
	requireMessages(t, g.dial(t, g.address(""), mqttwebsocket.Options{TLS: &tls.Config{RootCAs: pool}}))
	_, err := mqtt.Dial(wait.Soon(t), []string{g.host()}, mqtt.WithDialer(mqttwebsocket.Dialer(g.address(""), mqttwebsocket.Options{})))
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

func TestDialer_UsesProxy(t *testing.T) {
	g := startGateway(t, httptest.NewServer)
	failure := &net.AddrError{Err: "no proxy for", Addr: "this"}
	proxy := func(*http.Request) (*url.URL, error) { return nil, failure }
	dial := mqttwebsocket.Dialer(g.address(""), mqttwebsocket.Options{Proxy: proxy})
	_, err := mqtt.Dial(wait.Soon(t), []string{g.host()}, mqtt.WithDialer(dial))
	require.ErrorIs(t, err, failure)
}

func TestDialer_CloseFrameIsReportedAndClientReconnects(t *testing.T) {
	g := startGateway(t, httptest.NewServer)
	lost := make(chan error, 100)
	c := g.dial(t, g.address(""), mqttwebsocket.Options{}, mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) {
		if s.State == mqtt.StateDisconnected {
			lost <- s.Err
		}
	}))
	socket := wait.For(t, g.sockets, "a websocket")
	go func() { _ = socket.Close(websocket.StatusMessageTooBig, "too large") }()
	err := wait.For(t, lost, "the loss")
	require.ErrorContains(t, err, "too large")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	requireMessages(t, c)
}

func TestDialer_RefusalIsReported(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	for address, says := range map[string]string{
		"ws:///":                   "404",
		"http://user:secret":       "websocket: the address is not a URL",
		"ws://%zz/secret":          "websocket: the address is not a URL",
		"ws://127.0.0.1:1/?secret": "connection refused",
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://" + host}, mqtt.WithDialer(mqttwebsocket.Dialer(address, mqttwebsocket.Options{})))
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "mqtt: connect mqtt://"+host)
		require.NotContains(t, err.Error(), "secret")
	}
}
