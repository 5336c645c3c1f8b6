package mqtt_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/relay"
	"github.com/mosquitto-go/mosquitto/internal/socks5"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/require"
)

// requireMessages requires that messages reach the broker and come back.
func requireMessages(t *testing.T, c paho.Client) {
	t.Helper()
	callback, got := collect()
	succeed(t, c.Subscribe("a", 1, callback))
	for _, size := range []int{0, 600, 1 << 20} {
		succeed(t, c.Publish("a", 1, false, make([]byte, size)))
		require.Len(t, wait.For(t, got, "a message").Payload(), size)
	}
}

// pool returns the certificates of a file.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	all := x509.NewCertPool()
	require.True(t, all.AppendCertsFromPEM(text))
	return all
}

func TestTLS_Schemes(t *testing.T) {
	ca := broker.NewCA(t, "ca")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "127.0.0.1", "localhost")})
	for _, scheme := range []string{"ssl", "tls", "mqtts", "mqtt+ssl", "tcps"} {
		t.Run(scheme, func(t *testing.T) {
			o := options().AddBroker(fmt.Sprintf("%s://localhost:%d", scheme, b.Port))
			requireMessages(t, connect(t, o.SetTLSConfig(&tls.Config{RootCAs: pool(t, ca.File)})))
		})
	}
	err := outcome(t, paho.NewClient(options().AddBroker(fmt.Sprint("ssl://127.0.0.1:", b.Port))).Connect())
	require.ErrorIs(t, err, packets.ErrorNetworkError)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

func TestTLS_ClientCertificate(t *testing.T) {
	ca := broker.NewCA(t, "ca")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "127.0.0.1"), ClientCA: ca.File})
	client := ca.IssueForClient("client")
	pair, err := tls.LoadX509KeyPair(client.CertFile, client.KeyFile)
	require.NoError(t, err)
	config := &tls.Config{RootCAs: pool(t, ca.File), Certificates: []tls.Certificate{pair}}
	requireMessages(t, connect(t, options().AddBroker(fmt.Sprint("ssl://127.0.0.1:", b.Port)).SetTLSConfig(config)))
}

func TestConnectionAttempt_ChangesTheTLSConfig(t *testing.T) {
	ca := broker.NewCA(t, "ca")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "127.0.0.1")})
	o := options().AddBroker(fmt.Sprint("ssl://127.0.0.1:", b.Port)).SetTLSConfig(&tls.Config{ServerName: "wrong"})
	o.SetConnectionAttemptHandler(func(_ *url.URL, config *tls.Config) *tls.Config {
		config.ServerName, config.RootCAs = "", pool(t, ca.File)
		return config
	})
	requireMessages(t, connect(t, o))
	require.Equal(t, "wrong", o.TLSConfig.ServerName, "the function gets a copy")
}

func TestBrokers_WithAndWithoutTLS(t *testing.T) {
	b := start(t)
	o := options().AddBroker(fmt.Sprint("ssl://127.0.0.1:", broker.FreePort(t))).AddBroker(address(b.Port))
	requireMessages(t, connect(t, o))
}

func TestDialer_IsUsed(t *testing.T) {
	b := start(t)
	var calls atomic.Int32
	dialer := &net.Dialer{ControlContext: func(context.Context, string, string, syscall.RawConn) error {
		calls.Add(1)
		return nil
	}}
	requireMessages(t, connect(t, options(b.Port).SetDialer(dialer)))
	require.EqualValues(t, 1, calls.Load())
	requireMessages(t, connect(t, options(b.Port).SetDialer(nil)))
}

func TestUnixSocket(t *testing.T) {
	b := broker.Start(t, broker.Config{Unix: true})
	requireMessages(t, connect(t, options().AddBroker("unix://"+b.Unix)))
	requireMessages(t, connect(t, options().AddBroker("unix://"+b.Unix).SetReconnectingHandler(func(paho.Client, *paho.ClientOptions) {})))
}

func TestCustomOpenConnection_IsUsedForEachBroker(t *testing.T) {
	b := start(t)
	type call struct{ broker, id string }
	calls := make(chan call, 10)
	o := options().AddBroker("memory://first").AddBroker("memory://second/path").SetClientID("me")
	o.SetCustomOpenConnectionFn(nil)
	o.SetCustomOpenConnectionFn(func(broker *url.URL, options paho.ClientOptions) (net.Conn, error) {
		calls <- call{broker.String(), options.ClientID}
		if broker.Host == "first" {
			return nil, errors.New("no connection")
		}
		return net.Dial("tcp", b.Addr())
	})
	requireMessages(t, connect(t, o))
	require.Equal(t, call{"memory://first", "me"}, wait.For(t, calls, "a call"))
	require.Equal(t, call{"memory://second/path", "me"}, wait.For(t, calls, "a call"))
}

func TestBroker_UnknownScheme(t *testing.T) {
	err := outcome(t, paho.NewClient(options().AddBroker("gopher://127.0.0.1:1")).Connect())
	require.ErrorContains(t, err, "unknown protocol")
	require.ErrorContains(t, err, "gopher")
}

func TestProxy_OfTheEnvironment(t *testing.T) {
	b := start(t)
	p := socks5.Start(t, socks5.Config{})
	for _, name := range []string{"ALL_PROXY", "all_proxy"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, fmt.Sprint("socks5://127.0.0.1:", p.Port))
			t.Run("used", func(t *testing.T) {
				requireMessages(t, connect(t, options(b.Port)))
				require.Contains(t, wait.For(t, p.Requests, "a request"), b.Addr())
			})
			t.Setenv("NO_PROXY", "127.0.0.1")
			t.Run("not used", func(t *testing.T) {
				requireMessages(t, connect(t, options(b.Port)))
				wait.None(t, p.Requests, "request")
			})
		})
	}
	for _, bad := range []string{"socks5://user:secret@%zz", "gopher://127.0.0.1:1"} {
		t.Setenv("ALL_PROXY", bad)
		err := outcome(t, paho.NewClient(options(b.Port)).Connect())
		require.ErrorContains(t, err, "ALL_PROXY")
		require.NotContains(t, err.Error(), "secret")
	}
}

// gateway is an HTTP server that connects websockets to a broker.
func gateway(t *testing.T, start func(http.Handler) *httptest.Server) (*httptest.Server, <-chan *http.Request) {
	t.Helper()
	b := broker.Start(t, broker.Config{})
	requests := make(chan *http.Request, 10)
	server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		if strings.HasPrefix(r.URL.Path, "/refused/") {
			http.NotFound(w, r)
			return
		}
		socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return
		}
		relay.Join(websocket.NetConn(r.Context(), socket, websocket.MessageBinary), b.Addr())
	}))
	t.Cleanup(server.Close)
	return server, requests
}

func TestWebsocket_HeadersAndPath(t *testing.T) {
	server, requests := gateway(t, httptest.NewServer)
	proxied := make(chan string, 10)
	o := options().AddBroker("ws://user:secret@" + server.Listener.Addr().String() + "/some/path?a=b")
	o.SetHTTPHeaders(http.Header{"X-Token": {"t"}}).SetWebsocketOptions(&paho.WebsocketOptions{Proxy: func(r *http.Request) (*url.URL, error) {
		proxied <- r.URL.Host
		return nil, nil
	}})
	requireMessages(t, connect(t, o))
	r := wait.For(t, requests, "a request")
	require.Equal(t, "/some/path?a=b", r.RequestURI)
	require.Equal(t, "t", r.Header.Get("X-Token"))
	require.Equal(t, "mqtt", r.Header.Get("Sec-WebSocket-Protocol"))
	require.Empty(t, r.Header.Get("Authorization"))
	require.Equal(t, server.Listener.Addr().String(), wait.For(t, proxied, "a call of the proxy function"))
}

func TestBrokers_WithTheSameAddressTakeTurns(t *testing.T) {
	server, requests := gateway(t, httptest.NewServer)
	o := options()
	for _, path := range []string{"refused/1", "refused/2", "mqtt"} {
		o.AddBroker("ws://" + server.Listener.Addr().String() + "/" + path)
	}
	requireMessages(t, connect(t, o))
	for _, path := range []string{"/refused/1", "/refused/2", "/mqtt"} {
		require.Equal(t, path, wait.For(t, requests, "a request").RequestURI)
	}
}

func TestWebsocket_WithTLS(t *testing.T) {
	server, _ := gateway(t, httptest.NewTLSServer)
	all := x509.NewCertPool()
	all.AddCert(server.Certificate())
	o := options().AddBroker("wss://" + server.Listener.Addr().String()).SetTLSConfig(&tls.Config{RootCAs: all})
	requireMessages(t, connect(t, o.SetWebsocketOptions(nil)))
}

func TestNewWebsocket_OpensAConnection(t *testing.T) {
	server, _ := gateway(t, httptest.NewServer)
	address := "ws" + strings.TrimPrefix(server.URL, "http")
	conn, err := paho.NewWebsocket(address, nil, 0, nil, nil)
	require.NoError(t, err)
	defer conn.Close()
	requireConnect(t, conn)
	_, err = paho.NewWebsocket("ws://127.0.0.1:1", nil, time.Second, nil, &paho.WebsocketOptions{})
	require.Error(t, err)
}

// requireConnect sends a CONNECT packet on a connection to a broker.
func requireConnect(t *testing.T, conn net.Conn) {
	t.Helper()
	m := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	m.CleanSession, m.ClientIdentifier = true, "me"
	code, present := paho.ConnectMQTT(conn, m, 4)
	require.EqualValues(t, packets.Accepted, code)
	require.False(t, present)
}

func TestConnectMQTT(t *testing.T) {
	b := start(t)
	dial := func(address string) net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	requireConnect(t, dial(b.Addr()))
	p := fakebroker.Listen(t)
	for _, answer := range [][]byte{nil, fakebroker.Ack(fakebroker.PUBACK, 1)} {
		conn := dial(fmt.Sprint("127.0.0.1:", p.Port))
		go func() {
			server := p.Accept()
			server.Expect(fakebroker.CONNECT)
			server.Send(answer)
			server.Close()
		}()
		code, _ := paho.ConnectMQTT(conn, packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket), 3)
		require.EqualValues(t, packets.ErrNetworkError, code)
	}
}

func TestCustomOpenConnection_Pipe(t *testing.T) {
	ours, theirs := net.Pipe()
	o := options(1).SetClientID("me").SetAutoReconnect(false)
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return ours, nil })
	c := paho.NewClient(o)
	token := c.Connect()
	packet, err := packets.ReadPacket(theirs)
	require.NoError(t, err)
	require.Equal(t, "me", packet.(*packets.ConnectPacket).ClientIdentifier)
	_, err = theirs.Write(fakebroker.V311.Connack(false, 0))
	require.NoError(t, err)
	succeed(t, token)
	published := c.Publish("a", 0, false, "x")
	packet, err = packets.ReadPacket(theirs)
	require.NoError(t, err)
	require.Equal(t, "a", packet.(*packets.PublishPacket).TopicName)
	succeed(t, published)
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	c.Disconnect(100)
	theirs.Close()
}
