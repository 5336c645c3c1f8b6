package faultproxy

import (
	"net"
	"slices"
	"time"
)

// faults are the active faults of one direction.
type faults struct {
	stalled bool
	delay   time.Duration // before each chunk
	rate    int           // bytes per second; 0: no limit
	split   bool          // write single bytes
	corrupt int64         // invert every n-th byte; 0: none
	endAt   int64         // end the first connection that has sent this many bytes, or never
	how     ending        // how to end it at endAt
}

const never = -1 // a value of endAt

var noFaults = faults{endAt: never}

// mode is how the proxy handles new connections.
type mode int

const (
	forwarding mode = iota
	closing
	blackhole
)

// Cut closes all connections with a FIN on both sides.
func (p *Proxy) Cut() { p.endAll(withFIN) }

// Reset closes all connections with a RST on both sides.
func (p *Proxy) Reset() { p.endAll(withReset) }

// CutUnanswered closes only the connections that were accepted after BlackholeNew.
func (p *Proxy) CutUnanswered() {
	end(withFIN, slices.DeleteFunc(p.current(), func(l *link) bool { return !l.blackhole }))
}

func (p *Proxy) endAll(how ending) { end(how, p.current()) }

// end ends connections and waits until they are closed.
func end(how ending, links []*link) {
	for _, l := range links {
		l.end(how)
	}
	for _, l := range links {
		<-l.closed
	}
}

func (p *Proxy) current() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

// HalfClose closes one direction of all connections. The receiver reads an end of
// file. The proxy discards further bytes from the sender.
func (p *Proxy) HalfClose(d Direction) {
	for _, l := range p.current() {
		for _, d := range d.each() {
			l.halfClose(d)
		}
	}
}

// Stall stops forwarding on existing and new connections. They stay open.
func (p *Proxy) Stall(d Direction) { p.set(d, func(f *faults) { f.stalled = true }) }

// Resume ends Stall. The proxy forwards the bytes that were sent during the stall.
func (p *Proxy) Resume(d Direction) { p.set(d, func(f *faults) { f.stalled = false }) }

// Delay delays each chunk that the proxy reads. A delay of 0 ends the fault.
func (p *Proxy) Delay(d Direction, delay time.Duration) {
	p.set(d, func(f *faults) { f.delay = delay })
}

// Rate limits each connection to a number of bytes per second. 0 removes the
// limit.
func (p *Proxy) Rate(d Direction, bytesPerSecond int) {
	p.set(d, func(f *faults) { f.rate = bytesPerSecond })
}

// Split makes the proxy write each byte separately.
func (p *Proxy) Split(d Direction, on bool) { p.set(d, func(f *faults) { f.split = on }) }

// Corrupt inverts every n-th byte of each connection, counted from the
// connection's first byte. 0 ends the fault.
func (p *Proxy) Corrupt(d Direction, n int) {
	p.set(d, func(f *faults) { f.corrupt = int64(n) })
}

// CutAfter closes one connection with a FIN: the first connection on which n more
// bytes are forwarded in the direction. The receiver gets exactly these n bytes. A
// negative n cancels the fault.
func (p *Proxy) CutAfter(d Direction, n int) { p.endAfter(d, n, withFIN) }

// ResetAfter is like CutAfter with a RST. The receiver may see the RST before the
// last bytes.
func (p *Proxy) ResetAfter(d Direction, n int) { p.endAfter(d, n, withReset) }

func (p *Proxy) endAfter(d Direction, n int, how ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range d.each() {
		p.setLocked(d, func(f *faults) { f.endAt, f.how = max(int64(n), never), how })
		for l := range p.links {
			l.origin[d] = l.sent[d].Load()
		}
	}
}

// Heal ends all faults and accepts new connections again.
func (p *Proxy) Heal() {
	p.set(Both, func(f *faults) { *f = noFaults })
	p.AcceptNew()
}

// AcceptNew forwards new connections again.
func (p *Proxy) AcceptNew() { p.setMode(forwarding) }

// CloseNew accepts new connections and closes them at once.
func (p *Proxy) CloseNew() { p.setMode(closing) }

// BlackholeNew accepts new connections and never reads from them or writes to
// them. They stay unanswered until CutUnanswered or another call closes them.
func (p *Proxy) BlackholeNew() { p.setMode(blackhole) }

// RefuseNew closes the listener, so that new connections are refused.
func (p *Proxy) RefuseNew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlisten()
}

// setMode also listens again after RefuseNew. That cannot fail, because holdPort
// has kept the port.
func (p *Proxy) setMode(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if p.listener != nil || p.closed {
		return
	}
	if err := p.listen(); err != nil {
		panic(err)
	}
}

func (p *Proxy) set(d Direction, change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLocked(d, change)
}

func (p *Proxy) setLocked(d Direction, change func(*faults)) {
	for _, d := range d.each() {
		change(&p.faults[d])
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// ending is how connections are closed.
type ending int

const (
	withFIN ending = iota
	withReset
)

// apply closes a connection.
func (how ending) apply(conn *net.TCPConn) {
	if how == withReset {
		_ = conn.SetLinger(0)
	} else {
		drain(conn) // closing a socket with unread input sends a RST
	}
	conn.Close()
}
