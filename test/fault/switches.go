package fault

import (
	"net"
	"slices"
	"time"
)

// faults are the switches of one direction.
type faults struct {
	stalled bool
	delay   time.Duration // before each chunk
	rate    int           // bytes per second, 0 without a limit
	split   bool          // into single bytes
	corrupt int64         // every n-th byte, 0 none
	endAt   int64         // byte at which the next connection to reach it ends, or never
	how     ending
}

const never = -1

var noFaults = faults{endAt: never}

// mode says what becomes of new connections.
type mode int

const (
	forwarding mode = iota
	closing
	blackhole
)

// Cut closes all connections on both sides with a FIN.
func (p *Proxy) Cut() { p.endAll(withFIN) }

// Reset ends all connections on both sides with a RST.
func (p *Proxy) Reset() { p.endAll(withReset) }

// CutUnanswered is Cut for the connections of BlackholeNew alone.
func (p *Proxy) CutUnanswered() {
	end(withFIN, slices.DeleteFunc(p.current(), func(l *link) bool { return !l.blackhole }))
}

func (p *Proxy) endAll(how ending) { end(how, p.current()) }

// end ends connections, and waits until they have ended.
func end(how ending, links []*link) {
	for _, l := range links {
		l.end(how)
	}
	for _, l := range links {
		<-l.gone
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

// HalfClose ends one direction of all connections: its receiver reads an end of
// file, and what its sender still sends is thrown away.
func (p *Proxy) HalfClose(d Direction) {
	for _, l := range p.current() {
		for _, one := range d.each() {
			l.halfClose(one)
		}
	}
}

// Stall stops forwarding. Connections, also new ones, stay open.
func (p *Proxy) Stall(d Direction) { p.set(d, func(f *faults) { f.stalled = true }) }

// Resume ends Stall: what was sent meanwhile arrives.
func (p *Proxy) Resume(d Direction) { p.set(d, func(f *faults) { f.stalled = false }) }

// Delay holds each chunk that is read for this time, 0 for none.
func (p *Proxy) Delay(d Direction, delay time.Duration) {
	p.set(d, func(f *faults) { f.delay = delay })
}

// Rate limits each connection to this many bytes per second, 0 for no limit.
func (p *Proxy) Rate(d Direction, bytesPerSecond int) {
	p.set(d, func(f *faults) { f.rate = bytesPerSecond })
}

// Split forwards single bytes.
func (p *Proxy) Split(d Direction, on bool) { p.set(d, func(f *faults) { f.split = on }) }

// Corrupt inverts every n-th byte of each connection, counted from its first, 0
// for none.
func (p *Proxy) Corrupt(d Direction, n int) {
	p.set(d, func(f *faults) { f.corrupt = int64(n) })
}

// CutAfter cuts one connection, the first on which n more bytes have gone in the
// direction, behind exactly these bytes. A negative n takes it back.
func (p *Proxy) CutAfter(d Direction, n int) { p.endAfter(d, n, withFIN) }

// ResetAfter is CutAfter with a RST, which may overtake the last bytes.
func (p *Proxy) ResetAfter(d Direction, n int) { p.endAfter(d, n, withReset) }

func (p *Proxy) endAfter(d Direction, n int, how ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range d.each() {
		p.setLocked(one, func(f *faults) { f.endAt, f.how = max(int64(n), never), how })
		for l := range p.links {
			l.origin[one] = l.sent[one].Load()
		}
	}
}

// Heal takes all switches back, also those for new connections.
func (p *Proxy) Heal() {
	p.set(Both, func(f *faults) { *f = noFaults })
	p.AcceptNew()
}

// AcceptNew forwards new connections again.
func (p *Proxy) AcceptNew() { p.setMode(forwarding) }

// CloseNew accepts new connections and closes them at once.
func (p *Proxy) CloseNew() { p.setMode(closing) }

// BlackholeNew accepts new connections and never reads from them or answers.
// They stay so until they are cut.
func (p *Proxy) BlackholeNew() { p.setMode(blackhole) }

// RefuseNew closes the port: who connects is refused.
func (p *Proxy) RefuseNew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlisten()
}

// setMode opens the port too, if it is closed. That cannot fail: the port is held.
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
	for _, one := range d.each() {
		change(&p.faults[one])
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// ending is how connections end.
type ending int

const (
	withFIN ending = iota
	withReset
)

// apply ends a connection.
func (how ending) apply(conn *net.TCPConn) {
	if how == withReset {
		_ = conn.SetLinger(0)
	} else {
		drain(conn) // a close with unread input would be a RST
	}
	conn.Close()
}
