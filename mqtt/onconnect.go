//go:build cgo

package mqtt

import (
	"context"
	"errors"
)

// onConnectCall is the call of the functions of WithOnConnect for one connection. Owned by
// the loop. Other goroutines only compare pointers to it.
//
// From CONNACK until the call has ended, the queue holds its messages. Only the messages
// that the functions publish are submitted. The loop starts the call when all
// subscriptions are restored.
type onConnectCall struct {
	ctx     context.Context
	cancel  context.CancelFunc
	unwatch func() bool // the loop no longer needs to know that ctx has ended
	started bool
	ended   bool // the functions have returned, or the loop no longer waits for them
}

type onConnectKey struct{}

// holdQueue holds the queued messages of an accepted connection.
func (c *Client) holdQueue(a *attempt) {
	if len(c.opts.onConnect) > 0 && !c.isClosing() {
		a.call = &onConnectCall{}
		c.queue.hold(a.call)
	}
}

// awaitsOnConnect reports whether the connection waits for the functions of
// WithOnConnect. It starts them if they have not run on this connection.
func (c *Client) awaitsOnConnect() bool {
	call := c.conn.call
	if call == nil || call.ended {
		return false
	}
	if !call.started {
		call.started = true
		c.startOnConnect(call, *c.conn.connack)
	}
	return true
}

// startOnConnect starts the functions of WithOnConnect. If a function of an earlier
// connection has not returned, they run after that function.
func (c *Client) startOnConnect(call *onConnectCall, connack Connack) {
	ctx, cancel := context.WithTimeout(context.WithValue(&c.handlerCtx, onConnectKey{}, call), c.opts.connectTimeout)
	end := func() { c.do(func() { c.endOnConnect(call) }) }
	call.ctx, call.cancel, call.unwatch = ctx, cancel, context.AfterFunc(ctx, end)
	for _, f := range c.opts.onConnect {
		c.onConnectCalls.add(func() {
			if ctx.Err() != nil {
				return
			}
			if err := f(ctx, c, connack); err != nil {
				c.log.onConnectFailed(err)
			}
		})
	}
	c.onConnectCalls.add(end)
}

// endOnConnect ends a call: the functions have returned, their time is over, the
// connection is lost, or the client closes.
func (c *Client) endOnConnect(call *onConnectCall) {
	if call == nil || call.ended {
		return
	}
	call.ended = true
	if call.started {
		if errors.Is(call.ctx.Err(), context.DeadlineExceeded) {
			c.log.onConnectTimeout(c.opts.connectTimeout)
		}
		call.unwatch()
		call.cancel()
	}
	c.queue.resume(call)
	c.announceConnected()
}

// cancelOnConnect makes the loop end the call of the connection.
func (c *Client) cancelOnConnect() {
	if len(c.opts.onConnect) == 0 {
		return
	}
	c.do(func() {
		if c.conn != nil {
			c.endOnConnect(c.conn.call)
		}
	})
}

// onConnectCall returns the running call whose context ctx derives from, or nil.
func (c *Client) onConnectCall(ctx context.Context) *onConnectCall {
	if len(c.opts.onConnect) == 0 {
		return nil
	}
	if call, _ := ctx.Value(onConnectKey{}).(*onConnectCall); call != nil && c.queue.isHeldFor(call) {
		return call
	}
	return nil
}

// hold holds the queued messages until the call has ended.
func (q *queue) hold(call *onConnectCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heldFor = call
}

func (q *queue) isHeldFor(call *onConnectCall) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.heldFor == call
}

// resume ends the hold of a call.
func (q *queue) resume(call *onConnectCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.heldFor == call {
		q.endHold()
	}
}

// endHold moves the messages of the call to the front of the queue. The caller must hold
// mu.
func (q *queue) endHold() {
	q.heldFor = nil
	for t := q.births.last; t != nil; t = q.births.last {
		q.births.remove(t)
		q.pushFront(t)
	}
}

// isBirth reports whether a queued message is in births. The caller must hold mu.
func (q *queue) isBirth(t *Token) bool { return q.heldFor != nil && t.call == q.heldFor }

// next returns the queued message that is submitted next, or nil. The caller must hold mu.
func (q *queue) next() *Token {
	if q.births.first != nil || q.heldFor != nil {
		return q.births.first
	}
	return q.pending.first
}

// pushBack adds a message at the end of its list. The caller must hold mu.
func (q *queue) pushBack(t *Token) {
	if q.isBirth(t) {
		q.births.pushBack(t)
		return
	}
	q.pending.pushBack(t)
	if t.pub.QoS == 0 {
		q.qos0.pushBack(t)
	}
}

// pushFront adds a message at the front of its list. The caller must hold mu.
func (q *queue) pushFront(t *Token) {
	if q.isBirth(t) {
		q.births.pushFront(t)
		return
	}
	q.pending.pushFront(t)
	if t.pub.QoS == 0 {
		q.qos0.pushFront(t)
	}
}
