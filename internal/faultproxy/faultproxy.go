// Package faultproxy is a TCP proxy that simulates a faulty network between a client
// and a server. It listens on a free loopback port. Tests switch its faults on
// and off while it runs.
package faultproxy

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Direction is a direction through the proxy.
type Direction int

// The directions.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
	Both                  // only for methods that take a direction
)

func (d Direction) each() []Direction {
	if d == Both {
		return []Direction{Up, Down}
	}
	return []Direction{d}
}

// Proxy forwards connections to its target. Its methods are safe for concurrent
// use. A fault affects all bytes that are sent after it was set, on existing and
// on new connections.
type Proxy struct {
	Port int // on 127.0.0.1

	holder  int // a bound socket's file descriptor: it keeps the port while listener is nil
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while new connections are refused
	target   string
	mode     mode
	closed   bool
	links    map[*link]struct{}
	faults   [2]faults
	changed  chan struct{} // closed and replaced when faults change

	accepted atomic.Int64
	bytes    [2]atomic.Int64
}

// Start starts a proxy for the server at the address target. The proxy is closed
// when the test ends.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := Listen(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Listen is like Start, for a program without a testing.TB. The caller must call
// Close.
func Listen(target string) (*Proxy, error) {
	holder, port, err := holdPort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		Port: port, holder: holder, target: target,
		links: make(map[*link]struct{}), changed: make(chan struct{}),
		faults: [2]faults{noFaults, noFaults},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		releasePort(holder)
		return nil, err
	}
	return p, nil
}

// Addr returns the address that clients connect to.
func (p *Proxy) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.Port) }

// SetTarget sets the server that new connections are forwarded to.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Accepted returns the number of connections that were accepted so far.
func (p *Proxy) Accepted() int { return int(p.accepted.Load()) }

// Open returns the number of open connections.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Bytes returns the number of bytes that were forwarded so far.
func (p *Proxy) Bytes(d Direction) (n int64) {
	for _, d := range d.each() {
		n += p.bytes[d].Load()
	}
	return n
}

// Close resets all connections and stops the proxy.
func (p *Proxy) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.unlisten()
	p.mu.Unlock()
	p.endAll(withReset)
	p.running.Wait()
	if first {
		releasePort(p.holder)
	}
}

// listen starts to accept connections. The caller must hold mu.
func (p *Proxy) listen() error {
	l, err := net.Listen("tcp4", p.Addr())
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Add(1)
	go p.accept(l)
	return nil
}

// unlisten closes the listener. The caller must hold mu.
func (p *Proxy) unlisten() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

func (p *Proxy) accept(l net.Listener) {
	defer p.running.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.admit(conn.(*net.TCPConn))
	}
}

// admit handles a new connection according to the mode.
func (p *Proxy) admit(client *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == closing {
		client.Close()
		return
	}
	l := newLink(p, client, p.mode == blackhole)
	p.links[l] = struct{}{}
	p.running.Add(1)
	go l.run(p.target)
}

// remove removes a link that has closed its connections.
func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	close(l.closed)
	p.running.Done()
}
