//go:build cgo

package mosquitto

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// This file is Run and RunOnce: which connections they serve, and what they do between
// two connections. The goroutine in Run owns the runner. Other goroutines use only its
// atomic fields.

// Run drives the connection from the calling goroutine until ctx ends. It wraps
// mosquitto_loop_read, mosquitto_loop_write and mosquitto_loop_misc, and it is
// the recommended loop. Connect first; you may ignore an error of Connect,
// because Run retries. Callbacks run on this goroutine only, one at a time, in
// the order of arrival. (OnLog, OnPreConnect and password callbacks also run on
// the goroutine that connects.) An idle client holds no thread, and its file
// descriptor may be 1024 or higher.
//
// Run reconnects after every loss, with the delays of
// [Client.ReconnectDelaySet]. After the broker has accepted, the delays begin with
// the shortest again. At most 50 clients of a process begin such an attempt within 10 ms, or
// 10 clients with TLS. Other clients wait longer, because thousands of connects at once would
// overflow the broker's listen queue.
//
// Run gathers the packets of a pass and sends them without the Nagle delay
// (OptTCPNodelay). On Linux it acknowledges TCP input at once: a broker with the Nagle
// delay, such as mosquitto by default, would wait up to 40 ms for the acknowledgement
// before its next small packet. If the program has answered the last eight inputs
// within 2 ms, Run waits up to 2 ms for the answer, which carries the acknowledgement.
//
//	event                                                Run
//	ctx ends                                             sends DISCONNECT, returns ctx.Err() within 100 ms
//	Disconnect, from anywhere                            sends it, returns nil when the connection is closed
//	Close                                                returns ErrClosed
//	lost by reset, EOF, keepalive, malformed packets     reconnects
//	TLS peer closed without close_notify                 reconnects
//	DISCONNECT from an MQTT 5 broker, any reason         reconnects
//	broker stopped, restarted, unreachable; DNS          reconnects
//	refused: server unavailable, busy, quota, ...        reconnects
//	refused: version, client id, credentials, banned,
//	  a will or packet that the broker does not accept   returns a ConnackError
//	refused by the SOCKS5 proxy, by OnExtAuth            returns an OpError
//	TLS fails before the broker has ever accepted        returns an OpError
//	out of memory, settings that the library lacks       returns an OpError
//	panic in a callback or a posted function             panics with a PanicError
//
// While a callback runs, its client reads and writes nothing. After about 10 ms of
// callbacks Run writes, checks the keepalive, and runs functions that [Client.Post]
// queued. So an acknowledgement waits for its own callback and for at most about 20 ms of
// other callbacks, or for one longer callback. A PINGRESP arrives after messages whose
// callbacks may be slow. While Run waits for it, it reads up to 1 MiB of these messages
// ahead (topics and payloads).
// Each callback should take less than half the keepalive, because brokers wait
// one and a half keepalives for a packet. If the callback of a QoS 1 or 2 message
// outlasts the keepalive and the broker sends the message again, Run acknowledges
// it before its callback runs.
//
// OnConnect and OnDisconnect do not wait for the callbacks of messages that Run has
// read ahead. When the connection is lost, QoS 0 messages stay pending: they are
// delivered on the next connection, also by the next Run or RunOnce, before messages
// of that connection. QoS 1 and 2 messages that were not acknowledged are dropped,
// because the broker sends them again. Other events, such as OnPublish, come before
// OnDisconnect. After Disconnect pending messages are delivered for at most five
// seconds. The end of ctx and Close drop them.
//
// A Disconnect inside a message callback is sent when the current input has been
// read, so that it reaches the broker with every library version. Run cuts a
// connection that the broker does not close within five seconds. When ctx ends, a
// blocked resolver is left behind: calls that need the network side return
// [ErrBusy] until it has returned. After Run has returned, [Client.Connect] and
// Run may be called again.
//
// Run returns [ErrInCallback] inside a callback, [ErrBusy] while another loop runs,
// and [ErrNoConn] before any connect.
func (c *Client) Run(ctx context.Context) error { return c.runWith(ctx, (*runner).run) }

// RunOnce is [Client.Run] for one connection. It serves the connection that
// [Client.ConnectAsyncContext] or another connect has begun. If the connection fails or
// is lost, RunOnce returns the reason instead of reconnecting: an [*OpError], or a
// [ConnackError] for any refusal. OnDisconnect reports the reason that a broker
// gave in its DISCONNECT. RunOnce returns nil after Disconnect, ctx.Err() at most 100 ms
// after ctx ends, and [ErrClosed] after Close, as Run does.
func (c *Client) RunOnce(ctx context.Context) error { return c.runWith(ctx, (*runner).runOnce) }

// runWith runs run as the owner of the network side. The functions from here to
// poller.serveInput have small frames, because they are on the stack of every idle
// client: a stack of more than 4 KiB would cost twice the memory.
func (c *Client) runWith(ctx context.Context, run func(*runner) error) error {
	r, err := c.startRun(ctx)
	if err != nil {
		return err
	}
	defer r.finish()
	r.turn()
	if !c.used.Load() {
		return &OpError{Op: opRun, Err: ErrNoConn}
	}
	return run(r)
}

const opRun = "run"

// startRun makes the calling goroutine the owner of the network side.
func (c *Client) startRun(ctx context.Context) (*runner, error) {
	if err := c.begin(opRun); err != nil {
		return nil, err
	}
	back, err := c.own(opRun, 0)
	if err != nil {
		c.end()
		return nil, err
	}
	r := newRunner(ctx, c)
	r.back = back
	c.run.Store(r)
	r.stopWaking = wakeAtEnd(ctx, r)
	return r, nil
}

// wakeAtEnd wakes r when ctx ends, until stop is called. It allocates nothing for a context
// that never ends, and little for a context with a method AfterFunc.
func wakeAtEnd(ctx context.Context, r *runner) (stop func() bool) {
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(r.wake)
	}
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, r.wake)
}

// finish releases the network side when Run returns.
func (r *runner) finish() {
	c := r.c
	if r.stopWaking != nil {
		r.stopWaking()
	}
	c.run.Store(nil)
	if r.wanted() != notEnding {
		c.deliveries.drop(c)
	}
	if !r.abandoned {
		c.disown(r.back)
	}
	c.end()
}

// runner is the state of one Run.
type runner struct {
	c          *Client
	ctx        context.Context
	back       int32       // the owner of the network side after this Run
	stopWaking func() bool // ends the effect of wakeAtEnd; nil if ctx never ends
	poller     poller
	pacer      pacer
	work       func() bool // hasWork, made once

	request atomic.Pointer[disconnect] // a Disconnect that was called while this Run runs

	begun    ending    // the end that Run has begun on this connection
	deadline time.Time // when Run cuts a connection that it ends

	keepalive time.Duration
	lastRead  time.Duration // time of the last input, since clockStart
	lastWrite time.Duration // time of the last output, since clockStart
	yielded   time.Duration // time of the last runtime.Gosched, since clockStart
	nextMisc  time.Time     // time of the next keepalive check
	resumes   uint64        // calls of ResumeReading before the last pass
	acks      tcpAcks
	lost      result // how the connection has ended
	accepted  uint   // number of accepting CONNACKs that note has seen
	failures  int    // attempts since the broker last accepted

	paused     bool // reading was paused before the last pass
	again      bool // OnDisconnect has begun the next connection
	ever       bool // the broker has accepted in this Run
	connecting bool // a blocking connect uses the network side
	abandoned  bool // a blocking connect outlasts this Run, and releases the network side
}

func newRunner(ctx context.Context, c *Client) *runner {
	r := &runner{c: c, ctx: ctx}
	r.work, r.poller.step = r.hasWork, r.step
	code, accepted, _ := cConnack(c.c)
	r.accepted, r.ever = accepted, code == ConnackAccepted
	return r
}

// disconnect holds the arguments of a Disconnect until the pass has ended. libmosquitto 2.1
// would lose a DISCONNECT that is queued while it reads.
type disconnect struct {
	reason int
	props  []byte
}

// ending is how Run or a connection has to end. Higher values are more urgent.
type ending int

const (
	notEnding    ending = iota
	disconnected        // Disconnect: the broker has stopGrace to close
	cancelled           // ctx ended, or Close: endGrace to send the DISCONNECT
)

const endGrace = 50 * time.Millisecond

// wanted returns how Run has to end, connected or not.
func (r *runner) wanted() ending {
	switch {
	case r.ctx.Err() != nil, r.c.gate.closed():
		return cancelled
	case r.c.leaving.Load(), r.request.Load() != nil:
		return disconnected
	}
	return notEnding
}

// endError returns the result of Run when it has to end.
func (r *runner) endError() error {
	if r.c.gate.closed() {
		return &OpError{Op: opRun, Err: ErrClosed}
	}
	return r.ctx.Err() // nil after Disconnect
}

// disconnect implements Disconnect while Run runs: Run sends the packet.
func (r *runner) disconnect(op string, d disconnect) error {
	connected := cSocket(r.c.c) >= 0 // before Run sends the DISCONNECT and closes
	r.request.Store(&d)
	cEndBurst(r.c.c)
	r.wake()
	if !connected {
		return &OpError{Op: op, Err: ErrNoConn}
	}
	return nil
}

// run serves connections until it has to end, or an error is permanent.
func (r *runner) run() error {
	lost, again := r.connection()
	for {
		if r.wanted() != notEnding && !again {
			return r.endError()
		}
		if !again {
			if err := r.permanent(lost); err != nil {
				return err
			}
			r.waitBackoff()
			if lost = r.reconnect(); lost.rc > cSuccess {
				continue
			}
		}
		lost, again = r.connection()
	}
}

// runOnce serves one connection.
func (r *runner) runOnce() error {
	lost, again := r.connection()
	for again && lost.rc == cSuccess { // OnDisconnect has reconnected
		lost, again = r.connection()
	}
	return r.onceError(lost)
}

// onceError returns the result of RunOnce when its connection has ended.
func (r *runner) onceError(lost result) error {
	if r.wanted() != notEnding {
		return r.endError()
	}
	if code, _, _ := cConnack(r.c.c); code > ConnackAccepted {
		return code.Err()
	}
	if lost.rc == cSuccess {
		lost.rc = cErrConnLost
	}
	return libError(opRun, lost)
}

// connection serves the connection that a connect has begun until it has ended.
// again reports that OnDisconnect has begun the next one.
func (r *runner) connection() (lost result, again bool) {
	if cSocket(r.c.c) < 0 {
		return result{rc: cErrNoConn}, false
	}
	lost, again = r.serve()
	r.endDeliveries()
	r.c.noteOldInput(lost)
	return lost, again
}

// permanent returns the error of Run if a retry would fail in the same way, otherwise nil.
func (r *runner) permanent(lost result) error {
	if code, _, _ := cConnack(r.c.c); code > ConnackAccepted && !code.Temporary() {
		return code.Err()
	}
	if r.permanentCode(lost) {
		return libError(opRun, lost)
	}
	return nil
}

func (r *runner) permanentCode(lost result) bool {
	switch Error(lost.rc) {
	case ErrNoMem, ErrNotSupported, ErrAuth:
		return true
	case ErrTLS, ErrInval: // ErrInval: a setting is invalid
		return !r.ever
	case ErrErrno: // 2.0.12 and later report a failed TLS handshake as EPROTO
		return !r.ever && syscall.Errno(lost.errno) == syscall.EPROTO
	}
	return false
}

// turn runs the functions that Post queued, outside all callbacks.
func (r *runner) turn() {
	if fault := r.c.runPosts(); fault != nil {
		cAbandon(r.c.c)
		panic(fault)
	}
}

// waitBackoff waits for the delay before the next attempt, and until reconnects allows it.
func (r *runner) waitBackoff() {
	r.failures++
	r.sleep(r.c.backoff.delayOf(r.failures))
	weight := 1
	if r.c.HasTLS() {
		weight = tlsWeight
	}
	r.sleep(reconnects.reserve(time.Now(), weight))
}

// reconnects spaces the attempts of all clients that are in Run.
var reconnects limiter

// limiter spaces attempts to reconnect. Clients that lose the same broker would all connect
// at once. The broker's kernel drops connects that overflow the listen queue (100 for
// mosquitto), and a dropped connect takes a second or more.
type limiter struct {
	mu     sync.Mutex
	group  time.Time // when the last group of attempts begins
	weight int       // of the attempts in this group
}

const (
	groupWeight   = 50
	groupInterval = 10 * time.Millisecond
	tlsWeight     = 5 // weight of an attempt with TLS: the broker needs longer to accept it
)

// reserve returns how long an attempt with this weight has to wait.
func (l *limiter) reserve(now time.Time, weight int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch next := l.group.Add(groupInterval); {
	case !now.Before(next):
		l.group, l.weight = now, 0
	case l.weight+weight > groupWeight:
		l.group, l.weight = next, 0
	}
	l.weight += weight
	return l.group.Sub(now)
}

// sleep waits for a time, or until Run has to end.
func (r *runner) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for ended := false; !ended && r.wanted() == notEnding; r.poller.resume() {
		r.turn()
		select {
		case <-timer.C:
			ended = true
		case <-r.beginPause():
		}
	}
}

// beginPause prepares a wait without a connection. The channel delivers a value when Run has
// to end or has functions to run. Call poller.resume after the wait.
func (r *runner) beginPause() <-chan struct{} {
	signal := r.poller.announcePause()
	if r.wanted() != notEnding || cPosted(r.c.c) {
		return noWait
	}
	return signal
}

// noWait is a closed channel.
var noWait = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// delayOf returns the delay before the n-th attempt in a row, as the library computes it.
func (b backoff) delayOf(n int) time.Duration {
	factor := min(n, 1<<15)
	if b.exponential {
		factor *= factor
	}
	if b.delay > b.limit/time.Duration(factor) {
		return b.limit
	}
	return b.delay * time.Duration(factor)
}

// reconnect makes an attempt. It blocks a thread only if there is a name to look
// up.
func (r *runner) reconnect() (attempt result) {
	switch {
	case r.wanted() != notEnding:
		return result{rc: cErrNoConn}
	case r.c.server.literal():
		attempt = r.c.withoutOldInput(cReconnectAsync, func() result { return cReconnectAsync(r.c.c) })
	default:
		attempt = r.reconnectInBackground()
	}
	r.c.noteOldInput(attempt)
	if attempt.panicked != 0 {
		r.raise(attempt)
	}
	return attempt
}

// raise closes the connection, and panics with the value of a callback's panic.
func (r *runner) raise(p result) {
	r.c.noteOldInput(p)
	cAbandon(r.c.c)
	panic(takePanic(int32(p.panicked)))
}

// reconnectInBackground makes a blocking attempt in another goroutine. If Run has to end
// first, it does not wait for the attempt.
func (r *runner) reconnectInBackground() result {
	if !r.takeSlot() {
		return result{rc: cErrNoConn}
	}
	if r.c.gate.enter() != nil {
		<-connectSlots
		return result{rc: cErrNoConn}
	}
	r.connecting = true
	defer func() { r.connecting = false }()
	b := r.c.startBlocking(func() result {
		return r.c.withoutOldInput(cReconnect, func() result { return cReconnect(r.c.c) })
	})
	for {
		r.turnDuringConnect(b)
		if r.wanted() != notEnding {
			if b.abandon() {
				r.abandoned = true
				return result{rc: cErrNoConn}
			}
			return <-b.done
		}
		select {
		case attempt := <-b.done:
			r.poller.resume()
			return attempt
		case <-r.beginPause():
			r.poller.resume()
		}
	}
}

// takeSlot waits for a connect slot, and reports false if Run has to end.
func (r *runner) takeSlot() (taken bool) {
	for ; !taken && r.wanted() == notEnding; r.poller.resume() {
		r.turn()
		select {
		case connectSlots <- struct{}{}:
			taken = true
		case <-r.beginPause():
		}
	}
	return taken
}

// turnDuringConnect is turn while a blocking connect runs. If a function panics, it does not
// wait for the connect. If the connect has just returned, it closes the connection.
func (r *runner) turnDuringConnect(b *blockingConnect) {
	fault := r.c.runPosts()
	if fault == nil {
		return
	}
	if b.abandon() {
		r.abandoned = true
		panic(fault)
	}
	<-b.done
	cAbandon(r.c.c)
	panic(fault)
}
