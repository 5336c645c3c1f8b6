//go:build cgo

package mosquitto

import (
	"runtime"
	"syscall"
	"time"
)

// This file serves one connection of Run, from the connect in progress to the loss of the
// connection. The state is in runner.

// burst is the number of packets that one pass reads.
const burst = 256

// maxRun is how long Run continues before it calls runtime.Gosched. After 10 ms the
// scheduler would treat the loop like a slow system call.
const maxRun = 4 * time.Millisecond

// serve serves one connection until it has ended. again reports that OnDisconnect
// has begun the next one.
func (r *runner) serve() (lost result, again bool) {
	r.begun, r.deadline, r.acks = notEnding, time.Time{}, tcpAcks{}
	state := syscall.Errno(cConnectState(cSocket(r.c.c)))
	if hasFailed(state) { // do not register with Go's poller: while a broker is down, thousands of clients may try to connect
		cAbandonFailed(r.c.c)
		return result{rc: cErrErrno, errno: int(state)}, false
	}
	if !r.watch() {
		cAbandon(r.c.c)
		return result{rc: cErrNoConn}, false
	}
	defer r.release()
	if lost := r.establish(state); lost.rc != cSuccess {
		cAbandon(r.c.c) // calls no callback, like a blocking connect that fails
		return lost, false
	}
	if !r.poller.serveInput() {
		cCutOwn(r.c.c)
		for !r.step(true) { // the library reads the end of the connection
		}
	}
	return r.lost, r.again
}

// step makes passes until Run has to wait. It returns true when the connection has ended,
// and sets lost and again. Without input, every second pass only writes, because a read
// would delay the messages of a publisher that has woken Run.
func (r *runner) step(input bool) (ended bool) {
	for {
		now := r.prepare()
		misc := !now.Before(r.nextMisc)
		budget := 0
		if input || misc || r.begun != notEnding {
			budget = burst
		}
		p := cPass(r.c.c, budget, misc, r.begun != notEnding)
		r.noteAccepted(p.accepted)
		if r.finishPass(&p) {
			return true
		}
		r.planMisc(now, misc, &p)
		r.acks.note(now, p.read || input && !r.isAccepted(), p.wrote) // before the CONNACK, input of a TLS handshake has no packets
		if !p.more && r.beginWait(now, &p) {
			return false
		}
		input = p.more || budget == 0
		if p.more && now.Sub(clockStart)-r.yielded > maxRun {
			runtime.Gosched()
			r.yielded = now.Sub(clockStart)
		}
	}
}

// beginWait prepares the wait after the pass p, which began at now. It reports false, and Run
// must not wait, if Run has work.
func (r *runner) beginWait(now time.Time, p *pass) bool {
	until, acknowledge := r.waitUntil(p), r.acks.due
	if r.acks.waits(now) {
		until, acknowledge = earlier(until, r.acks.since.Add(ackDelay)), false
	}
	if !r.poller.beginWait(r.c.c, until, acknowledge, r.work) {
		return false
	}
	if acknowledge {
		r.acks.due = false
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// isAccepted reports whether the broker has accepted this connection.
func (r *runner) isAccepted() bool {
	code, _, _ := cConnack(r.c.c)
	return code == ConnackAccepted
}

// prepare runs posted functions, ends the connection if Run has to end, and starts the
// pacer. It returns the time at which the pass begins.
func (r *runner) prepare() time.Time {
	r.turn()
	r.end()
	r.resumes, r.paused = r.c.resumes.Load(), cPaused(r.c.c)
	now := time.Now()
	r.pacer.begin(now)
	return now
}

// finishPass reports whether the connection has ended in the pass p. If so, it sets lost and
// again. It panics if a callback has panicked.
func (r *runner) finishPass(p *pass) (ended bool) {
	switch {
	case p.panicked != 0:
		r.raise(p.result)
	case p.rc != cSuccess && p.watching: // 2.0.11 does not close after a failed TLS handshake
		cAbandon(r.c.c)
		r.lost, r.again = p.result, false
	case p.rc != cSuccess || !p.watching:
		r.lost, r.again = p.result, !p.closed
	default:
		return false
	}
	return true
}

// watch registers the connection with Go's poller, and starts the keepalive timers.
func (r *runner) watch() bool {
	if !r.poller.watch(r.c.c) {
		return false
	}
	r.setKeepalive()
	return true
}

// noteAccepted resets the failures if a CONNACK of this pass has accepted the connection.
func (r *runner) noteAccepted(accepted uint) {
	if accepted != r.accepted {
		r.accepted, r.ever, r.failures = accepted, true, 0
		r.setKeepalive() // the CONNACK may demand another keepalive
	}
}

// closeGrace is how long the broker may take to close a connection after the library has
// sent DISCONNECT and has closed its file descriptor.
const closeGrace = time.Second

// release releases the connection. After a DISCONNECT it first waits until the broker has
// closed. If the socket were closed before, the broker's next packet, such as a PUBACK,
// would be answered with a reset. A reset makes the broker's system drop what the broker
// has not read yet: messages and the DISCONNECT.
func (r *runner) release() {
	if r.c.leaving.Load() {
		limit := time.Now().Add(closeGrace)
		if r.begun == cancelled && r.deadline.Before(limit) {
			limit = r.deadline
		}
		r.poller.awaitClose(limit, func() bool { return r.begun != cancelled && r.wanted() == cancelled })
	}
	r.poller.unwatch(r.c.c)
}

// setKeepalive uses the keepalive of the CONNACK if it has one, otherwise the keepalive of
// the connect.
func (r *runner) setKeepalive() {
	r.keepalive = r.c.server.keepalive
	if _, _, seconds := cConnack(r.c.c); seconds >= 0 {
		r.keepalive = time.Duration(seconds) * time.Second
	}
	if r.keepalive == 0 {
		r.keepalive = 24 * time.Hour // no keepalive
	}
	now := time.Now()
	r.lastRead = now.Sub(clockStart)
	r.lastWrite = r.lastRead
	r.nextMisc = now.Add(r.keepalive)
}

// planMisc sets the time of the next keepalive check: one keepalive after the last input
// or the last output, whichever was earlier. The library counts whole seconds. If a check
// was too early, Run repeats it after one second.
func (r *runner) planMisc(now time.Time, misc bool, p *pass) {
	if p.read || p.pinged { // after a PINGREQ, the PINGRESP may take one keepalive to arrive
		r.lastRead = now.Sub(clockStart)
	}
	if p.wrote {
		r.lastWrite = now.Sub(clockStart)
	}
	if misc && !p.pinged {
		r.nextMisc = now.Add(time.Second)
		return
	}
	r.nextMisc = clockStart.Add(min(r.lastRead, r.lastWrite) + r.keepalive)
}

// establish waits until an asynchronous connect has succeeded or failed.
func (r *runner) establish(state syscall.Errno) result {
	for {
		switch {
		case state == 0:
			return result{}
		case state == syscall.ENOTCONN && cWasConnected(r.c.c):
			return result{rc: cErrConnLost}
		case state == syscall.ENOTCONN:
			return result{rc: cErrErrno, errno: int(syscall.ECONNREFUSED)}
		case hasFailed(state):
			return result{rc: cErrErrno, errno: int(state)}
		case r.wanted() != notEnding:
			return result{rc: cErrNoConn}
		}
		r.turn()
		r.poller.waitConnected(func() bool { return r.wanted() != notEnding || cPosted(r.c.c) })
		state = syscall.Errno(cConnectState(r.poller.fd))
	}
}

// hasFailed reports whether a connect in this state has failed. For ENOTCONN the reason is
// unknown.
func hasFailed(state syscall.Errno) bool {
	return state != 0 && state != syscall.EINPROGRESS && state != syscall.ENOTCONN
}

// end ends the connection between two passes if Run has to end. It sends a DISCONNECT, and
// cuts the connection after the deadline.
func (r *runner) end() {
	if e := r.wanted(); e > r.begun {
		r.startEnding(e)
	}
	if r.begun != notEnding && !time.Now().Before(r.deadline) {
		cCutOwn(r.c.c)
		r.dropMessages(true)
	}
}

// startEnding sends the DISCONNECT if none was sent, and sets the deadline.
func (r *runner) startEnding(e ending) {
	deadline := time.Now().Add(r.grace(e))
	if r.begun == notEnding || deadline.Before(r.deadline) {
		r.deadline = deadline
	}
	if r.begun == notEnding && !(r.c.leaving.Load() && r.request.Load() == nil) { // otherwise the DISCONNECT was queued before Run
		d := r.request.Load()
		if d == nil {
			d = &disconnect{}
		}
		r.c.setLeaving(true)
		cDisconnectV5(r.c.c, d.reason, d.props)
	}
	if e == cancelled {
		r.dropMessages(false)
	}
	r.begun = e
}

// grace returns how long the connection may take to end.
func (r *runner) grace(e ending) time.Duration {
	switch {
	case e != cancelled:
		return stopGrace
	case r.c.gate.closed() && r.c.deliveries.unacknowledged > 0: // no callback may start, so no acknowledgement and no DISCONNECT can be written
		return 0
	}
	return endGrace
}

// hasWork reports whether Run has work to do before it may wait. It also compares the number
// of ResumeReading calls: a callback of the last pass may have paused, and another
// goroutine may have resumed after the pass had left messages pending.
func (r *runner) hasWork() bool {
	return r.wanted() > r.begun || cPosted(r.c.c) || cPaused(r.c.c) != r.paused || r.c.resumes.Load() != r.resumes
}

// waitUntil returns the time at which Run must stop waiting. It prepares the poller for
// output that the pass p has not written.
func (r *runner) waitUntil(p *pass) time.Time {
	until := r.nextMisc
	if r.begun != notEnding {
		until = earlier(until, r.deadline)
	}
	if delay := r.poller.planOutput(p); delay > 0 {
		until = earlier(until, time.Now().Add(delay))
	}
	return until
}

// wake makes Run look for work if it waits.
func (r *runner) wake() { r.poller.wake() }

// wakeRun lets Run send queued packets.
func (c *Client) wakeRun() {
	if r := c.run.Load(); r != nil {
		r.wake()
	}
}
