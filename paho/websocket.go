package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt/websocket"
)

// WebsocketOptions are the options of websockets. The buffer sizes have no effect.
type WebsocketOptions struct {
	ReadBufferSize  int           // has no effect
	WriteBufferSize int           // has no effect
	Proxy           ProxyFunction // nil for the proxy of the environment
}

// ProxyFunction returns the proxy of an HTTP request, or nil for none.
type ProxyFunction func(req *http.Request) (*url.URL, error)

// NewWebsocket opens a websocket to host, a URL with the scheme ws or wss. A timeout of 0
// means 10 s. options may be nil.
func NewWebsocket(host string, tlsc *tls.Config, timeout time.Duration, requestHeader http.Header, options *WebsocketOptions) (net.Conn, error) {
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dialWebsocket(ctx, host, tlsc, requestHeader, options)
}

func dialWebsocket(ctx context.Context, address string, config *tls.Config, header http.Header, options *WebsocketOptions) (net.Conn, error) {
	settings := websocket.Options{Header: header, TLS: config}
	if options != nil {
		settings.Proxy = options.Proxy
	}
	return websocket.Dialer(address, settings)(ctx, "tcp", "")
}
