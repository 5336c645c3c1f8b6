//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"slices"
)

// wakeRoom is how many messages' room producers wait for, at most.
const wakeRoom = 64

// QueueFull says what happens to a message for which the queue has no room.
type QueueFull int

// The policies of [WithQueue].
const (
	// WaitForRoom makes Publish and PublishAsync wait until ctx ends. Inside an
	// inline handler they fail with [ErrQueueFull] instead.
	WaitForRoom QueueFull = iota
	// Refuse makes them fail with [ErrQueueFull].
	Refuse
	// DropOldestQoS0 takes the room from the QoS 0 messages that have waited
	// longest for a connection, which end with [ErrDropped]. When there are
	// none the message fails with [ErrQueueFull].
	DropOldestQoS0
)

// room is the budget of the outgoing queue. Guarded by the client's mu.
type room struct {
	maxMessages, maxBytes int
	policy                QueueFull
	messages, bytes       int       // taken
	unread                bool      // the outbox has messages that come first: there is no room for others
	producers             []*permit // that wait, first come first served
}

// permit is what a producer waits for.
type permit struct {
	size    int
	granted chan struct{}
}

// take takes room for a message of this size, if there is.
func (r *room) take(size int) bool {
	if r.unread || !r.fits(size) {
		return false
	}
	r.add(size)
	return true
}

func (r *room) fits(size int) bool { return r.messages < r.maxMessages && r.bytes+size <= r.maxBytes }

// worthAWake tells whether there is room for some messages more: one that is woken
// for each of them makes a stream of messages several times as dear.
func (r *room) worthAWake() bool {
	return r.maxMessages-r.messages >= min(r.maxMessages/8, wakeRoom)
}

func (r *room) add(size int) {
	r.messages++
	r.bytes += size
}

func (r *room) fullErr(why string) error {
	if r.unread {
		why += "; the outbox has more, which come first"
	}
	return fmt.Errorf("mqtt: %w: %d of %d messages, %d of %d bytes%s", ErrQueueFull, r.messages, r.maxMessages, r.bytes, r.maxBytes, why)
}

// reserve takes room for a message, as the policy says. mu is held, but not while
// it waits.
func (c *Client) reserve(ctx context.Context, size int) error {
	r := &c.out.room
	if size > r.maxBytes {
		return r.fullErr(fmt.Sprintf("; the message alone has %d", size))
	}
	if len(r.producers) == 0 && r.take(size) {
		return nil
	}
	switch r.policy {
	case DropOldestQoS0:
		if c.dropFor(size) {
			return nil
		}
		return r.fullErr(", none of QoS 0 waiting")
	case Refuse:
		return r.fullErr("")
	}
	if c.inInlineHandler() {
		return r.fullErr("; a handler cannot wait")
	}
	return c.awaitRoom(ctx, size)
}

// awaitRoom waits, unlocked, until room was granted.
func (c *Client) awaitRoom(ctx context.Context, size int) error {
	r := &c.out.room
	p := &permit{size, make(chan struct{})}
	r.producers = append(r.producers, p)
	c.mu.Unlock()
	ctx, restore := c.lift(ctx)
	var err error
	select {
	case <-p.granted:
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.closing:
		err = ErrClosed
	}
	restore()
	c.mu.Lock()
	if err == nil {
		return nil
	}
	if i := slices.Index(r.producers, p); i >= 0 {
		r.producers = slices.Delete(r.producers, i, i+1)
		c.grant() // a smaller one may be next
	} else {
		c.release(size)
	}
	return err
}

// release gives room back.
func (c *Client) release(size int) {
	r := &c.out.room
	r.messages--
	r.bytes -= size
	c.grant()
	if r.messages == 0 {
		notify(c.flushed)
	}
	if r.unread && r.halfEmpty() {
		notify(c.backlog.room)
	}
}

// grant gives room to producers, in their order.
func (c *Client) grant() {
	r := &c.out.room
	if len(r.producers) == 0 || !r.worthAWake() {
		return
	}
	for len(r.producers) > 0 && r.take(r.producers[0].size) {
		close(r.producers[0].granted)
		r.producers = slices.Delete(r.producers, 0, 1)
	}
}

// dropFor takes room for a message, at the cost of the oldest QoS 0 messages that
// wait. It drops none if that would not be enough.
func (c *Client) dropFor(size int) bool {
	o := &c.out
	if !o.droppable(size) {
		return false
	}
	for t := o.first; !o.room.take(size); {
		next := t.next
		if t.pub.QoS == 0 {
			o.remove(t)
			c.finish(t, ack{}, ErrDropped)
		}
		t = next
	}
	return true
}

// droppable tells whether the QoS 0 messages that wait take enough room.
func (o *outgoing) droppable(size int) bool {
	left := o.room
	for t := o.first; t != nil; t = t.next {
		if t.pub.QoS == 0 {
			left.messages--
			left.bytes -= t.size
		}
	}
	return left.take(size)
}
