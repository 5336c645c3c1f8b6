// Package websocket connects package mqtt to brokers through websockets, with every
// version of libmosquitto.
//
// # Use
//
// [Dialer] returns the function for the option WithDialer of package mqtt. The URL may
// have a path and a query.
//
//	dial := websocket.Dialer("wss://broker.example.com/mqtt?region=eu", websocket.Options{})
//	client, err := mqtt.Dial(ctx, []string{"mqtt://broker.example.com:443"}, mqtt.WithDialer(dial))
//
// # Servers and TLS
//
// The scheme of the server in mqtt.Dial must be mqtt, also for wss: this package encrypts
// the connection with crypto/tls, with the settings in [Options]. Errors and log lines of
// package mqtt name the server.
//
// # The library's own websockets
//
// libmosquitto 2.1 can open websockets itself, if it was built with them: use servers with
// ws:// or wss:// and no dialer. The client then copies no bytes, but the URL must
// have no query, and the request has no further headers.
package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

// Options are the settings of [Dialer]. The zero value is usable.
type Options struct {
	// Header is added to the HTTP request. [Dialer] copies it.
	Header http.Header

	// TLS is the configuration for wss. Dialer copies it. nil means the defaults of
	// crypto/tls.
	TLS *tls.Config

	// Proxy returns the HTTP or SOCKS5 proxy of a request. nil means
	// [http.ProxyFromEnvironment]. It returns nil for a direct connection.
	Proxy func(*http.Request) (*url.URL, error)

	// Subprotocols are the websocket subprotocols that the client offers. nil means
	// "mqtt".
	Subprotocols []string
}

// Dialer returns a function for mqtt.WithDialer. The function opens a websocket to
// address, which is a URL with the scheme ws or wss. If the URL has no host, such as
// "wss:///mqtt", the function uses the host and the port of the server. The function
// returns an error if the URL is invalid, or if the server does not accept the websocket.
//
// The context of a call limits the connection's opening only. The caller must close the
// connection.
func Dialer(address string, options Options) func(ctx context.Context, network, server string) (net.Conn, error) {
	settings := options.settings()
	return func(ctx context.Context, _, server string) (net.Conn, error) {
		target, err := urlOf(address, server)
		if err != nil {
			return nil, err
		}
		socket, _, err := websocket.Dial(ctx, target, settings)
		if err != nil {
			return nil, withoutURL(err)
		}
		return conn{websocket.NetConn(context.Background(), socket, websocket.MessageBinary)}, nil
	}
}

// settings returns the options of the websocket library.
func (o Options) settings() *websocket.DialOptions {
	proxy := o.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	protocols := o.Subprotocols
	if protocols == nil {
		protocols = []string{"mqtt"}
	}
	// A connection that has become a websocket never returns to the transport's pool.
	transport := &http.Transport{Proxy: proxy, TLSClientConfig: o.TLS.Clone(), DisableKeepAlives: true}
	return &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: o.Header.Clone(), Subprotocols: protocols,
	}
}

// urlOf returns the URL of a websocket. Its errors do not contain the URL, which may
// contain a secret.
func urlOf(address, server string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" {
		return "", errors.New("websocket: the address is not a URL with the scheme ws or wss")
	}
	if u.Host == "" {
		u.Host = server
	}
	return u.String(), nil
}

// withoutURL removes the URL from an error of package http.
func withoutURL(err error) error {
	var failure *url.Error
	if errors.As(err, &failure) {
		return fmt.Errorf("websocket: %w", failure.Err)
	}
	return err
}

// conn is a websocket whose read errors report that the server has closed it.
type conn struct{ net.Conn }

func (c conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if websocket.CloseStatus(err) != -1 {
		err = closedError{err}
	}
	return n, err
}

// closedError is a close frame of the server. It is an io.ErrUnexpectedEOF for package
// mqtt.
type closedError struct{ err error }

func (e closedError) Error() string { return e.err.Error() }

// Unwrap returns the error of the websocket library.
func (e closedError) Unwrap() []error { return []error{e.err, io.ErrUnexpectedEOF} }
