package faultproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is one connection through the proxy: the client's connection and the
// proxy's connection to the server.
type link struct {
	proxy     *Proxy
	client    *net.TCPConn
	blackhole bool            // accepted by BlackholeNew: the proxy neither reads nor writes
	ctx       context.Context // cancelled when the link must end
	cancel    context.CancelFunc
	closed    chan struct{} // closed after both connections are closed

	mu     sync.Mutex
	server *net.TCPConn // nil until the target has accepted
	how    ending
	ended  bool

	halfClosed [2]atomic.Bool  // by HalfClose
	sent       [2]atomic.Int64 // bytes forwarded
	origin     [2]int64        // value of sent when CutAfter was called; guarded by the proxy's mutex
}

func newLink(p *Proxy, client *net.TCPConn, blackhole bool) *link {
	ctx, cancel := context.WithCancel(context.Background())
	return &link{proxy: p, client: client, blackhole: blackhole, ctx: ctx, cancel: cancel, closed: make(chan struct{})}
}

// run connects to the target and forwards both directions until the link ends.
func (l *link) run(target string) {
	defer l.proxy.remove(l)
	defer l.finish()
	if l.blackhole {
		<-l.ctx.Done()
		return
	}
	if !l.dial(target) {
		l.end(withReset)
		return
	}
	var down sync.WaitGroup
	down.Add(1)
	go func() {
		defer down.Done()
		l.pump(Down, l.server, l.client)
	}()
	l.pump(Up, l.client, l.server)
	down.Wait()
}

// dial connects to the target. It reports whether it succeeded before the link ended.
func (l *link) dial(target string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(l.ctx, "tcp", target)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = conn.(*net.TCPConn)
	if l.halfClosed[Up].Load() {
		_ = l.server.CloseWrite()
	}
	return !l.ended
}

var past = time.Unix(1, 0)

// end makes both pumps return. The first call determines how the connections are
// closed.
func (l *link) end(how ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended, l.how = true, how
	l.cancel()
	_ = l.client.SetDeadline(past)
	if l.server != nil {
		_ = l.server.SetDeadline(past)
	}
}

// finish closes both connections.
func (l *link) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	l.how.apply(l.client)
	if l.server != nil {
		l.how.apply(l.server)
	}
}

// halfClose ends one direction.
func (l *link) halfClose(d Direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halfClosed[d].Store(true)
	switch {
	case d == Down:
		_ = l.client.CloseWrite()
	case l.server != nil: // if it is nil, dial will call CloseWrite
		_ = l.server.CloseWrite()
	}
}

// pump forwards one direction until its sender closes the connection or the link
// ends.
func (l *link) pump(d Direction, from, to *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if forwardErr := l.forward(d, to, buf[:n]); forwardErr != nil {
			l.fail(forwardErr)
			return
		}
		if err != nil {
			l.forwardEnd(d, to, err)
			return
		}
	}
}

// forwardEnd forwards the sender's FIN or RST. While the direction is stalled it
// waits.
func (l *link) forwardEnd(d Direction, to *net.TCPConn, err error) {
	if _, ok := l.awaitUnstalled(d); !ok {
		return
	}
	if errors.Is(err, io.EOF) {
		_ = to.CloseWrite()
		return
	}
	l.fail(err)
}

// fail resets both connections after either one fails, as a network
// forwards a RST.
func (l *link) fail(err error) {
	if !errors.Is(err, errEnded) {
		l.end(withReset)
	}
}

var errEnded = errors.New("the link has ended")

// forward sends a chunk and applies the faults of the direction. It returns
// errEnded if the link ends.
func (l *link) forward(d Direction, to *net.TCPConn, chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	f, ok := l.awaitUnstalled(d)
	if !ok || !l.pause(f.delay) {
		return errEnded
	}
	for len(chunk) > 0 {
		f, ok = l.awaitUnstalled(d)
		if !ok {
			return errEnded
		}
		piece := chunk[:l.size(d, f, len(chunk))]
		if err := l.send(d, f, to, piece); err != nil {
			return err
		}
		chunk = chunk[len(piece):]
		if l.atEnd(d) {
			return errEnded
		}
		if !l.pause(f.after(len(piece))) {
			return errEnded
		}
	}
	return nil
}

// awaitUnstalled waits until the direction is not stalled. It returns false if the
// link ends.
func (l *link) awaitUnstalled(d Direction) (f faults, ok bool) {
	for {
		f, changed := l.faults(d)
		if l.ctx.Err() != nil {
			return f, false
		}
		if !f.stalled {
			return f, true
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
	}
}

// faults returns the faults of the direction, and a channel that is closed when
// they change. It converts endAt into a count from the link's first byte.
func (l *link) faults(d Direction) (f faults, changed <-chan struct{}) {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	f = p.faults[d]
	if f.endAt != never {
		f.endAt += l.origin[d]
	}
	return f, p.changed
}

// size returns how many of n bytes to send with the next write.
func (l *link) size(d Direction, f faults, n int) int {
	if f.split {
		n = 1
	}
	if f.rate > 0 {
		n = min(n, max(1, f.rate/100))
	}
	if f.endAt != never {
		n = int(min(int64(n), f.endAt-l.sent[d].Load()))
	}
	return max(n, 0)
}

// splitPause is long enough for the receiver to read a byte before the next byte
// arrives.
const splitPause = 20 * time.Microsecond

// after returns the pause after a piece of n bytes.
func (f faults) after(n int) (pause time.Duration) {
	if f.split {
		pause = splitPause
	}
	if f.rate > 0 {
		pause = max(pause, time.Duration(n)*time.Second/time.Duration(f.rate))
	}
	return pause
}

// send counts a piece and writes it. With the Corrupt fault it inverts some bytes.
// It counts first, so that a test that has received the piece finds it counted.
func (l *link) send(d Direction, f faults, to *net.TCPConn, piece []byte) error {
	if l.halfClosed[d].Load() {
		return nil
	}
	first := l.sent[d].Load() + 1
	for i := range piece {
		if f.corrupt > 0 && (first+int64(i))%f.corrupt == 0 {
			piece[i] ^= 0xFF
		}
	}
	l.sent[d].Add(int64(len(piece)))
	l.proxy.bytes[d].Add(int64(len(piece)))
	_, err := to.Write(piece)
	if l.halfClosed[d].Load() {
		return nil
	}
	return err
}

// atEnd ends the link if it has reached the byte given to CutAfter or ResetAfter.
// It then clears that fault, because it applies to one connection only.
func (l *link) atEnd(d Direction) bool {
	f, _ := l.faults(d)
	if f.endAt == never || l.sent[d].Load() < f.endAt {
		return false
	}
	l.proxy.set(d, func(f *faults) { f.endAt = never })
	l.end(f.how)
	return true
}

// pause waits for the duration d. It returns false if the link ends.
func (l *link) pause(d time.Duration) bool {
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// drain reads and discards all received bytes.
func drain(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	_ = raw.Read(func(fd uintptr) bool {
		buf := make([]byte, 64<<10)
		for range 64 { // enough for the socket buffers; do not follow a sender that never stops
			if n, err := syscall.Read(int(fd), buf); n <= 0 || err != nil {
				break
			}
		}
		return true
	})
}
