//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// QueueFull is the policy for a message that exceeds a limit of the queue.
type QueueFull int

// The policies of [WithQueue].
const (
	// WaitForRoom makes Publish and PublishAsync block until the queue has capacity or
	// ctx ends. Inside an inline handler they fail with [ErrQueueFull] instead.
	WaitForRoom QueueFull = iota
	// Refuse makes Publish and PublishAsync fail with [ErrQueueFull].
	Refuse
	// DropOldestQoS0 drops the QoS 0 messages that have been queued longest. They fail
	// with [ErrDropped]. If dropping all of them is not enough, it drops none, and the
	// new message fails with [ErrQueueFull].
	DropOldestQoS0
)

// queueLimits are the arguments of [WithQueue].
type queueLimits struct {
	messages, bytes int
	policy          QueueFull
}

// fit reports whether the limits allow one more message of this size.
func (l queueLimits) fit(messages, bytes, size int) bool {
	return messages < l.messages && bytes+size <= l.bytes
}

// queue holds the accepted messages that are not in flight, in order. It also counts the
// messages in flight. Goroutines of the program add and cancel messages; the loop takes
// them. Shared: it has its own mutex, which also guards the phase of each token.
type queue struct {
	limits   queueLimits
	length   atomic.Int64  // queued messages, readable without the mutex
	readable chan struct{} // receives a value when the outbox may be read further; nil without an outbox

	mu        sync.Mutex
	emptied   chan struct{} // receives a value when the queue has become empty; made by the first Close
	pending   list          // queued messages; uses links[0]
	qos0      list          // queued messages of QoS 0; uses links[1]
	messages  int           // queued and in flight
	bytes     int           // bytes of these messages
	inFlight  int           // submitted to the library
	unread    bool          // the outbox has unread messages; until they are read, no new message is accepted
	producers []permit      // calls that wait for capacity, first come first served
	accepted  uint64        // messages since Dial
	closed    bool

	births  list           // messages of the call heldFor, which are not in pending; uses links[0]
	heldFor *onConnectCall // only births are submitted until this call has ended; nil if there is no such call
}

// permit is the capacity that a producer waits for.
type permit struct {
	size    int
	granted chan struct{}
}

func (q *queue) init(limits queueLimits) {
	q.limits, q.qos0.index = limits, 1
}

// fits reports whether there is capacity for a message of this size. The caller must hold
// mu.
func (q *queue) fits(size int) bool { return q.limits.fit(q.messages, q.bytes, size) }

// reserveNow reserves capacity for a message, if there is any. The caller must hold mu.
func (q *queue) reserveNow(size int) bool {
	if q.unread || !q.fits(size) {
		return false
	}
	q.reserve(size)
	return true
}

// reserve counts a message. The caller must hold mu.
func (q *queue) reserve(size int) {
	q.messages++
	q.bytes += size
}

// release releases the capacity of a message. The caller must hold mu.
func (q *queue) release(size int) {
	q.messages--
	q.bytes -= size
	if q.messages == 0 {
		notify(q.emptied)
	}
	if q.unread && q.messages <= q.limits.messages/2 && q.bytes <= q.limits.bytes/2 {
		notify(q.readable)
	}
}

// fullErr returns ErrQueueFull with the limits. The caller must hold mu.
func (q *queue) fullErr(why string) error {
	if q.unread {
		why += "; the outbox has more messages, which are sent first"
	}
	return fmt.Errorf("%w: %d of %d messages, %d of %d bytes%s", ErrQueueFull, q.messages, q.limits.messages, q.bytes, q.limits.bytes, why)
}

// tryReserve reserves capacity as the policy requires. It returns the messages that were
// dropped. If wait.granted is not nil, the caller must wait for this permit. A message that a
// WithOnConnect function publishes needs no free capacity: the queued messages wait until the
// function has returned.
func (q *queue) tryReserve(size int, call *onConnectCall, mayWait bool) (dropped []*Token, wait permit, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case size > q.limits.bytes:
		return nil, permit{}, q.fullErr(fmt.Sprintf("; the message alone has %d", size))
	case call != nil && call == q.heldFor:
		q.reserve(size)
		return nil, permit{}, nil
	case len(q.producers) == 0 && q.reserveNow(size):
		return nil, permit{}, nil
	case q.limits.policy == DropOldestQoS0:
		dropped, err = q.dropFor(size)
		return dropped, permit{}, err
	case q.limits.policy == Refuse:
		return nil, permit{}, q.fullErr("")
	case !mayWait:
		return nil, permit{}, q.fullErr("; an inline handler cannot wait")
	}
	wait = permit{size, make(chan struct{})}
	q.producers = append(q.producers, wait)
	return nil, wait, nil
}

// dropFor drops the oldest queued messages of QoS 0 and reserves their capacity. It
// drops none if that would not be enough. The caller must hold mu.
func (q *queue) dropFor(size int) (dropped []*Token, err error) {
	messages, bytes, enough := q.messages, q.bytes, false
	for t := q.qos0.first; t != nil && !enough; t = q.qos0.next(t) {
		messages--
		bytes -= t.size
		enough = q.limits.fit(messages, bytes, size)
	}
	if !enough || q.unread {
		return nil, q.fullErr(", no QoS 0 message to drop")
	}
	for !q.fits(size) {
		t := q.qos0.first
		q.unlink(t)
		q.end(t, acknowledgement{}, ErrDropped)
		dropped = append(dropped, t)
	}
	q.reserve(size)
	return dropped, nil
}

// cancel removes a permit. If the permit was granted meanwhile, its capacity is
// released.
func (q *queue) cancel(p permit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.producers, p); i >= 0 {
		q.producers = slices.Delete(q.producers, i, i+1)
	} else {
		q.release(p.size)
	}
	q.grant()
}

// grant grants permits to waiting producers, first come first served. The caller must
// hold mu.
func (q *queue) grant() {
	n := 0
	for n < len(q.producers) && q.reserveNow(q.producers[n].size) {
		close(q.producers[n].granted)
		n++
	}
	q.producers = slices.Delete(q.producers, 0, n)
}

// grantAll is grant for the loop. The loop calls it once a turn.
func (q *queue) grantAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.grant()
}

// releaseUnused releases capacity that was reserved for a message that is not queued.
func (q *queue) releaseUnused(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(size)
	q.grant()
}

// add queues a message whose capacity is reserved. It reports false if the client has
// ended.
func (q *queue) add(t *Token) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.release(t.size)
		return false
	}
	q.append(t)
	return true
}

// append numbers a message and adds it. The caller must hold mu.
func (q *queue) append(t *Token) {
	q.accepted++
	t.number = q.accepted
	q.pushBack(t)
	q.length.Add(1)
}

// unlink removes a queued message. The caller must hold mu.
func (q *queue) unlink(t *Token) {
	q.length.Add(-1)
	if q.isBirth(t) {
		q.births.remove(t)
		return
	}
	q.pending.remove(t)
	if t.pub.QoS == 0 {
		q.qos0.remove(t)
	}
}

// take removes queued messages and marks them as in flight, as long as admit allows.
// Only the loop calls it.
func (q *queue) take(admit func(*Token) bool, into []*Token) []*Token {
	if q.length.Load() == 0 {
		return into
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for t := q.next(); t != nil && admit(t); t = q.next() {
		q.unlink(t)
		t.phase = inFlight
		q.inFlight++
		into = append(into, t)
	}
	return into
}

// requeue queues messages again, in order and before all queued messages. It returns the
// messages whose callers no longer wait: requeue does not queue these. Only the loop calls it.
func (q *queue) requeue(all []*Token) (abandoned []*Token) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range slices.Backward(all) {
		if t.abandoned != nil && !t.stored {
			abandoned = append(abandoned, t)
			continue
		}
		t.phase = pending
		q.inFlight--
		q.pushFront(t)
		q.length.Add(1)
	}
	return abandoned
}

// abandon ends the wait for a message. It cancels the message if it is queued and not
// stored in the outbox. err is the error for the caller, if the message has not ended.
func (q *queue) abandon(t *Token, cause error, offline string) (ended, cancelled bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.phase == pending && q.closed {
		return true, false, nil // the loop is about to end it
	}
	cause = t.stopErr(cause, offline)
	if t.phase == pending && !t.stored {
		if t.sent {
			cause = joinErrors(cause, ErrAbandoned)
		}
		q.unlink(t)
		q.end(t, acknowledgement{}, cause)
		q.grant()
		return true, true, nil
	}
	if t.phase == inFlight {
		t.abandoned = cause
	}
	return t.phase == completed, false, cause
}

// finish ends a message in flight. more reports whether the loop must run another turn.
func (q *queue) finish(t *Token, a acknowledgement, err error) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end(t, a, err)
	return q.next() != nil || len(q.producers) > 0
}

// end ends a message and wakes its waiters. After end, a token of Publish may already
// belong to another message. The caller must hold mu.
func (q *queue) end(t *Token, a acknowledgement, err error) {
	if t.phase == inFlight {
		q.inFlight--
	}
	t.phase, t.code, t.props, t.err = completed, a.code, a.props, err
	q.release(t.size)
	if t.expiry != nil && t.expiry.timer != nil {
		t.expiry.timer.Stop()
	}
	if t.wake != nil {
		t.wake <- struct{}{}
		return
	}
	t.releasePayload()
	t.ended.Store(true)
	if t.done != nil {
		close(t.done)
	}
}

// close makes add fail. It removes and returns all queued messages.
func (q *queue) close() (all []*Token, unread bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.endHold()
	for t := q.pending.first; t != nil; t = q.pending.first {
		q.unlink(t)
		all = append(all, t)
	}
	return all, q.unread
}

// emptySignal returns the channel that receives a value when the queue has become empty.
func (q *queue) emptySignal() chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.emptied == nil {
		q.emptied = make(chan struct{}, 1)
	}
	return q.emptied
}

// isEmpty reports whether every accepted message is acknowledged or has failed.
func (q *queue) isEmpty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages == 0 && !q.unread
}

// awaitCapacity blocks until a permit is granted.
func (c *Client) awaitCapacity(ctx context.Context, p permit) error {
	full := c.flow.beginWait()
	defer c.flow.endWait()
	var err error
	select {
	case <-p.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-full:
		err = ErrHandlerQueueFull
	case <-c.closer.signal():
		err = ErrClosed
	}
	c.queue.cancel(p)
	return err
}

// abandonCause returns why the caller of a message in flight no longer waits, or nil.
func (q *queue) abandonCause(t *Token) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.abandoned
}
