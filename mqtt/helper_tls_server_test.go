//go:build cgo

package mqtt_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// recordingServer replaces a broker. It sends CONNACK to each client that completes the TLS
// handshake, and records all bytes that it receives.
type recordingServer struct {
	Port int

	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	config   *tls.Config // nil for a server without TLS, which closes every connection
	conns    map[net.Conn]bool
	wire     bytes.Buffer // bytes from the network
	heard    bytes.Buffer // decrypted bytes
	accepted int          // number of CONNECT packets
	refused  int          // number of failed handshakes
	closed   bool
}

// startRecordingServer starts a server that stops at the end of the test.
func startRecordingServer(t testing.TB, config *tls.Config) *recordingServer {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	g := &recordingServer{Port: l.Addr().(*net.TCPAddr).Port, listener: l, config: config, conns: map[net.Conn]bool{}}
	g.running.Add(1)
	go g.serve()
	t.Cleanup(g.close)
	return g
}

func (g *recordingServer) close() {
	g.listener.Close()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.replace(nil)
	g.running.Wait()
}

// replace replaces the TLS configuration. It clears the records and closes all connections.
func (g *recordingServer) replace(config *tls.Config) {
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

func (g *recordingServer) serve() {
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
			go g.receive(recordedConn{conn, g}, g.config)
		}
		g.mu.Unlock()
	}
}

// recordedConn records the bytes that Read returns.
type recordedConn struct {
	net.Conn
	g *recordingServer
}

func (c recordedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.g.note(c, func() { c.g.wire.Write(b[:n]) })
	return n, err
}

// note calls f with the lock held. It does nothing if replace has closed the connection.
func (g *recordingServer) note(c recordedConn, f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns[c.Conn] {
		f()
	}
}

func (g *recordingServer) receive(c recordedConn, config *tls.Config) {
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

// report returns the records since the start or the last call of replace.
func (g *recordingServer) report() (wire, heard string, accepted, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wire.String(), g.heard.String(), g.accepted, g.refused
}

// hasRefused reports whether a handshake has failed and all connections are closed.
func (g *recordingServer) hasRefused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused > 0 && len(g.conns) == 0
}

// serverConfig returns the TLS configuration of a server with this certificate.
func serverConfig(t testing.TB, cert *broker.Cert) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
