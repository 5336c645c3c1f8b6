package mqtttest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection of a client through the proxy.
type link struct {
	proxy  *Proxy
	client *net.TCPConn
	ctx    context.Context // ends with cut and reset
	cancel context.CancelFunc

	mu     sync.Mutex
	server *net.TCPConn // nil until the server has accepted
}

func newLink(p *Proxy, client *net.TCPConn) *link {
	ctx, cancel := context.WithCancel(context.Background())
	return &link{proxy: p, client: client, ctx: ctx, cancel: cancel}
}

// run forwards data until both directions have ended.
func (l *link) run() {
	defer l.cancel()
	defer func() { _ = l.client.Close() }()
	server, ok := l.dial()
	if !ok {
		discard(l.client)
		return
	}
	defer func() { _ = server.Close() }()
	down := make(chan struct{})
	go func() {
		defer close(down)
		l.pump(server, l.client)
	}()
	l.pump(l.client, server)
	<-down
}

// dial connects to the server. It returns false if the link has been cut or reset.
func (l *link) dial() (server *net.TCPConn, ok bool) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(l.ctx, "tcp", l.proxy.server)
	if err != nil {
		l.fail()
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = conn.Close()
		return nil, false
	}
	l.server = conn.(*net.TCPConn)
	return l.server, true
}

// pump forwards one direction until the sender closes it or the link ends.
func (l *link) pump(from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !l.hold() {
			discard(from)
			return
		}
		if _, failed := to.Write(buf[:n]); failed != nil || err != nil && !errors.Is(err, io.EOF) {
			l.fail()
			discard(from)
			return
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// hold waits as long as the proxy holds data. It returns false if the link has ended.
func (l *link) hold() bool {
	n, changed := l.proxy.state()
	if n.delay > 0 {
		timer := time.NewTimer(n.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.ctx.Done():
		}
		n, changed = l.proxy.state()
	}
	for n.stalled && l.ctx.Err() == nil {
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
		n, changed = l.proxy.state()
	}
	return l.ctx.Err() == nil
}

func (l *link) cut() { l.endLocking(withFIN) }

func (l *link) reset() { l.endLocking(withReset) }

func (l *link) endLocking(how func(*net.TCPConn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(how)
}

// fail resets the link after an error, unless it has been cut.
func (l *link) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() == nil {
		l.end(withReset)
	}
}

// end ends both sides of the link. The caller must hold mu.
func (l *link) end(how func(*net.TCPConn)) {
	l.cancel()
	how(l.client)
	if l.server != nil {
		how(l.server)
	}
}

func withReset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// withFIN closes the connection for writing. The pump then reads until the peer has
// closed it too: a close with unread input would be a reset.
func withFIN(conn *net.TCPConn) {
	_ = conn.CloseWrite()
	_ = conn.SetDeadline(time.Now().Add(patience))
}

// patience is how long a cut connection waits for the peer to close it.
const patience = time.Second

// discard reads until the peer closes the connection.
func discard(conn *net.TCPConn) {
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, conn)
}
