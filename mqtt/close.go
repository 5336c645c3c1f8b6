//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// closer is the state that Close and the end of the client share. Shared: it has its own
// mutex.
type closer struct {
	begun atomic.Bool // the client accepts nothing more

	mu                  sync.Mutex
	closing             chan struct{} // closed when begun is set; made for the first call that waits for it
	stopFlush           chan struct{} // closed when the context of a Close has ended; made by Close
	flushStopped        bool
	disconnectRequested bool // a Close has requested the DISCONNECT
	unsent              []Unsent
	unread              bool // the outbox has more messages
}

// begin makes all calls fail that submit something.
func (c *closer) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun.Swap(true) && c.closing != nil {
		close(c.closing)
	}
}

// signal returns a channel that is closed when the client accepts nothing more.
func (c *closer) signal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.closing = make(chan struct{})
		if c.begun.Load() {
			close(c.closing)
		}
	}
	return c.closing
}

// flushSignal returns a channel that is closed when the context of a Close has ended.
func (c *closer) flushSignal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopFlush == nil {
		c.stopFlush = make(chan struct{})
		if c.flushStopped {
			close(c.stopFlush)
		}
	}
	return c.stopFlush
}

// endFlush ends the flush of every Close.
func (c *closer) endFlush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushStopped {
		c.flushStopped = true
		if c.stopFlush != nil {
			close(c.stopFlush)
		}
	}
}

// firstDisconnect reports whether no caller has requested the DISCONNECT before.
func (c *closer) firstDisconnect() (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, c.disconnectRequested = !c.disconnectRequested, true
	return first
}

// keep stores the messages that were not acknowledged.
func (c *closer) keep(unsent []Unsent, unread bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsent, c.unread = unsent, unread
}

// takeUnsent returns the unacknowledged messages as a CloseError. Only the first call
// returns them.
func (c *closer) takeUnsent() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	unsent, unread := c.unsent, c.unread
	c.unsent, c.unread = nil, false
	if len(unsent) == 0 && !unread {
		return nil
	}
	return &CloseError{unsent, unread}
}

// isClosing reports whether Close was called or the client has ended.
func (c *Client) isClosing() bool { return c.closer.begun.Load() }

const (
	closePatience = 30 * time.Second // limit of a Close whose context has no deadline
	abortPatience = endPatience / 2  // of a Dial that fails
	endPatience   = time.Second      // limit for the loop and the handlers to return after the context has ended
)

// Close ends the client with a clean disconnect. From the call on the client accepts
// nothing new. Close sends the queued messages and waits until the broker has
// acknowledged them. Then it sends DISCONNECT, and waits until the worker has handled
// its queue.
//
// ctx limits all of these steps. Without a deadline the limit is 30 s. When ctx ends,
// Close sends DISCONNECT at once and returns within a second. If several goroutines call
// Close, the context that ends first counts for all of them. Other calls that are
// waiting return [ErrClosed].
//
// Close returns a [*CloseError] that lists the messages that were not acknowledged. Only
// the first call returns this error. Close returns another error if a handler does not
// return in time.
//
// With MQTT 5 options set the reason code and the properties of DISCONNECT.
//
// Inside an inline handler Close returns [ErrInCallback]. Inside a worker's handler, and
// inside a function of [WithOnConnect], it returns ErrInCallback if ctx derives from the
// context of the handler or function. They can call Close in a new goroutine.
func (c *Client) Close(ctx context.Context, options ...CloseOption) error {
	if err := c.mayBlockFor(ctx, "close", insteadOfClose); err != nil {
		return err
	}
	var packet disconnectPacket
	for _, option := range options {
		if option.apply != nil {
			option.apply(&packet)
		}
	}
	if err := packet.check(); err != nil {
		return err
	}
	if c.inWorkersContext(ctx) {
		return &callbackError{"close", "waits for the handler that calls it", insteadOfClose}
	}
	ctx, cancel := closeContext(ctx)
	defer cancel()
	c.flow.beginWait()
	defer c.flow.endWait()
	c.closer.begin()
	c.cancelOnConnect()
	defer context.AfterFunc(ctx, c.closer.endFlush)()
	c.flush()
	c.requestDisconnect(packet)
	defer context.AfterFunc(ctx, c.cancelHandlers)()
	select {
	case <-c.done:
	case <-ctx.Done():
		select {
		case <-c.done:
		case <-time.After(endPatience):
			return c.stillRunning(ctx.Err())
		}
	}
	return c.closer.takeUnsent()
}

// closeContext returns ctx with the default limit, unless ctx has a deadline.
func closeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, closePatience)
}

// stillRunning returns the error of a Close that could not wait for the end.
func (c *Client) stillRunning(cause error) error {
	if c.userCode.Load() || c.worker != nil && c.worker.busy.Load() {
		return fmt.Errorf("mqtt: close: a handler does not return: %w", cause)
	}
	return fmt.Errorf("mqtt: close: the client is still ending: %w", cause)
}

// flush blocks until every accepted message is acknowledged or has failed, or the
// context of a Close has ended.
func (c *Client) flush() {
	emptied, stop := c.queue.emptySignal(), c.closer.flushSignal()
	for !c.queue.isEmpty() {
		select {
		case <-emptied:
		case <-c.done:
			return
		case <-stop:
			return
		}
	}
	notify(emptied) // for the flush of another Close
}

// requestDisconnect asks the loop to send DISCONNECT and not to reconnect.
func (c *Client) requestDisconnect(packet disconnectPacket) {
	if c.closer.firstDisconnect() {
		c.do(func() {
			c.last.noReconnect = true
			if c.sendDisconnect(packet) != nil || c.conn.accepted.IsZero() { // not connected
				c.cancelConnect()
			}
		})
	}
}
