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
	state  atomic.Int32
	signal chan struct{}           // wakes Run from a pause; made for the first pause
	file   atomic.Pointer[os.File] // of the watched file descriptor

	raw       syscall.RawConn
	fd        int
	ready     func(uintptr) bool // for raw.Read, made once
	asked     bool               // ready has been called in this wait
	until     time.Time          // the read deadline of the file; zero if it may have passed
	blocked   bool               // the last pass did not write all output
	full      bool               // the last pass found the socket full, and waitWritable runs
	retry     time.Duration      // the last delay of output that waits for input
	writeWait atomic.Bool        // a goroutine waits until the socket is writable
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
// announce. A goroutine that adds work after announce wakes Run.
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
	if p.ready == nil {
		p.ready = func(uintptr) bool {
			if p.asked && !cPaused(c) { // Go's poller calls ready again when there is input
				return true
			}
			p.asked = true
			return cReady(c, p.blocked)
		}
	}
	p.raw, p.fd, p.blocked, p.until = raw, fd, false, time.Time{}
	p.file.Store(f)
	return true
}

// awaitClose sends the end of output, and discards input until the peer has closed the
// connection. It waits at most until limit, and at most endGrace after cancelled has become
// true.
func (p *poller) awaitClose(limit time.Time, cancelled func() bool) {
	_ = syscall.Shutdown(p.fd, syscall.SHUT_WR)
	f := p.file.Load()
	var discarded [512]byte
	for shortened := false; time.Now().Before(limit); {
		_ = f.SetReadDeadline(limit)
		p.announce(parkedOnRead)
		var err error
		if shortened || !cancelled() {
			_, err = f.Read(discarded[:])
		}
		p.resume()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // closed
			return
		}
		if !shortened && cancelled() {
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

// outputDelay prepares the wait if a pass did not write all output. A positive result is
// the delay before a retry.
func (p *poller) outputDelay(last *pass) time.Duration {
	p.blocked, p.full = last.wantWrite, false
	switch {
	case !last.wantWrite:
		p.retry = 0
	case last.writable && p.retry == 0: // a packet may have been queued after the write
		p.retry, p.blocked = 1, false
	case last.writable: // a TLS handshake waits for input; so does libmosquitto 2.1 after a DISCONNECT
		p.retry = min(max(2*p.retry, firstRetry), longestRetry)
		return p.retry
	default:
		p.full = true
		if p.writeWait.CompareAndSwap(false, true) {
			go p.waitWritable(p.raw)
		}
	}
	return 0
}

// waitInput waits for input or until until, or until Run is woken. It may return earlier,
// because it keeps an earlier deadline: setting a deadline for each wait would be slow.
func (p *poller) waitInput(until time.Time, hasWork func() bool) {
	if p.until.IsZero() || until.Before(p.until) {
		_ = p.file.Load().SetReadDeadline(until)
		p.until = until
	}
	p.announce(parkedOnRead)
	p.asked = false
	if !hasWork() && !p.writableAgain() && p.raw.Read(p.ready) != nil {
		p.until = time.Time{}
	}
	p.resume()
}

// writableAgain reports whether waitWritable has ended. waitWritable does not wake Run if
// it ends before Run has announced that it waits.
func (p *poller) writableAgain() bool { return p.full && !p.writeWait.Load() }

// waitWritable wakes Run when a full socket is writable again, or is closed.
func (p *poller) waitWritable(raw syscall.RawConn) {
	_ = raw.Write(cWritable)
	p.writeWait.Store(false)
	p.wake()
}
