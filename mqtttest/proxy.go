package mqtttest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy forwards TCP connections to a server and breaks them on request. [StartProxy]
// creates it. Existing connections are not affected by [Proxy.Refuse], and new connections
// are not affected by [Proxy.Cut] and [Proxy.Reset].
type Proxy struct {
	t       testing.TB
	scheme  string
	addr    string // of the proxy
	server  string // where it connects
	running sync.WaitGroup

	mu       sync.Mutex
	listener *listener // nil while connections are refused
	links    map[*link]struct{}
	network  network
	changed  chan struct{} // closed and replaced when network changes
}

// network is how the proxy forwards data.
type network struct {
	stalled bool
	delay   time.Duration
}

// listener is an open port and its goroutine.
type listener struct {
	net.Listener
	ended chan struct{} // closed when the goroutine has ended
}

// StartProxy starts a proxy for a server: a URL such as [Broker.URL] returns, or
// host:port. Let the client connect to [Proxy.URL] instead. The proxy listens only on
// 127.0.0.1, on a free port. It forwards all data until a method changes this. It ends
// with the test.
//
// The proxy does not decode MQTT or TLS. The broker's certificate from [WithTLS] is also
// valid for the proxy.
//
// If the server refuses the connection, for example after [Broker.Stop], the proxy resets
// the client's connection.
func StartProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	scheme, target, err := parseServer(server)
	if err != nil {
		t.Fatalf("mqtttest: StartProxy: server %q: %v", server, err)
	}
	l, err := listenFree()
	if err != nil {
		t.Fatalf("mqtttest: StartProxy: %v", err)
	}
	p := &Proxy{
		t: t, scheme: scheme, server: target, addr: l.Addr().String(),
		links: make(map[*link]struct{}), changed: make(chan struct{}),
	}
	p.serve(l)
	t.Cleanup(p.close)
	return p
}

func parseServer(server string) (scheme, addr string, err error) {
	scheme, addr = "mqtt", server
	if strings.Contains(server, "://") {
		u, err := url.Parse(server)
		if err != nil {
			return "", "", err
		}
		scheme, addr = u.Scheme, u.Host
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", "", fmt.Errorf("not a URL with a port, and not host:port: %w", err)
	}
	return scheme, addr, nil
}

// URL returns the proxy's address for [mqtt.Dial], with the scheme of the server, for
// example mqtts://127.0.0.1:12345.
//
// [mqtt.Dial]: https://pkg.go.dev/github.com/mosquitto-go/mosquitto/mqtt#Dial
func (p *Proxy) URL() string { return p.scheme + "://" + p.addr }

// Addr returns the proxy's TCP address, for example 127.0.0.1:12345.
func (p *Proxy) Addr() string { return p.addr }

// Cut closes all connections in an orderly way (TCP FIN). The client and the server read
// the end of the stream, as when the other side has closed the connection. Data that has
// not been forwarded is lost. Clients can connect again at once; call [Proxy.Refuse] first
// to prevent this.
func (p *Proxy) Cut() {
	for _, l := range p.current() {
		l.cut()
	}
}

// Reset breaks all connections (TCP RST). The client and the server get the error
// "connection reset by peer", as when the other computer or a firewall has lost the
// connection. Clients can connect again at once.
func (p *Proxy) Reset() {
	for _, l := range p.current() {
		l.reset()
	}
}

// Stall stops forwarding data in both directions, on existing and new connections. A
// client sees an unplugged cable or a frozen broker: no error, but nothing arrives. It can
// connect, but it receives no CONNACK. Only timeouts and the keepalive end the connection.
func (p *Proxy) Stall() { p.change(func(n *network) { n.stalled = true }) }

// Resume ends [Proxy.Stall]. The proxy forwards all data that was sent meanwhile on
// connections that still exist.
func (p *Proxy) Resume() { p.change(func(n *network) { n.stalled = false }) }

// Delay holds data for d in each direction before it forwards it, on existing and new
// connections. A client sees a slow network: each reply arrives at least 2*d later. With d <= 0
// the delay ends.
func (p *Proxy) Delay(d time.Duration) { p.change(func(n *network) { n.delay = d }) }

// Refuse closes the proxy's port. A client that connects gets the error "connection
// refused", as when no broker runs. Existing connections continue; call [Proxy.Cut] after
// Refuse to end them.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		_ = l.Close()
		<-l.ended // a connection accepted at the last moment is now in links
	}
}

// Accept ends [Proxy.Refuse]: the proxy listens on the same port again.
func (p *Proxy) Accept() {
	p.t.Helper()
	p.mu.Lock()
	listening := p.listener != nil
	p.mu.Unlock()
	if listening {
		return
	}
	l, err := net.Listen("tcp4", p.addr)
	if err != nil {
		p.t.Fatalf("mqtttest: Accept: %v", err)
	}
	p.serve(l)
}

// serve accepts connections until the listener is closed.
func (p *Proxy) serve(l net.Listener) {
	serving := &listener{l, make(chan struct{})}
	p.mu.Lock()
	p.listener = serving
	p.mu.Unlock()
	go func() {
		defer close(serving.ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.forward(conn.(*net.TCPConn))
		}
	}()
}

// forward connects a client with the server.
func (p *Proxy) forward(client *net.TCPConn) {
	l := newLink(p, client)
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		l.run()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
}

func (p *Proxy) current() (links []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) change(f func(*network)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.network)
	close(p.changed)
	p.changed = make(chan struct{})
}

// state returns how data is forwarded, and a channel that is closed at the next change.
func (p *Proxy) state() (n network, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.network, p.changed
}

func (p *Proxy) close() {
	p.Refuse()
	p.Reset()
	p.running.Wait()
}
