package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"

	"golang.org/x/net/proxy"
)

// This file opens the connections to brokers. Package mqtt does it alone if no option
// asks for anything that libmosquitto cannot do: see dialsInGo.

// kind is the transport of a broker.
type kind int

const (
	unknown kind = iota
	plain
	secure
	socket // a unix socket
	web
	secureWeb
)

func kindOf(broker *url.URL) kind {
	switch strings.ToLower(broker.Scheme) {
	case "tcp", "mqtt":
		return plain
	case "ssl", "tls", "mqtts", "mqtt+ssl", "tcps":
		return secure
	case "unix":
		return socket
	case "ws":
		return web
	case "wss":
		return secureWeb
	}
	return unknown
}

var defaultPorts = map[kind]string{unknown: "1883", plain: "1883", secure: "8883", web: "80", secureWeb: "443"}

// hostPort returns the address of a broker.
func hostPort(broker *url.URL) string {
	port := broker.Port()
	if port == "" {
		port = defaultPorts[kindOf(broker)]
	}
	host := broker.Hostname()
	if host == "" { // of a function that opens connections without an address
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// socketPath returns the path of a unix socket.
func socketPath(broker *url.URL) string {
	if broker.Host != "" { // unix://socket in the working directory
		return broker.Host + broker.Path
	}
	return broker.Path + broker.Opaque
}

// serverOf returns the server of package mosquitto/mqtt for a broker.
func serverOf(broker *url.URL) string {
	if kindOf(broker) == socket {
		return "unix:" + socketPath(broker)
	}
	return "mqtt://" + hostPort(broker)
}

// dialsInGo reports whether this package opens the connections, and not libmosquitto.
func (o *ClientOptions) dialsInGo() bool {
	for _, broker := range o.Servers {
		if k := kindOf(broker); k != plain && k != socket {
			return true
		}
	}
	return o.CustomOpenConnectionFn != nil || o.OnConnectAttempt != nil || o.OnConnectionNotification != nil ||
		o.OnReconnecting != nil || !isDefaultDialer(o.Dialer) || hasProxy()
}

// isDefaultDialer reports whether a dialer has no settings but a timeout.
func isDefaultDialer(d *net.Dialer) bool {
	return d == nil || reflect.DeepEqual(d, &net.Dialer{Timeout: d.Timeout})
}

// hasProxy reports whether the environment names a proxy.
func hasProxy() bool { return environment("ALL_PROXY") != "" }

// environment returns a variable of the environment, whose name may have lower case.
func environment(name string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return os.Getenv(strings.ToLower(name))
}

// transport opens connections for package mosquitto/mqtt. It calls the program's functions with the
// client's options, which OnReconnecting may have changed.
type transport struct {
	client *client

	mu   sync.Mutex
	last int // index of the broker that was tried last
}

// brokerFor returns the broker of a server of package mosquitto/mqtt. Several brokers may have the
// same address: they take turns.
func (t *transport) brokerFor(network, address string) (*url.URL, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	brokers, known := t.client.options.Servers, t.client.addresses
	for i := 1; i <= len(known); i++ {
		at := (t.last + i) % len(known)
		if known[at] != network+" "+address {
			continue
		}
		t.last = at
		if len(brokers) == 0 {
			return nil, errNoServers
		}
		return brokers[at%len(brokers)], nil
	}
	return nil, fmt.Errorf("paho: no broker has the address %s", address)
}

// addressOf returns the address of a broker, for brokerFor.
func addressOf(broker *url.URL) string {
	if kindOf(broker) == socket {
		return "unix " + socketPath(broker)
	}
	return "tcp " + hostPort(broker)
}

// dial is the function of mqtt.WithDialer.
func (t *transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	broker, err := t.brokerFor(network, address)
	if err != nil {
		return nil, err
	}
	o := &t.client.options
	config := o.TLSConfig
	if o.OnConnectAttempt != nil {
		config = o.OnConnectAttempt(broker, config.Clone())
	}
	t.client.notify(ConnectionNotificationBroker{broker})
	conn, err := o.open(ctx, broker, config)
	if err != nil {
		t.client.notify(ConnectionNotificationBrokerFailed{broker, err})
	}
	return conn, err
}

// open opens the connection to a broker.
func (o *ClientOptions) open(ctx context.Context, broker *url.URL, config *tls.Config) (net.Conn, error) {
	if o.CustomOpenConnectionFn != nil {
		return o.CustomOpenConnectionFn(broker, *o)
	}
	switch kindOf(broker) {
	case web, secureWeb:
		address := *broker
		address.User = nil
		return dialWebsocket(ctx, address.String(), config, o.HTTPHeaders, o.WebsocketOptions)
	case plain:
		return o.dialTCP(ctx, broker)
	case socket:
		return o.dialer().DialContext(ctx, "unix", socketPath(broker))
	case secure:
		return o.dialTLS(ctx, broker, config)
	}
	return nil, fmt.Errorf("paho: unknown protocol %q", broker.Scheme)
}

// dialer returns the dialer of the options.
func (o *ClientOptions) dialer() *net.Dialer {
	if o.Dialer == nil {
		return &net.Dialer{}
	}
	return o.Dialer
}

// dialTCP opens a TCP connection, through the proxy of the environment if there is one.
func (o *ClientOptions) dialTCP(ctx context.Context, broker *url.URL) (net.Conn, error) {
	d := o.dialer()
	if !hasProxy() {
		return d.DialContext(ctx, "tcp", hostPort(broker))
	}
	address, err := url.Parse(environment("ALL_PROXY"))
	if err != nil {
		return nil, errors.New("paho: ALL_PROXY is not a URL") // err contains the URL, which may contain a password
	}
	through, err := proxy.FromURL(address, d)
	if err != nil {
		return nil, fmt.Errorf("paho: ALL_PROXY: %w", err)
	}
	some := proxy.NewPerHost(through, d)
	some.AddFromString(environment("NO_PROXY"))
	return some.DialContext(ctx, "tcp", hostPort(broker))
}

// dialTLS opens a TLS connection.
func (o *ClientOptions) dialTLS(ctx context.Context, broker *url.URL, config *tls.Config) (net.Conn, error) {
	conn, err := o.dialTCP(ctx, broker)
	if err != nil {
		return nil, err
	}
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = broker.Hostname()
	}
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return encrypted, nil
}
