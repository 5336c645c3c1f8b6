//go:build cgo

package mqtt_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// guard is a server in the place of a broker: it accepts who has come through the
// handshake, and keeps all that it hears.
type guard struct {
	Port int

	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	config   *tls.Config // nil: a broker without TLS, which hangs up on what is not MQTT
	conns    map[net.Conn]bool
	wire     bytes.Buffer // as it came
	heard    bytes.Buffer // what was inside TLS
	accepted int          // CONNECTs
	refused  int          // handshakes that failed
	closed   bool
}

// watch starts a guard, which ends with the test.
func watch(t testing.TB, config *tls.Config) *guard {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	g := &guard{Port: l.Addr().(*net.TCPAddr).Port, listener: l, config: config, conns: map[net.Conn]bool{}}
	g.running.Add(1)
	go g.serve()
	t.Cleanup(g.close)
	return g
}

func (g *guard) close() {
	g.listener.Close()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.become(nil)
	g.running.Wait()
}

// become makes another server of it: what was heard is forgotten, connections end.
func (g *guard) become(config *tls.Config) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.config = config
	g.wire.Reset()
	g.heard.Reset()
	g.accepted, g.refused = 0, 0
	for conn := range g.conns {
		delete(g.conns, conn)
		conn.Close()
	}
}

func (g *guard) serve() {
	defer g.running.Done()
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		if g.closed {
			conn.Close()
		} else {
			g.conns[conn] = true
			g.running.Add(1)
			go g.receive(tapped{conn, g}, g.config)
		}
		g.mu.Unlock()
	}
}

// tapped keeps what comes in.
type tapped struct {
	net.Conn
	g *guard
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.g.note(c, func() { c.g.wire.Write(b[:n]) })
	return n, err
}

// note writes something of a connection down, unless the guard has become another
// server since.
func (g *guard) note(c tapped, f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns[c.Conn] {
		f()
	}
}

func (g *guard) receive(c tapped, config *tls.Config) {
	defer g.running.Done()
	defer g.note(c, func() { delete(g.conns, c.Conn) })
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * wait.Patience))
	packet := make([]byte, 4096)
	if config == nil {
		_, _ = c.Read(packet)
		g.note(c, func() { g.refused++ })
		return
	}
	inside := tls.Server(c, config)
	if inside.Handshake() != nil {
		g.note(c, func() { g.refused++ })
		return
	}
	for first := true; ; first = false {
		n, err := inside.Read(packet)
		g.note(c, func() { g.heard.Write(packet[:n]) })
		if err != nil {
			return
		}
		if first {
			g.note(c, func() { g.accepted++ })
			_, _ = inside.Write([]byte{0x20, 2, 0, 0}) // CONNACK
		}
	}
}

// report is what the guard has seen since it became what it is.
func (g *guard) report() (wire, heard string, accepted, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wire.String(), g.heard.String(), g.accepted, g.refused
}

// over tells whether clients have tried, and have gone.
func (g *guard) over() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused > 0 && len(g.conns) == 0
}

// showing is a server's configuration with this certificate.
func showing(t testing.TB, cert *broker.Cert) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
