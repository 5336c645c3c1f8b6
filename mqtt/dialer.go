//go:build cgo

package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
)

// This file dials in Go: the options, the dial function and the TLS handshake. It holds
// no state. relay.go copies the bytes between the dialed connection and the library.

// dialFunc opens the connection to a server.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// WithDialer makes the client open its connections with dial instead of the library. Use
// it for proxies, SSH tunnels, websockets (package mqtt/websocket) and in-memory
// connections in tests. It works with every version of the library.
//
// The client calls dial for each attempt to connect, on a separate goroutine. network is
// "tcp" and address is "host:port" of the server; the host name is not resolved. For a
// server unix:/path they are "unix" and the path. ctx ends with [WithConnectTimeout]. If
// dial returns after that, the client closes the connection. If dial returns an error,
// the attempt fails with a [*ConnectError] that wraps the error.
//
// The client owns the connection: it reads and writes on two goroutines, and closes the
// connection. If the connection has a CloseWrite method, the client calls it when the
// library has sent its last byte.
//
// A server with mqtts:// gets TLS on top of the dialed connection: see [WithTLSConfig].
// WithDialer cannot be combined with [WithTLS], [WithProxy], [WithBindAddress], or
// servers with ws:// or wss://.
//
// For the proxy of the environment variables ALL_PROXY and NO_PROXY (SOCKS5), import
// golang.org/x/net/proxy and use
//
//	mqtt.WithDialer(proxy.Dial)
//
// The library connects to a private unix socket, and the client copies the bytes. The
// socket has a file only while the client makes the socket and connects to it. The file is
// in a new directory that only the user may enter. The directory is in $XDG_RUNTIME_DIR, in
// [os.TempDir] or in /dev/shm. On Linux with /proc the client keeps up to four such
// sockets without a file for later connects: only this process can connect to them.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return Option{func(s *settings) error {
		if dial == nil {
			return badArgument("WithDialer", "dial is nil")
		}
		s.dial = dial
		return nil
	}}
}

// WithTLSConfig makes crypto/tls encrypt the connections to servers with mqtts://,
// instead of OpenSSL. All settings of config apply, such as RootCAs,
// GetClientCertificate, VerifyConnection, and keys that implement [crypto.Signer]. If
// ServerName is empty, the client uses the host of the server.
//
// WithTLSConfig copies config. The connection then passes through the client: see
// [WithDialer], whose limits apply. [WithBindAddress] may be used with WithTLSConfig
// alone.
//
// With a ClientSessionCache, reconnects resume the TLS session, which takes less CPU time.
// Clients may share a cache.
//
// A failed handshake ends the attempt with a [*ConnectError] that wraps the error of
// crypto/tls. Use [errors.As] to find errors such as [x509.UnknownAuthorityError].
func WithTLSConfig(config *tls.Config) Option {
	return Option{func(s *settings) error {
		if config == nil {
			return badArgument("WithTLSConfig", "config is nil")
		}
		s.tlsConfig = config.Clone()
		return nil
	}}
}

// isRelayed reports whether the client dials in Go, and relays bytes to the library.
func (s *settings) isRelayed() bool { return s.dial != nil || s.tlsConfig != nil }

// checkTransport checks that the options about TLS and dialing fit each other and the
// servers.
func (c *Client) checkTransport() error {
	s := &c.opts
	if err := s.checkTLSOptions(c.servers[0].tls); err != nil {
		return err
	}
	switch {
	case !s.isRelayed():
		return nil
	case s.tlsOption() != "" && s.tlsConfig != nil:
		return badArgument("WithTLSConfig", "%s is set too: use OpenSSL or crypto/tls, not both", s.tlsOption())
	case s.tlsOption() != "":
		return badArgument(s.tlsOption(), "with WithDialer, TLS needs WithTLSConfig")
	case s.proxied:
		return badArgument("WithProxy", "WithDialer or WithTLSConfig is set too: dial the proxy with WithDialer")
	case s.dial != nil && s.bind != "":
		return badArgument("WithBindAddress", "WithDialer is set too: the dialer chooses the local address")
	case s.tlsConfig != nil && !c.servers[0].tls:
		return badArgument("WithTLSConfig", "the servers are not mqtts://")
	}
	for i, server := range c.servers {
		if server.ws {
			return badArgument(fmt.Sprintf("servers[%d]", i),
				"WithDialer and WithTLSConfig do not support ws:// and wss://: use mqtt:// with the dialer of package mqtt/websocket")
		}
	}
	return nil
}

// transport is an open connection to a server.
type transport struct {
	net.Conn          // carries MQTT packets: dialed, or a TLS connection on top of it
	dialed   net.Conn // the connection that the dial function returned
}

// cut closes the connection at once. Close of a TLS connection first sends an alert, and
// may block.
func (t transport) cut() {
	conn := t.dialed
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}

// dial opens a connection to a server, and makes the TLS handshake. The loop runs turns
// until dial returns. If ctx ends first, dial returns at once. A connection that opens
// later is closed.
func (c *Client) dial(ctx context.Context, s server) (transport, error) {
	var t transport
	var settled atomic.Bool // the goroutine has stored t, or dial no longer waits; the second of the two cuts t
	err := c.runInBackgroundUntil(ctx, func() error {
		opened, err := c.opts.openTransport(ctx, s)
		if err != nil {
			return err
		}
		t = opened
		if !settled.CompareAndSwap(false, true) {
			opened.cut()
		}
		return nil
	})
	if err == nil {
		return t, nil
	}
	if !settled.CompareAndSwap(false, true) {
		t.cut()
	}
	return transport{}, err
}

// openTransport dials and makes the TLS handshake, on the background goroutine of dial.
func (s *settings) openTransport(ctx context.Context, to server) (transport, error) {
	dial, err := s.dialFunc()
	if err != nil {
		return transport{}, err
	}
	network, address := to.dialAddress()
	conn, err := dial(ctx, network, address)
	switch {
	case err != nil:
		return transport{}, err
	case conn == nil:
		return transport{}, errors.New("the function of WithDialer returned neither a connection nor an error")
	case !to.tls:
		return transport{conn, conn}, nil
	}
	secure := tls.Client(conn, s.tlsConfigFor(to))
	if err := secure.HandshakeContext(ctx); err != nil {
		transport{conn, conn}.cut()
		return transport{}, wrapError("TLS handshake", err)
	}
	return transport{secure, conn}, nil
}

// dialFunc returns the function of WithDialer, or the default: a net.Dialer.
func (s *settings) dialFunc() (dialFunc, error) {
	if s.dial != nil {
		return s.dial, nil
	}
	var d net.Dialer
	if s.bind != "" {
		local, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(s.bind, "0"))
		if err != nil {
			return nil, wrapError("WithBindAddress", err)
		}
		d.LocalAddr = local
	}
	return d.DialContext, nil
}

// tlsConfigFor returns the TLS configuration for a server.
func (s *settings) tlsConfigFor(to server) *tls.Config {
	config := s.tlsConfig
	if config == nil {
		return &tls.Config{ServerName: to.host}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = to.host
	}
	return config
}

// dialAddress returns the arguments of a dial function for the server.
func (s server) dialAddress() (network, address string) {
	if s.port == 0 {
		return "unix", s.host
	}
	return "tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port))
}
