//go:build cgo

package mqtt

import (
	"context"
	"slices"
	"time"
)

// This file is the event loop: one goroutine from Dial to the end of the client. It
// connects, waits and runs the library's loop. Other goroutines call only Post, InCallback,
// PauseReading and ResumeReading. While the loop waits in runInBackground, a background
// goroutine may call SetTLS or ConnectAsyncContext. The loop owns the state that Client
// lists as owned by the loop.

// run is the loop goroutine.
func (c *Client) run() {
	growStack()
	if c.opts.isRelayed() {
		idleSockets.addUser()
	}
	c.finish(c.stayConnected())
}

// growStack makes the stack of the calling goroutine large enough for the callbacks of a
// connect. The runtime would enlarge it twice, the second time below many frames, which takes
// 10 µs for each client.
//
//go:noinline
func growStack() {
	var room [5 << 10]byte
	noteRoom(&room)
}

//go:noinline
func noteRoom(*[5 << 10]byte) {}

// turn runs the operations of the mailbox and submits queued messages. The library's
// loop calls it between two packets. The event loop calls it while it is not connected.
func (c *Client) turn() {
	c.turnDue.Store(false)
	c.runOperations()
	c.submit()
	c.queue.grantAll()
}

// runOperations runs the operations of the mailbox.
func (c *Client) runOperations() {
	for _, operation := range c.mail.take() {
		operation()
	}
}

// runInBackground runs f in a new goroutine and returns its error. Until f has returned,
// the loop runs turns on demand.
func (c *Client) runInBackground(f func() error) error {
	return c.runInBackgroundUntil(context.Background(), f)
}

// runInBackgroundUntil is runInBackground with a context. If ctx ends first, it returns
// the cause and does not wait for f.
func (c *Client) runInBackgroundUntil(ctx context.Context, f func() error) error {
	returned := make(chan error, 1)
	go func() { returned <- f() }()
	for {
		select {
		case err := <-returned:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.wakeup:
			c.turn()
		}
	}
}

// valueInBackground is runInBackgroundUntil for a function that returns a value.
func valueInBackground[T any](ctx context.Context, c *Client, f func() (T, error)) (T, error) {
	returned := make(chan T, 1)
	err := c.runInBackgroundUntil(ctx, func() error {
		value, err := f()
		returned <- value
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return <-returned, nil
}

// retries counts failures. They determine the delay before the next attempt, and whether
// an error is permanent.
type retries struct {
	at           int     // index of the next server
	current      *server // of this attempt
	failures     int     // attempts in a row that the broker did not accept
	round        []error // failures of this round, one for each server
	short        int     // successive connections that ended early
	redirect     *server // the server to which a broker has redirected the client
	redirects    int     // redirects in a row
	everAccepted bool    // a broker has accepted the client at least once
}

// stayConnected connects, and reconnects after every loss. It returns nil after Close,
// and the error after a permanent failure of all servers.
func (c *Client) stayConnected() error {
	for {
		c.retries.next(c.servers)
		e := c.connect(c.retries.current)
		if c.isStopping() {
			return nil
		}
		if err := c.afterAttempt(e); err != nil {
			return err
		}
	}
}

// afterAttempt reports how an attempt has ended, selects the next server and waits for the
// delay. It returns an error if the failure is permanent.
func (c *Client) afterAttempt(e *ending) error {
	r, s := &c.retries, c.retries.current
	if e.accepted {
		if !e.planned {
			c.announceLoss(s, e.err, 0)
		}
		c.waitBackoff(r.afterConnection(e))
		if r.short > 1 && !e.useful { // the broker closes each connection at once: try another server
			r.at = (r.at + 1) % len(c.servers)
		}
		return nil
	}
	if c.followRedirect(s, e) {
		c.announceLoss(s, e.err, r.failures+1)
		return nil
	}
	r.failures++
	r.round = append(r.round, e.err)
	c.announceLoss(s, e.err, r.failures)
	if r.at = (r.at + 1) % len(c.servers); len(r.round) < len(c.servers) {
		return nil
	}
	if c.givesUp() {
		return joinErrors(r.round...)
	}
	r.round = nil
	c.waitBackoff(r.failures / len(c.servers))
	return nil
}

// next selects the server of the next attempt.
func (r *retries) next(all []server) {
	r.current, r.redirect = r.redirect, nil
	if r.current == nil {
		r.current = &all[r.at]
	}
}

// maxRedirects is the number of redirects in a row that the client follows.
const maxRedirects = 5

// followRedirect selects the server that the broker has named in its refusal. It reports
// false if the client does not follow.
func (c *Client) followRedirect(from *server, e *ending) bool {
	r := &c.retries
	if !c.opts.redirect || e.reference == "" || r.redirects == maxRedirects {
		return false
	}
	to, err := from.refersTo(e.reference)
	if err != nil {
		return false
	}
	r.redirect = &to
	r.redirects++
	return true
}

// givesUp reports whether the client stops after this round of failures. Once a broker has
// accepted the client, the client never gives up.
func (c *Client) givesUp() bool {
	r := &c.retries
	if r.everAccepted {
		return false
	}
	retry := c.opts.connectRetry || c.opts.background
	return !retry || !slices.ContainsFunc(r.round, func(err error) bool { return !isPermanent(err) })
}

// stableAfter is how long a connection must last so that its loss causes no delay.
const stableAfter = 5 * time.Second

// afterConnection counts an ended connection and returns the number of failures for
// waitBackoff. The number grows only while connections do nothing useful: the broker accepts
// them and closes them at once.
func (r *retries) afterConnection(e *ending) (failures int) {
	r.everAccepted, r.failures, r.round, r.redirects = true, 0, nil, 0
	switch {
	case e.lasted > stableAfter || e.retryNow || e.planned:
		r.short = 0
		return 0
	case e.useful:
		r.short = min(r.short+1, 2) // the first loss causes no delay
	default:
		r.short++
	}
	return r.short - 1
}

// isStopping reports whether the loop must not reconnect.
func (c *Client) isStopping() bool { return c.last.noReconnect || c.connectCtx.Err() != nil }

// waitBackoff waits for the delay after a number of failures. It returns at once for 0.
func (c *Client) waitBackoff(failures int) {
	if failures < 1 {
		return
	}
	timer := time.NewTimer(aligned(c.opts.backoff.delay(failures)))
	defer timer.Stop()
	for c.skipBackoff = false; !c.skipBackoff; {
		select {
		case <-timer.C:
			return
		case <-c.connectCtx.Done():
			return
		case <-c.wakeup:
			c.turn()
		}
	}
}

// announceLoss reports a lost connection (attempt 0) or a failed attempt.
func (c *Client) announceLoss(s *server, err error, attempt int) {
	c.log.lost(s.name, err, attempt)
	c.status.failed(err)
	state := StateDisconnected
	if attempt > 0 {
		state = StateConnecting
	}
	c.setState(StateChange{State: state, Server: s.name, Err: err, Attempt: attempt})
}

// finish ends the client: it ends every waiting call, and releases all resources.
func (c *Client) finish(why error) {
	if why == nil {
		why = c.backlog.err
	}
	c.status.end(why)
	c.cancelConnect() // ends the reader of the outbox, and calls that wait for the broker
	c.closer.begin()
	c.mail.close()
	c.runOperations()
	c.closer.keep(c.endMessages())
	c.subs.endAll(c.closedErr())
	c.flow.closeInboxes()
	c.goroutines.Wait()
	if c.opts.isRelayed() {
		idleSockets.removeUser()
	}
	c.free()
	c.log.closed(why)
	c.log.calls.drain(endPatience)
	c.hookCalls.drain(endPatience)
	c.onConnectCalls.drain(endPatience)
	c.setState(StateChange{State: StateClosed, Server: c.status.currentServer(), Err: why})
	close(c.done)
}

// endMessages ends all messages, and returns those that were not acknowledged.
func (c *Client) endMessages() (unsent []Unsent, unread bool) {
	all := c.inflight.removeAll()
	for _, t := range all {
		unsent = append(unsent, t.unsent(true))
	}
	pending, unread := c.queue.close()
	for _, t := range pending {
		unsent = append(unsent, t.unsent(t.sent))
	}
	for _, t := range slices.Concat(all, pending) {
		c.complete(t, acknowledgement{}, t.closedErr(c.closedErr()))
	}
	return unsent, unread
}
