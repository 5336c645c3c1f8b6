//go:build cgo

package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
)

// Overflow says what happens to a message for which the queue of a worker or an
// iterator has no room.
type Overflow int

// The policies.
const (
	// Block stops reading from the connection until there is room; the broker then
	// holds messages back. While any call of the client waits for the broker, reading
	// goes on, since the answer is behind the messages that arrive, until 16 MiB of
	// messages wait in full queues. If no handler takes one of those for a second,
	// such calls end with [ErrHandlerQueueFull]. Reading also goes on while the
	// client awaits the broker's PINGRESP, for at most 1 MiB.
	Block Overflow = iota
	// DropOldest drops the message that has been queued longest.
	DropOldest
	// DropNewest drops the message that has arrived.
	DropNewest
)

// inbox is the queue between the loop and a consumer: the worker or an iterator. Shared:
// it has its own mutex. It never blocks the loop: flow decides whether reading goes on.
type inbox struct {
	limit    int
	overflow Overflow
	flow     *flow
	filled   chan struct{} // told when there is a message, or the inbox is closed
	busy     atomic.Bool   // the consumer is at work

	mu     sync.Mutex
	items  []delivery
	head   int
	bytes  int // of the items
	full   bool
	closed bool
	err    error // why it was closed, nil when the client has ended
}

// delivery is a message for a consumer.
type delivery struct {
	ctx     context.Context
	message Message
	target  *target
	ends    *receiveEnds
}

func (d *delivery) size() int { return len(d.message.Topic) + len(d.message.Payload) }

func newInbox(limit int, overflow Overflow, f *flow) *inbox {
	return &inbox{limit: limit, overflow: overflow, flow: f, filled: make(chan struct{}, 1)}
}

// length is the number of queued messages.
func (b *inbox) length() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) - b.head
}

// push queues a message, as the policy says, and returns the message that was dropped.
// Only the loop calls it.
func (b *inbox) push(d delivery) (dropped delivery, any bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := len(b.items)-b.head >= b.limit
	switch {
	case b.closed, full && b.overflow == DropNewest:
		return d, true
	case full && b.overflow == DropOldest:
		dropped, any = b.remove(), true
	}
	b.items = append(b.items, d)
	b.bytes += d.size()
	b.report()
	notify(b.filled)
	return dropped, any
}

// report tells flow whether the inbox is full, and how many bytes it holds then. The
// caller must hold mu.
func (b *inbox) report() {
	full := b.overflow == Block && !b.closed && len(b.items)-b.head >= b.limit
	if full || b.full {
		b.full = full
		b.flow.report(b, full, b.bytes)
	}
}

// remove removes the first message. There must be one. The caller must hold mu.
func (b *inbox) remove() delivery {
	d := b.items[b.head]
	b.items[b.head] = delivery{}
	b.head++
	b.bytes -= d.size()
	if b.head == len(b.items) {
		b.items, b.head = b.items[:0], 0
		if cap(b.items) > 4*b.limit+64 { // it was over its limit
			b.items = nil
		}
	} else if b.head > 1024 && b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items, b.head = b.items[:n], 0
	}
	return d
}

// tryPop removes a message if there is one.
func (b *inbox) tryPop() (d delivery, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.items) {
		return d, false
	}
	d = b.remove()
	b.report()
	return d, true
}

// pop waits for a message. It reports false when the inbox is closed and empty, or ended
// was closed.
func (b *inbox) pop(ended <-chan struct{}) (d delivery, ok bool) {
	for {
		select {
		case <-ended:
			return d, false
		default:
		}
		if d, ok = b.tryPop(); ok || b.isClosed() {
			return d, ok
		}
		select {
		case <-b.filled:
		case <-ended:
			return d, false
		}
	}
}

func (b *inbox) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && b.head == len(b.items)
}

// close lets the consumer take what is there, and then end.
func (b *inbox) close() { b.fail(nil) }

// fail closes the inbox for a reason.
func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed, b.err = true, err
		b.report()
	}
	notify(b.filled)
}

func (b *inbox) reason() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
