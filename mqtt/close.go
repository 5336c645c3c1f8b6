//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// closer is what Close and the end of the client share. It has its own mutex.
type closer struct {
	closing   chan struct{} // closed: nothing new is accepted
	stopFlush chan struct{} // closed: the context of a Close has ended

	mu                  sync.Mutex
	begun               bool
	flushStopped        bool
	disconnectRequested bool // DISCONNECT was asked for
	unsent              []Unsent
	unread              bool // the outbox has more
}

func (c *closer) init() {
	c.closing, c.stopFlush = make(chan struct{}), make(chan struct{})
}

// begin makes all calls that accept something fail.
func (c *closer) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.begun = true
		close(c.closing)
	}
}

// hasten ends the flush of every Close.
func (c *closer) endFlush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushStopped {
		c.flushStopped = true
		close(c.stopFlush)
	}
}

// leave reports whether the caller is the first to ask for the DISCONNECT.
func (c *closer) firstDisconnect() (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, c.disconnectRequested = !c.disconnectRequested, true
	return first
}

func (c *closer) keep(unsent []Unsent, unread bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsent, c.unread = unsent, unread
}

// takeUnsent returns once what was not acknowledged.
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

// isClosing reports whether Close was called, or the client has ended.
func (c *Client) isClosing() bool {
	select {
	case <-c.closer.closing:
		return true
	default:
		return false
	}
}

const (
	closePatience = 30 * time.Second // of a Close whose context has no deadline
	endPatience   = time.Second      // for the loop and the handlers to return after the end of a context
)

// Close ends the client: it accepts nothing new, sends what it has accepted and waits
// until the broker has acknowledged it, lets the worker handle what it has, and sends
// DISCONNECT. ctx bounds all of that, 30 s if it has no deadline; when it ends, Close
// sends DISCONNECT at once and returns within a second. Beside another Close the
// context that ends first counts for both. Calls that wait return [ErrClosed].
//
// It returns a [*CloseError] that lists the messages that were not acknowledged, an
// error that says so when a handler does not return, and nil when the client has ended
// already. Inside a handler it returns [ErrInCallback], on a worker if ctx is the
// handler's: close in a new goroutine there.
func (c *Client) Close(ctx context.Context) error {
	if c.inInlineHandler() || c.inWorkersContext(ctx) {
		return ErrInCallback
	}
	ctx, cancel := closeContext(ctx)
	defer cancel()
	c.flow.enter()
	defer c.flow.leave()
	c.closer.begin()
	defer context.AfterFunc(ctx, c.closer.endFlush)()
	c.flush()
	c.requestDisconnect()
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

func closeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, closePatience)
}

// stillRunning is the error of a Close that could not wait for the end.
func (c *Client) stillRunning(cause error) error {
	if c.userCode.Load() || c.worker != nil && c.worker.busy.Load() {
		return fmt.Errorf("mqtt: close: a handler does not return: %w", cause)
	}
	return fmt.Errorf("mqtt: close: the client is still ending: %w", cause)
}

// flush waits until everything that was accepted has been acknowledged, or the context
// of a Close has ended.
func (c *Client) flush() {
	for !c.queue.isEmpty() {
		select {
		case <-c.queue.emptied:
		case <-c.done:
			return
		case <-c.closer.stopFlush:
			return
		}
	}
	notify(c.queue.emptied) // for the flush of another Close
}

// leave asks the loop to end the connection with a DISCONNECT, and to make no other.
func (c *Client) requestDisconnect() {
	if c.closer.firstDisconnect() {
		c.do(c.disconnect)
	}
}

// disconnect ends the connection with a DISCONNECT, and there is no other. The loop runs
// it.
func (c *Client) disconnect() {
	c.last.noReconnect = true
	if c.library.Load().Disconnect() != nil { // no connection to end
		c.cancelConnect()
	}
}
