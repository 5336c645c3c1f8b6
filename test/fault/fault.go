// Package fault plays a faulty network between a client and a server: a TCP
// proxy on a free loopback port whose faults are switched while it runs.
package fault

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Direction is a way through the proxy.
type Direction int

// The directions; Both is for the switches alone.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
	Both
)

func (d Direction) each() []Direction {
	if d == Both {
		return []Direction{Up, Down}
	}
	return []Direction{d}
}

// Proxy forwards connections to its target. Its methods may be called from any
// goroutine. A switch holds for the bytes sent after it was set, on existing
// and on new connections.
type Proxy struct {
	Port int // on 127.0.0.1

	holder  int // a descriptor that keeps the port while nobody listens
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while new connections are refused
	target   string
	mode     mode
	closed   bool
	links    map[*link]struct{}
	faults   [2]faults
	changed  chan struct{} // closed, and replaced, when faults change

	accepted atomic.Int64
	bytes    [2]atomic.Int64
}

// Start starts a proxy for the address of a server. It ends with the test.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := Listen(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Listen is Start for a program, which calls Close.
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

// Addr is where clients connect.
func (p *Proxy) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.Port) }

// SetTarget is where new connections go from now on.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Accepted counts the connections that clients have made.
func (p *Proxy) Accepted() int { return int(p.accepted.Load()) }

// Open counts the connections that have not ended.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Bytes counts what was forwarded.
func (p *Proxy) Bytes(d Direction) (n int64) {
	for _, one := range d.each() {
		n += p.bytes[one].Load()
	}
	return n
}

// Close ends all connections and the proxy.
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

// listen opens the port. The caller holds the mutex.
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

// unlisten closes the port. The caller holds the mutex.
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

// admit treats a new connection as the mode says.
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

// forget is the last act of a link.
func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	close(l.gone)
	p.running.Done()
}
