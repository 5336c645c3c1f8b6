//go:build cgo

package mqtt

import (
	"context"
	"slices"
	"time"
)

// The event loop: one goroutine from Dial to the end of the client. It connects,
// waits, runs the library's loop, and is the only caller of the library. It owns the
// state that Client lists as the loop's.

// run is the loop goroutine.
func (c *Client) run() { c.finish(c.stayConnected()) }

// turn does what other goroutines have asked for. The library's loop calls it
// between two packets, and the loop itself while it is not connected.
func (c *Client) turn() {
	c.turnDue.Store(false)
	c.runOperations()
	c.submit()
	c.queue.grantAll()
}

// runOperations empties the mailbox.
func (c *Client) runOperations() {
	for _, operation := range c.mail.take() {
		operation()
	}
}

// turnsUntil takes turns until done is closed.
func (c *Client) turnsUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-c.wakeup:
			c.turn()
		}
	}
}

// beside runs f in a goroutine, takes turns until f has returned, and returns its
// error.
func (c *Client) runInBackground(f func() error) error {
	return c.runInBackgroundUntil(context.Background(), f)
}

// runInBackgroundUntil is beside for a function of the program's: if ctx ends first, f is left
// behind and runInBackgroundUntil returns the cause.
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

// retries decides when the next attempt is made and when none would help.
type retries struct {
	failures     int  // attempts in a row that the broker did not accept
	permanent    int  // of this round, those that failed permanently
	short        int  // connections in a row that did nothing useful
	everAccepted bool // the broker has accepted once
}

// stayConnected goes from connection to connection. It returns nil when Close has
// asked for the end, and otherwise the permanent error.
func (c *Client) stayConnected() error {
	var r retries
	for at := 0; ; {
		s := c.servers[at]
		e := c.connect(s)
		if c.isStopping() {
			return nil
		}
		if e.accepted {
			if !e.discarded {
				c.announceLoss(s, e.err, 0)
			}
			c.pause(r.afterConnection(e))
			continue
		}
		r.failures++
		if isPermanent(e.err) {
			r.permanent++
		}
		c.announceLoss(s, e.err, r.failures)
		if at = (at + 1) % len(c.servers); r.failures%len(c.servers) != 0 {
			continue
		}
		if !r.everAccepted && (r.permanent == len(c.servers) || c.opts.oneRound) {
			return e.err
		}
		r.permanent = 0
		c.pause(r.failures / len(c.servers))
	}
}

// stableAfter is how long a connection lasts that is followed by no pause.
const stableAfter = 5 * time.Second

// afterConnection counts a connection that has ended, and returns the number of the
// pause that follows. Pauses grow only while connections do nothing useful: the broker
// accepts and closes at once.
func (r *retries) afterConnection(e ending) (pause int) {
	r.everAccepted, r.failures, r.permanent = true, 0, 0
	switch {
	case e.lasted > stableAfter || e.retryNow || e.discarded:
		r.short = 0
		return 0
	case e.useful:
		r.short = min(r.short+1, 2) // the first loss is followed by no pause
	default:
		r.short++
	}
	return r.short - 1
}

// isStopping reports whether there is to be no other connection.
func (c *Client) isStopping() bool { return c.last.noReconnect || c.connectCtx.Err() != nil }

// pause waits before an attempt; the pause number 0 is none.
func (c *Client) pause(number int) {
	if number < 1 {
		return
	}
	ctx, cancel := context.WithTimeout(c.connectCtx, c.opts.backoff.pause(number))
	defer cancel()
	c.turnsUntil(ctx.Done())
}

// announceLoss reports a connection that was lost (attempt 0), or an attempt that
// failed.
func (c *Client) announceLoss(s server, err error, attempt int) {
	c.log.lost(s.name, err, attempt)
	c.status.failed(err)
	c.setState(StateChange{State: StateDisconnected, Server: s.name, Err: err, Attempt: attempt})
}

// finish ends the client: every wait ends, everything is released.
func (c *Client) finish(why error) {
	if why == nil {
		why = c.backlog.err
	}
	c.status.end(why)
	c.cancelConnect() // ends the reader of the outbox, and waits for the broker
	c.closer.begin()
	c.mail.close()
	c.runOperations()
	c.closer.keep(c.endMessages())
	c.subs.endAll(c.closedErr())
	c.flow.closeInboxes()
	c.goroutines.Wait()
	c.free()
	c.log.closed(why)
	c.log.calls.drain(endPatience)
	c.hookCalls.drain(endPatience)
	c.setState(StateChange{State: StateClosed, Server: c.status.currentServer(), Err: why})
	close(c.done)
}

// endMessages ends every message that is left, and returns those that were accepted
// and not acknowledged.
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
