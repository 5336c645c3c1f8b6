//go:build cgo

package mosquitto

import (
	"math"
	"sync/atomic"
	"time"
)

// The loops of the library. LoopStart and LoopStop own the thread of the library.

// Loop wraps mosquitto_loop: it waits up to timeout for the network (negative: one
// second), reads, writes, runs callbacks, and keeps the connection alive. An
// error means that the connection is lost. The exception is [ErrInval] for a file
// descriptor above 1023, which select(2) cannot watch.
func (c *Client) Loop(timeout time.Duration) error {
	return c.loop("loop", func() result { return cLoop(c.c, milliseconds(timeout)) })
}

// LoopForever wraps mosquitto_loop_forever: it runs [Client.Loop] until
// Disconnect, which makes it return nil. It reconnects with the delays of
// ReconnectDelaySet.
//
// The library returns on errors that it considers fatal: among them a refusal by
// an MQTT 5 broker, and a TLS peer that disappeared without close_notify. It
// retries for ever if an MQTT 3 broker refuses the credentials; Disconnect in
// OnConnect ends that. Before 2.0.15 a DISCONNECT from an MQTT 5 broker makes it
// return nil. Before any connect it returns [ErrNoConn].
func (c *Client) LoopForever(timeout time.Duration) error {
	const op = "loop_forever"
	if c.made() && !c.used.Load() { // the library would retry for ever without a server
		return c.loop(op, func() result { return result{rc: cErrNoConn} })
	}
	return c.loop(op, func() result {
		f := &forever{ended: make(chan struct{})}
		c.forever.Store(f)
		defer close(f.ended)
		defer c.forever.Store(nil)
		return cLoopForever(c.c, milliseconds(timeout))
	})
}

// forever is a LoopForever that runs.
type forever struct {
	ended     chan struct{}
	repeating atomic.Bool // repeatDisconnect runs
}

// repeatDisconnect tells LoopForever to end until it does. The library forgets a Disconnect
// during a reconnect that fails, and calls no callback then.
func (c *Client) repeatDisconnect(f *forever) {
	for {
		select {
		case <-f.ended:
			return
		case <-time.After(requestPeriod):
		}
		if c.gate.enter() != nil { // Close ends the loop
			return
		}
		if c.leaving.Load() && cSocket(c.c) < 0 {
			cDisconnect(c.c)
		}
		c.end()
	}
}

// LoopRead wraps mosquitto_loop_read: it reads at least one packet if there is
// one. It is for programs with their own poll loop: call it when the socket is
// readable.
func (c *Client) LoopRead() error {
	return c.loop("loop_read", func() result { return cLoopRead(c.c) })
}

// LoopWrite wraps mosquitto_loop_write: it writes queued packets. It is for
// programs with their own poll loop: call it when WantWrite reports true and the
// socket is writable, and after publishing.
func (c *Client) LoopWrite() error {
	return c.loop("loop_write", func() result { return cLoopWrite(c.c) })
}

// LoopMisc wraps mosquitto_loop_misc: it keeps the connection alive. It is for
// programs with their own poll loop: call it once a second.
func (c *Client) LoopMisc() error {
	return c.loop("loop_misc", func() result { return cLoopMisc(c.c) })
}

// loop runs a loop function of the library as the owner of the network side.
func (c *Client) loop(op string, turn func() result) error {
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, 0)
	if err != nil {
		return err
	}
	defer c.disown(back)
	r := turn()
	c.noteOldInput(r)
	if err := c.selectable(op); err != nil && Error(r.rc) == ErrInval && r.panicked == 0 {
		return err
	}
	return c.finish(op, r)
}

const maxSelect = 1023 // the highest file descriptor for select(2)

// selectable returns an error if the library's own loops cannot watch the
// connection.
func (c *Client) selectable(op string) error {
	if fd := cSocket(c.c); fd > maxSelect {
		return badArgument(op, ErrInval, "file descriptor %d: the limit of select(2) is %d", fd, maxSelect)
	}
	return nil
}

// milliseconds rounds up. A negative timeout is the library's default.
func milliseconds(timeout time.Duration) int {
	if timeout < 0 {
		return -1
	}
	return int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// Socket wraps mosquitto_socket: it returns the file descriptor of the connection,
// or -1 without a connection. The library owns it: watch it, do not close it.
func (c *Client) Socket() int {
	if c.begin("socket") != nil {
		return -1
	}
	defer c.end()
	return cSocket(c.c)
}

// WantWrite wraps mosquitto_want_write: it reports whether packets are queued. On
// 2.0.16 and later it is true throughout a TLS handshake, on 2.1 also from
// Disconnect until the broker has closed.
func (c *Client) WantWrite() bool {
	if c.begin("want_write") != nil {
		return false
	}
	defer c.end()
	return cWantWrite(c.c)
}

// LoopStart wraps mosquitto_loop_start: it starts a thread of the library that
// runs [Client.LoopForever] until Disconnect or LoopStop. Call it before or after
// connecting, and always call LoopStop. All signals are blocked on that thread.
//
// The file descriptor must be below 1024: otherwise LoopStart, or the first
// connect after it, returns an error that wraps [ErrInval]. Errors that make
// LoopForever return end the thread; nothing reports them.
func (c *Client) LoopStart() error {
	const op = "loop_start"
	if err := c.begin(op); err != nil {
		return err
	}
	back, err := c.own(op, 0)
	if err != nil {
		c.end()
		return err
	}
	if err := c.selectable(op); err != nil {
		c.disown(back)
		c.end()
		return err
	}
	r := cLoopStart(c.c)
	if r.rc != cSuccess || r.panicked != 0 {
		cThreadedSet(c.c, !c.single.Load())
		c.disown(back)
		c.end()
		return c.finish(op, r)
	}
	c.disown(ownerThread) // the call stays in the gate until LoopStop
	return nil
}

// LoopStop wraps mosquitto_loop_stop: it waits until the thread of LoopStart has
// ended. If Disconnect was not called, LoopStop calls it, because the library
// would wait for ever. It cuts a connection that is still open after five
// seconds. It waits for a reconnect in progress.
//
// force would kill the thread together with the locks it holds, so LoopStop
// refuses it with [ErrNotSupported]. If no thread was started, LoopStop returns
// an error that wraps [ErrInval]. Inside a callback it returns [ErrInCallback].
func (c *Client) LoopStop(force bool) error {
	const op = "loop_stop"
	if force {
		return badArgument(op, ErrNotSupported, "force: a killed thread never releases its locks")
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if c.inCallback() {
		return &OpError{Op: op, Err: ErrInCallback}
	}
	if !c.owner.CompareAndSwap(ownerThread, ownerCall) {
		if c.owner.Load() == ownerNone {
			return badArgument(op, ErrInval, "LoopStart was not called")
		}
		return &OpError{Op: op, Err: ErrBusy}
	}
	stop := c.requestEnd()
	r := c.joinThread()
	stop()
	return c.finish(op, r)
}

// joinThread waits for LoopStart's thread, releases the network side and leaves
// the gate for it.
func (c *Client) joinThread() result {
	defer c.end()
	if has21 && c.selectable("") == nil {
		// 2.1's loop_stop ends the loop at once, before the DISCONNECT is sent, and
		// the broker would publish the will.
		cAwaitEnd(c.c, stopGrace+stopGrace/10)
	}
	r := cLoopStop(c.c, !c.single.Load())
	c.disown(ownerNone)
	return r
}

// requestPeriod is how often a loop is asked to end: the library drops a
// disconnect while it reconnects.
const requestPeriod = 200 * time.Millisecond

// requestEnd asks the library to end the connection and its loop until stop is
// called. It cuts a connection that is still open after stopGrace.
func (c *Client) requestEnd() (stop func()) {
	c.askToEnd()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for deadline := time.Now().Add(stopGrace); ; {
			select {
			case <-done:
				return
			case <-time.After(requestPeriod):
			}
			c.askToEnd()
			if time.Now().After(deadline) {
				cCut(c.c)
				deadline = time.Now().Add(stopGrace)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// askToEnd asks the library once.
func (c *Client) askToEnd() {
	if r := c.run.Load(); r != nil {
		r.wake() // Run checks the gate
		return
	}
	c.setLeaving(true)
	cDisconnect(c.c)
}
