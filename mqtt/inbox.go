//go:build cgo

package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
)

// Overflow is the policy of a full queue of received messages: of the worker's queue or
// of an iterator's queue.
type Overflow int

// The policies of [Worker] and of iterators.
const (
	// Block stops reading from the connection until the queue has capacity. The broker
	// holds its messages back meanwhile.
	//
	// While a call of the client waits for the broker, the client keeps reading, because
	// the reply is behind the messages. Full queues then grow beyond their limits, to 16
	// MiB in total. If a second passes after that without a message taken from a full
	// queue, the waiting calls return [ErrHandlerQueueFull].
	//
	// The client also keeps reading while it waits for PINGRESP, at most 1 MiB.
	Block Overflow = iota
	// DropOldest drops the message that has been queued longest.
	DropOldest
	// DropNewest drops the message that has just arrived.
	DropNewest
)

// inbox is the queue between the loop and a consumer: the worker or an iterator. It
// never blocks the loop; instead flow pauses reading. Shared: it has its own mutex.
type inbox struct {
	limit    int
	overflow Overflow
	flow     *flow
	filled   chan struct{} // receives a value when a message is queued or the inbox is closed
	busy     atomic.Bool   // the consumer is running a handler

	mu     sync.Mutex
	items  []delivery
	head   int
	bytes  int // of the items
	full   bool
	closed bool
	err    error // why it was closed; nil if the client has ended
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

// length returns the number of queued messages.
func (b *inbox) length() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) - b.head
}

// push queues a message. If the policy drops a message, push returns it. Only the loop
// calls it.
func (b *inbox) push(d delivery) (dropped delivery, isDropped bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := len(b.items)-b.head >= b.limit
	switch {
	case b.closed, full && b.overflow == DropNewest:
		return d, true
	case full && b.overflow == DropOldest:
		dropped, isDropped = b.remove(), true
	}
	b.items = append(b.items, d)
	b.bytes += d.size()
	b.report()
	notify(b.filled)
	return dropped, isDropped
}

// report passes to flow whether the inbox is full. The caller must hold mu.
func (b *inbox) report() {
	full := b.overflow == Block && !b.closed && len(b.items)-b.head >= b.limit
	if full || b.full {
		b.full = full
		b.flow.report(b, full, b.bytes)
	}
}

// remove removes the first message of an inbox that is not empty. The caller must hold
// mu.
func (b *inbox) remove() delivery {
	d := b.items[b.head]
	b.items[b.head] = delivery{}
	b.head++
	b.bytes -= d.size()
	if b.head == len(b.items) {
		b.items, b.head = b.items[:0], 0
		if cap(b.items) > 4*b.limit+64 { // it has grown beyond its limit
			b.items = nil
		}
	} else if b.head > 1024 && b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items, b.head = b.items[:n], 0
	}
	return d
}

// tryPop removes the first message. It reports false if the inbox is empty.
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

// pop blocks until it has removed a message. It reports false if the inbox is closed and
// empty, or if ended is closed.
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

// close closes the inbox because the client ends. The consumer still takes queued
// messages.
func (b *inbox) close() { b.fail(nil) }

// fail closes the inbox. err is the reason that reason returns.
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
