package paho_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/relay"
	"github.com/stretchr/testify/require"
)

// tlsListener has a certificate for broker.test. ca is the file of its CA.
func tlsListener(t *testing.T) (l net.Listener, ca string) {
	t.Helper()
	authority := broker.NewCA(t, "CA")
	issued := authority.Issue("broker", "broker.test")
	certificate, err := tls.LoadX509KeyPair(issued.CertFile, issued.KeyFile)
	require.NoError(t, err)
	l, err = tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	return l, authority.File
}

// gateway is an HTTP server whose websockets lead to a fake broker. requests receives what
// it was asked for.
func gateway(t *testing.T, to *fakebroker.Broker) (address string, requests <-chan string) {
	t.Helper()
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- fmt.Sprint(r.Method, " ", r.URL, " ", r.Header["Sec-Websocket-Protocol"], r.Header["X-Token"], r.Header["X-List"], r.Header["Origin"])
		socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return
		}
		relay.Join(websocket.NetConn(context.Background(), socket, websocket.MessageBinary), fmt.Sprintf("127.0.0.1:%d", to.Port))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}
