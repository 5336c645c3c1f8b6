//go:build cgo

package mosquitto

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// poller is how Run waits: with a connection on Go's poller, without a connection on a
// channel. Run shares state, signal, file and writeWait with the goroutines that wake it,
// and owns the other fields.
type poller struct {
	state     atomic.Int32
	writeWait atomic.Bool             // a goroutine waits until the socket is writable
	signal    chan struct{}           // wakes Run from a pause; made for the first pause
	file      atomic.Pointer[os.File] // the watched file descriptor, for its deadlines; nil without a connection

	raw     syscall.RawConn
	fd      int
	step    func(input bool) bool // of serveInput; the runner sets it once
	ready   func(uintptr) bool    // for raw.Read, made once
	woken   bool                  // wake or the deadline has ended raw.Read, and ready was not called since
	blocked bool                  // queued output cannot be written before input, wake or a deadline
	full    bool                  // the last pass found the socket full, and waitWritable runs
	until   time.Time             // the read deadline of the file; zero if none is set
	retry   time.Duration         // the last delay of output that waits for input
}

// Values of poller.state: what Run waits for.
const (
	runAwake = iota
	parkedOnRead
	parkedOnWrite
	parkedInPause
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

func (p *poller) awake() bool { return p.state.Load() == runAwake }

// announce notes that Run is about to wait. Run must look for work once more after
// announce. A goroutine that adds work after announce wakes Run. Swap, not Store, is a barrier
// for the loads of flags that C shares.
func (p *poller) announce(state int32) { p.state.Swap(state) }

// announcePause is announce for a pause. It returns the channel that wakes Run.
func (p *poller) announcePause() (signal <-chan struct{}) {
	if p.signal == nil {
		p.signal = make(chan struct{}, 1)
	}
	p.announce(parkedInPause)
	return p.signal
}

// resume notes that Run no longer waits.
func (p *poller) resume() { p.state.Store(runAwake) }

// wake ends the wait of Run, from any goroutine.
func (p *poller) wake() {
	switch {
	case p.awake(): // the usual case, without a write to shared memory
	case p.state.CompareAndSwap(parkedOnRead, runAwake):
		if f := p.file.Load(); f != nil {
			_ = f.SetReadDeadline(past)
		}
	case p.state.CompareAndSwap(parkedOnWrite, runAwake):
		if f := p.file.Load(); f != nil {
			_ = f.SetWriteDeadline(past)
		}
	case p.state.CompareAndSwap(parkedInPause, runAwake):
		select {
		case p.signal <- struct{}{}:
		default:
		}
	}
}

// watch gives a duplicate of the connection's file descriptor to Go's poller.
func (p *poller) watch(c *cClient) bool {
	fd := cWatch(c)
	if fd < 0 {
		return false
	}
	f := os.NewFile(uintptr(fd), "mqtt")
	raw, err := f.SyscallConn()
	if err != nil || f.SetDeadline(time.Time{}) != nil {
		cUnwatch(c, fd)
		f.Close()
		return false
	}
	p.raw, p.fd, p.blocked, p.woken, p.until = raw, fd, false, false, time.Time{}
	p.file.Store(f)
	return true
}

// awaitClose shuts down the sending side of the socket, and discards input until the peer has
// closed the connection. It waits at most until limit, and at most endGrace after hurry has
// become true.
func (p *poller) awaitClose(limit time.Time, hurry func() bool) {
	_ = syscall.Shutdown(p.fd, syscall.SHUT_WR)
	f := p.file.Load()
	var discarded [512]byte
	for shortened := false; time.Now().Before(limit); {
		_ = f.SetReadDeadline(limit)
		p.announce(parkedOnRead)
		var err error
		if shortened || !hurry() {
			_, err = f.Read(discarded[:])
		}
		p.resume()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // closed
			return
		}
		if !shortened && hurry() {
			shortened = true
			if end := time.Now().Add(endGrace); end.Before(limit) {
				limit = end
			}
		}
	}
}

func (p *poller) unwatch(c *cClient) {
	cUnwatch(c, p.fd)
	p.file.Swap(nil).Close()
}

// waitConnected waits until a connect that is in progress has ended, or Run is
// woken.
func (p *poller) waitConnected(hasWork func() bool) {
	f := p.file.Load()
	_ = f.SetWriteDeadline(time.Time{})
	p.announce(parkedOnWrite)
	if !hasWork() {
		_ = p.raw.Write(func(fd uintptr) bool { return cConnectState(int(fd)) != int(syscall.EINPROGRESS) })
	}
	p.resume()
	_ = f.SetWriteDeadline(time.Time{})
}

// Delays before Run writes again output that waits for input. The first retry has no delay.
const (
	noDelay      time.Duration = 1
	firstDelay                 = time.Millisecond
	longestDelay               = time.Second
)

// planOutput decides how Run waits for output that a pass has not written. It returns the
// delay before a retry, or 0. If the socket is full, it starts waitWritable.
func (p *poller) planOutput(last *pass) time.Duration {
	p.blocked, p.full = last.wantWrite, false
	switch {
	case !last.wantWrite:
		p.retry = 0
	case last.writable && p.retry == 0: // a packet may have been queued after the write
		p.retry, p.blocked = noDelay, false
	case last.writable: // a TLS handshake waits for input; so does libmosquitto 2.1 after a DISCONNECT
		p.retry = min(max(2*p.retry, firstDelay), longestDelay)
		return p.retry
	default:
		p.full = true
		if p.writeWait.CompareAndSwap(false, true) {
			go p.waitWritable(p.file.Load(), p.raw)
		}
	}
	return 0
}

// serveInput calls step until step returns true. When step returns false, serveInput waits
// for input, for wake, or until the time that beginWait was called with. input is false if
// there was a wake instead of input. step runs inside raw.Read, so that Go's poller
// remembers input that arrives after beginWait has found none. serveInput reports false if Go's
// poller cannot watch the file any more.
func (p *poller) serveInput() bool {
	if p.ready == nil {
		p.ready = func(uintptr) bool {
			p.resume()
			input := !p.woken
			p.woken = false
			return p.step(input)
		}
	}
	for {
		if err := p.raw.Read(p.ready); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err == nil
		}
		p.woken = true
		if !time.Now().Before(p.until) {
			p.until = time.Time{}
		}
		_ = p.file.Load().SetReadDeadline(p.until) // wake has replaced it
	}
}

// beginWait prepares a wait that ends at until. It reports false, and Run must not wait, if Run
// has work. It lets the kernel acknowledge input if acknowledge is set. An earlier deadline
// stays, because setting a deadline for each wait would be slow.
func (p *poller) beginWait(c *cClient, until time.Time, acknowledge bool, hasWork func() bool) bool {
	if p.until.IsZero() || until.Before(p.until) {
		_ = p.file.Load().SetReadDeadline(until)
		p.until = until
	}
	p.announce(parkedOnRead)
	if hasWork() || p.writableAgain() || cReady(c, p.blocked, acknowledge) {
		p.resume()
		return false
	}
	return true
}

// writableAgain reports whether waitWritable has ended. waitWritable does not wake Run if
// it ends before Run has announced that it waits.
func (p *poller) writableAgain() bool { return p.full && !p.writeWait.Load() }

// waitWritable wakes Run when a full socket is writable again, or is closed. A late wake of
// waitConnected may have set a write deadline, which must not end the wait.
func (p *poller) waitWritable(f *os.File, raw syscall.RawConn) {
	for errors.Is(raw.Write(cWritable), os.ErrDeadlineExceeded) {
		_ = f.SetWriteDeadline(time.Time{})
	}
	p.writeWait.Store(false)
	p.wake()
}
