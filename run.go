//go:build cgo

package mosquitto

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Run drives the connection from the calling goroutine until ctx ends: the
// loop this package recommends. Connect first; an error of Connect may be
// ignored, Run tries again. Callbacks run in this goroutine alone, one at a
// time, in the order of arrival (log lines, passwords and OnPreConnect also
// where a connect is made). While idle the client holds no thread, whatever
// number its descriptor has.
//
// Whenever the connection is lost Run reconnects, with the pauses of
// [Client.ReconnectDelaySet], which begin anew when the broker accepts.
//
//	what happens                                         Run
//	ctx ends                                             sends DISCONNECT, returns ctx.Err() within 100 ms
//	Disconnect, here or in a callback                    sends it, returns nil when the broker has closed
//	Close                                                returns ErrClosed
//	lost by reset, EOF, keepalive, malformed packets     reconnects
//	TLS peer gone without close_notify                   reconnects
//	broker's DISCONNECT of MQTT 5, whatever its reason   reconnects
//	broker stopped, restarted, unreachable; DNS          reconnects
//	refused: server unavailable, busy, quota, ...        reconnects
//	refused: version, client id, credentials, banned,
//	  a will or packet that the broker does not take     returns a ConnackError
//	refused by the SOCKS5 proxy, by OnExtAuth            returns an OpError
//	TLS fails before the broker ever accepted            returns an OpError
//	out of memory, settings the library lacks            returns an OpError
//	panic in a callback                                  panics with a PanicError
//
// While a callback runs, its client's network stands still. Callbacks that take
// long share the time: after about 10 ms of callbacks Run writes, looks at the
// keepalive and runs functions that [Client.Post] queued. So an acknowledgement
// waits for its own callback and for at most about 20 ms of others, or for one
// other callback if that takes longer. While Run waits for a PINGRESP behind
// messages whose callbacks are slow, it reads up to 1 MiB of them ahead (topics
// and payloads). Each callback should take less than half the keepalive, because
// brokers wait one and a half keepalives for a packet. If the callback of a QoS 1
// or 2 message outlasts the keepalive and the broker sends the message again,
// Run acknowledges it before its callback runs.
//
// A Disconnect inside a message callback is carried out when the input at hand
// has been read, so that it reaches the broker with every library version. A
// broker that does not close after it is cut after five seconds. What blocks in
// the resolver is left behind when ctx ends: calls that need the network side
// return [ErrBusy] until it is back. After a return, for whatever reason,
// [Client.Connect] and Run may be called again.
//
// Inside a callback it returns [ErrInCallback], beside another loop [ErrBusy],
// before any connect [ErrNoConn].
func (c *Client) Run(ctx context.Context) error { return c.runFor(ctx, false) }

func (c *Client) runFor(ctx context.Context, once bool) error {
	const op = "run"
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, 0)
	if err != nil {
		return err
	}
	r := newRunner(ctx, c)
	r.once = once
	defer func() {
		if !r.abandoned {
			c.disown(back)
		}
	}()
	c.run.Store(r)
	defer c.run.Store(nil)
	if ctx.Done() != nil { // one that never ends is not worth the memory
		defer context.AfterFunc(ctx, r.wake)()
	}
	r.turn()
	if !c.used.Load() {
		return &OpError{Op: op, Err: ErrNoConn}
	}
	return r.run()
}

const (
	burst        = 256                   // packets read before the connection is looked after otherwise
	goodbye      = 50 * time.Millisecond // for a DISCONNECT to leave when ctx has ended
	firstRetry   = time.Millisecond      // for output that waits for no descriptor
	longestRetry = time.Second
)

// slice is how long the owner goes on without a word to the scheduler, which
// after 10 ms takes it for a slow call and wakes up at each batch of messages.
const slice = 4 * time.Millisecond

// stream is the longest pause between writes that are taken for a stream of them.
const stream = 100 * time.Microsecond

// runner is the state of one Run. Its goroutine is the owner of the network
// side; others reach it through wake and farewell.
type runner struct {
	c    *Client
	ctx  context.Context
	once bool // for one connection

	state    atomic.Int32             // where the owner waits
	signal   chan struct{}            // wakes it from a pause
	file     atomic.Pointer[os.File]  // of the watched descriptor
	farewell atomic.Pointer[farewell] // a Disconnect to be carried out

	raw       syscall.RawConn
	fd        int
	ready     func(uintptr) bool // for raw.Read, made once
	blocked   bool               // the last pass left output behind
	retry     time.Duration      // pause before output that is blocked by no descriptor
	writeWait atomic.Bool        // a goroutine waits until the socket is writable
	deadline  time.Time          // of a goodbye
	hurried   bool               // which the end of ctx, or Close, has made a short one

	keepalive time.Duration
	lastRead  time.Time // when there was input
	lastWrite time.Time // when there was output
	nextMisc  time.Time // when to look at the keepalive

	accepted  uint      // the client's acceptances, as last seen
	ever      bool      // the broker has accepted in this Run
	failures  int       // attempts since it did
	yielded   time.Time // when the scheduler was last let in while input did not end
	abandoned bool      // a connect was left behind, and gives the network side back

	pacer      pacer
	connecting bool // a goroutine of blockingAttempt uses the network side
	paused     bool // PauseReading was in force before the last pass
}

func newRunner(ctx context.Context, c *Client) *runner {
	r := &runner{c: c, ctx: ctx, signal: make(chan struct{}, 1)}
	r.pacer.start(func() bool { return c.run.Load() != r || r.state.Load() != awake })
	code, accepted, _ := cConnack(c.c)
	r.accepted, r.ever = accepted, code == ConnackAccepted
	return r
}

// Values of runner.state.
const (
	awake = iota
	parkedOnRead
	parkedOnWrite
	parkedInPause
)

// farewell is a Disconnect that waits for the end of a read pass.
type farewell struct {
	reason int
	props  []byte
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// wake makes the owner look around, if it waits.
func (r *runner) wake() {
	switch {
	case r.state.Load() == awake: // most often: without taking the owner's memory away
	case r.state.CompareAndSwap(parkedOnRead, awake):
		if f := r.file.Load(); f != nil {
			_ = f.SetReadDeadline(past)
		}
	case r.state.CompareAndSwap(parkedOnWrite, awake):
		if f := r.file.Load(); f != nil {
			_ = f.SetWriteDeadline(past)
		}
	case r.state.CompareAndSwap(parkedInPause, awake):
		select {
		case r.signal <- struct{}{}:
		default:
		}
	}
}

// wakeRun lets Run send what was queued.
func (c *Client) wakeRun() {
	if r := c.run.Load(); r != nil {
		r.wake()
	}
}

// disconnect is Disconnect while Run is on: the owner carries it out.
func (r *runner) disconnect(op string, f farewell) error {
	connected := cSocket(r.c.c) >= 0 // before the owner carries it out
	r.farewell.Store(&f)
	cEndBurst(r.c.c)
	r.wake()
	if !connected {
		return &OpError{Op: op, Err: ErrNoConn}
	}
	return nil
}

// run alternates between connections and the pauses after them.
func (r *runner) run() error {
	lost := result{rc: cErrNoConn}
	connected := cSocket(r.c.c) >= 0
	for {
		if connected {
			lost, connected = r.serve()
			r.endDeliveries()
		}
		if end, err := r.verdict(lost); end {
			return err
		}
		if connected { // OnDisconnect has reconnected
			continue
		}
		if r.once {
			return libError("run", result{rc: cErrConnLost})
		}
		r.pause()
		if !r.over() {
			lost = r.reconnect()
			connected = lost.rc <= cSuccess
		}
	}
}

// over tells whether Run is to end, connected or not.
func (r *runner) over() bool {
	return r.ctx.Err() != nil || r.c.leaving.Load() || r.farewell.Load() != nil || r.c.gate.closed()
}

// verdict decides after a connection, or an attempt at one, has ended.
func (r *runner) verdict(lost result) (end bool, err error) {
	const op = "run"
	code, _, _ := cConnack(r.c.c)
	r.c.leftInput(lost) // also where Run ends: the next Connect may be this client's
	switch {
	case r.c.gate.closed():
		return true, &OpError{Op: op, Err: ErrClosed}
	case r.ctx.Err() != nil:
		return true, r.ctx.Err()
	case r.c.leaving.Load(), r.farewell.Load() != nil:
		return true, nil
	case code > ConnackAccepted && (r.once || !code.Temporary()):
		return true, code.Err()
	}
	if r.once {
		return lost.rc != cSuccess, libError(op, lost)
	}
	switch Error(lost.rc) {
	case ErrNoMem, ErrNotSupported, ErrAuth:
		return true, libError(op, lost)
	case ErrTLS:
		return !r.ever, libError(op, lost)
	case ErrErrno: // how 2.0.12 and later report a failed TLS handshake
		return !r.ever && syscall.Errno(lost.errno) == syscall.EPROTO, libError(op, lost)
	case ErrInval: // a setting that every attempt meets
		return !r.ever, libError(op, lost)
	}
	return false, nil
}

// serve looks after one connection until it has ended. again says that a
// callback has made the next one already.
func (r *runner) serve() (lost result, again bool) {
	if !r.watch() {
		cAbandon(r.c.c)
		return result{rc: cErrNoConn}, false
	}
	defer r.unwatch()
	if lost := r.establish(); lost.rc != cSuccess {
		cAbandon(r.c.c) // such attempts end without a callback, as blocking ones do
		return lost, false
	}
	for {
		r.turn()
		r.goodbye()
		r.paused = cPaused(r.c.c)
		now := time.Now()
		r.pacer.begin(now)
		misc := !now.Before(r.nextMisc)
		p := cPass(r.c.c, burst, misc, !r.deadline.IsZero(), now.Sub(r.lastWrite) < stream)
		r.note(p.accepted)
		switch {
		case p.panicked != 0:
			r.raise(p.result)
		case p.rc != cSuccess && p.watching: // 2.0.11 does not close after a failed TLS handshake
			cAbandon(r.c.c)
			return p.result, false
		case p.rc != cSuccess || !p.watching:
			return p.result, !p.closed
		}
		r.planMisc(now, misc, p)
		if !p.more {
			r.park(p)
		} else if now.Sub(r.yielded) > slice {
			runtime.Gosched()
			r.yielded = now
		}
	}
}

// turn runs the functions that Post queued, outside all callbacks.
func (r *runner) turn() {
	if fault := r.c.runPosts(); fault != nil {
		cAbandon(r.c.c)
		panic(fault)
	}
}

// note takes notice of a new acceptance by the broker.
func (r *runner) note(accepted uint) {
	if accepted != r.accepted {
		r.accepted, r.ever, r.failures = accepted, true, 0
		r.setKeepalive() // the broker may demand another one
	}
}

// watch gives the connection to Go's poller.
func (r *runner) watch() bool {
	fd := cWatch(r.c.c)
	if fd < 0 {
		return false
	}
	f := os.NewFile(uintptr(fd), "mqtt")
	raw, err := f.SyscallConn()
	if err != nil || f.SetDeadline(time.Time{}) != nil {
		cUnwatch(r.c.c, fd)
		f.Close()
		return false
	}
	if r.ready == nil {
		r.ready = func(uintptr) bool { return cReady(r.c.c, r.blocked) }
	}
	r.raw, r.fd, r.blocked, r.deadline, r.hurried = raw, fd, false, time.Time{}, false
	r.file.Store(f)
	r.setKeepalive()
	return true
}

func (r *runner) unwatch() {
	cUnwatch(r.c.c, r.fd)
	r.file.Swap(nil).Close()
}

// setKeepalive takes the keepalive of the client, or the one the broker demanded.
func (r *runner) setKeepalive() {
	r.keepalive = r.c.server.keepalive
	if _, _, seconds := cConnack(r.c.c); seconds >= 0 {
		r.keepalive = time.Duration(seconds) * time.Second
	}
	if r.keepalive == 0 {
		r.keepalive = 24 * time.Hour // nothing to keep alive
	}
	r.lastRead, r.lastWrite = time.Now(), time.Now()
	r.nextMisc = r.lastWrite.Add(r.keepalive)
}

// planMisc sets the time for the next look at the keepalive: when one passed
// since the last input or the last output. A look that came too early for the
// library, which counts whole seconds, is repeated after one.
func (r *runner) planMisc(now time.Time, misc bool, p pass) {
	if p.read {
		r.lastRead = now
	}
	if p.wrote {
		r.lastWrite = now
	}
	switch {
	case p.pinged: // the PINGRESP has as long
		r.lastRead = now
	case misc:
		r.nextMisc = now.Add(time.Second)
		return
	}
	last := r.lastRead
	if r.lastWrite.Before(last) {
		last = r.lastWrite
	}
	r.nextMisc = last.Add(r.keepalive)
}

// establish waits until an asynchronous connect has come to its end.
func (r *runner) establish() result {
	for {
		switch errno := cConnectState(r.fd); {
		case errno == 0:
			return result{}
		case syscall.Errno(errno) != syscall.EINPROGRESS:
			return result{rc: cErrErrno, errno: errno}
		case r.over():
			return result{rc: cErrNoConn}
		}
		r.turn()
		f := r.file.Load()
		_ = f.SetWriteDeadline(time.Time{})
		r.state.Swap(parkedOnWrite)
		if !r.over() && !cPosted(r.c.c) {
			_ = r.raw.Write(func(fd uintptr) bool { return cConnectState(int(fd)) != int(syscall.EINPROGRESS) })
		}
		r.state.Store(awake)
		_ = f.SetWriteDeadline(time.Time{})
	}
}

// goodbye carries out what ends a connection from our side, between two passes:
// inside one, the library would lose the DISCONNECT (2.1).
func (r *runner) goodbye() {
	if f := r.farewell.Swap(nil); f != nil {
		r.leave(stopGrace, f)
	}
	if r.ctx.Err() != nil || r.c.gate.closed() {
		r.leave(goodbye, &farewell{})
		r.hurried = true
	}
	if r.c.leaving.Load() && r.deadline.IsZero() { // Disconnect came before Run
		r.deadline = time.Now().Add(stopGrace)
	}
	if !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		cSever(r.c.c)
	}
}

// unheard tells whether there is something for goodbye that it has not acted on.
func (r *runner) unheard() bool {
	return r.farewell.Load() != nil || !r.hurried && (r.ctx.Err() != nil || r.c.gate.closed()) ||
		r.c.leaving.Load() && r.deadline.IsZero() || cPosted(r.c.c) || cPaused(r.c.c) != r.paused
}

// leave sends the DISCONNECT, if none was sent, and sets the time for the end.
func (r *runner) leave(patience time.Duration, f *farewell) {
	deadline := time.Now().Add(patience)
	if r.deadline.IsZero() {
		r.c.setLeaving(true)
		cDisconnectV5(r.c.c, f.reason, f.props)
		r.deadline = deadline
	} else if deadline.Before(r.deadline) {
		r.deadline = deadline
	}
}

// park waits for input, for room to write, for the keepalive, or for wake.
func (r *runner) park(p pass) {
	until := r.nextMisc
	if !r.deadline.IsZero() && r.deadline.Before(until) {
		until = r.deadline
	}
	r.blocked = p.wantWrite
	switch {
	case !p.wantWrite:
		r.retry = 0
	case p.writable: // a TLS handshake waits for input; so does 2.1 after a DISCONNECT
		r.retry = min(max(2*r.retry, firstRetry), longestRetry)
		if soon := time.Now().Add(r.retry); soon.Before(until) {
			until = soon
		}
	case r.writeWait.CompareAndSwap(false, true):
		go r.waitWritable(r.raw)
	}
	f := r.file.Load()
	_ = f.SetReadDeadline(until)
	r.state.Swap(parkedOnRead)
	if !r.unheard() {
		_ = r.raw.Read(r.ready)
	}
	r.state.Store(awake)
}

// waitWritable wakes the owner when a socket that was full takes bytes again,
// or is closed.
func (r *runner) waitWritable(raw syscall.RawConn) {
	_ = raw.Write(cWritable)
	r.writeWait.Store(false)
	r.wake()
}

// pause waits before the next attempt.
func (r *runner) pause() {
	r.failures++
	timer := time.NewTimer(r.c.backoff.pause(r.failures))
	defer timer.Stop()
	for !r.over() && !r.rest(timer.C) {
		r.turn()
	}
}

// rest waits for end, or until it is woken, and reports whether end came.
func (r *runner) rest(end <-chan time.Time) (ended bool) {
	r.state.Swap(parkedInPause)
	defer r.state.Store(awake)
	if r.over() || cPosted(r.c.c) {
		select {
		case <-end:
			return true
		default:
			return false
		}
	}
	select {
	case <-end:
		return true
	case <-r.signal:
		return false
	}
}

// pause is the delay before the n-th attempt in a row, as the library counts it.
func (b backoff) pause(n int) time.Duration {
	factor := min(n, 1<<15)
	if b.exponential {
		factor *= factor
	}
	if b.delay > b.limit/time.Duration(factor) {
		return b.limit
	}
	return b.delay * time.Duration(factor)
}

// reconnect makes an attempt, without blocking when there is no name to look up.
func (r *runner) reconnect() result {
	var attempt result
	if r.c.server.literal() {
		again := func() result { return cReconnectAsync(r.c.c) }
		attempt = r.c.cleanly(again, again)
	} else {
		attempt = r.blockingAttempt()
	}
	if attempt.panicked != 0 {
		r.raise(attempt)
	}
	return attempt
}

// raise panics with what a callback panicked with, and leaves no connection.
func (r *runner) raise(p result) {
	r.c.leftInput(p)
	cAbandon(r.c.c)
	panic(takePanic(int32(p.panicked)))
}

// literal tells whether connecting involves no resolver: then one address is all
// there is, and the asynchronous connect loses nothing.
func (s server) literal() bool {
	if s.port == 0 { // a unix socket
		return true
	}
	host := s.host
	if s.proxy != "" {
		host = s.proxy
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// connectSlots bounds the threads of this process that wait in the resolver or
// in connect(2) for a Run.
var connectSlots = make(chan struct{}, 64)

// blockingAttempt reconnects in a goroutine of its own, which is left behind
// when Run has to end before it is done.
func (r *runner) blockingAttempt() result {
	var taken atomic.Bool // by the side that deals with the outcome
	done := make(chan result, 1)
	defer func() { r.connecting = false }()
	for slots := connectSlots; ; {
		r.turnBeside(slots == nil, done, &taken)
		r.state.Swap(parkedInPause)
		switch {
		case r.over() && (slots != nil || taken.CompareAndSwap(false, true)):
			r.abandoned = slots == nil
			r.state.Store(awake)
			return result{rc: cErrNoConn}
		case cPosted(r.c.c):
			r.state.Store(awake)
			continue
		}
		select {
		case slots <- struct{}{}:
			slots = nil
			if r.c.gate.enter() != nil {
				<-connectSlots
				r.state.Store(awake)
				return result{rc: cErrNoConn}
			}
			r.connecting = true
			again := func() result { return cReconnect(r.c.c) }
			go r.c.connectFor(func() result { return r.c.cleanly(again, again) }, done, &taken)
		case attempt := <-done:
			r.state.Store(awake)
			return attempt
		case <-r.signal:
		}
		r.state.Store(awake)
	}
}

// turnBeside is turn beside a blocking connect: a panic leaves the connect
// behind, or ends the connection that it has made.
func (r *runner) turnBeside(connecting bool, done <-chan result, taken *atomic.Bool) {
	fault := r.c.runPosts()
	if fault == nil {
		return
	}
	if connecting && taken.CompareAndSwap(false, true) {
		r.abandoned = true
		panic(fault)
	}
	if connecting {
		<-done
	}
	cAbandon(r.c.c)
	panic(fault)
}

// connectFor makes a blocking attempt. If nobody waits for it any more it ends
// the connection, and gives the network side back.
func (c *Client) connectFor(connect func() result, done chan<- result, taken *atomic.Bool) {
	defer c.end()
	attempt := connect()
	<-connectSlots
	if taken.CompareAndSwap(false, true) {
		done <- attempt
		return
	}
	cAbandon(c.c)
	c.disown(ownerNone)
	if attempt.panicked != 0 {
		panic(takePanic(int32(attempt.panicked)))
	}
}
