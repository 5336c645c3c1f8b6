//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// Overflow says what happens to a message for which the queue of a worker or an
// iterator has no room.
type Overflow int

// The policies.
const (
	// Block stops reading from the connection until there is room; the broker
	// then holds messages back. While a handler waits for the broker the bound
	// is 64 times as high, since the answer is behind the messages that arrive;
	// beyond that the wait ends with [ErrHandlerQueueFull].
	Block Overflow = iota
	// DropOldest drops the message that has waited longest.
	DropOldest
	// DropNewest drops the message that has arrived.
	DropNewest
)

// inbox is a bounded queue between the loop and a consumer: the worker or an
// iterator.
type inbox struct {
	limit    int
	overflow Overflow
	patience time.Duration // how long the loop waits for a consumer that takes nothing
	dropped  func(m *Message)
	blocked  func() // a consumer has taken nothing for so long

	mu      sync.Mutex
	items   []delivery
	head    int
	closed  bool
	lifted  map[*lift]bool // calls of the consumer's that wait for the broker
	stalled bool           // the consumer has taken nothing for longer than patience
	err     error          // why it was closed, nil when the client has ended
	filled  chan struct{}  // told when there is something, or it is closed
	room    chan struct{}  // told when there is room, or the bound is lifted
	thread  int            // of the consumer while it handles a message, else 0
}

// delivery is a message for a handler.
type delivery struct {
	ctx     context.Context
	message Message
	handler Handler // nil for an iterator
	passed  *passing
}

func newInbox(limit int, overflow Overflow) *inbox {
	return &inbox{limit: limit, overflow: overflow, lifted: map[*lift]bool{}, filled: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// notify makes one wake-up wait in a channel that has room for one.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// len is how many messages wait.
func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) - b.head
}

// push queues a message, as the policy says. Only the loop calls it. Hooks are
// told of what was dropped, and may ask the client for anything.
func (b *inbox) push(d delivery, ended <-chan struct{}) {
	for _, lost := range b.admit(d, ended) {
		b.dropped(&lost.message)
		lost.passed.done()
	}
}

// forget takes what nobody will handle any more.
func (b *inbox) forget() {
	for d, ok := b.tryPop(); ok; d, ok = b.tryPop() {
		d.passed.done()
	}
}

// admit queues a message and returns those that were dropped.
func (b *inbox) admit(d delivery, ended <-chan struct{}) (lost []delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && b.full() {
		switch b.overflow {
		case DropNewest:
			return append(lost, d)
		case DropOldest:
			lost = append(lost, b.take())
			continue
		}
		for l := range b.lifted {
			l.cancel(ErrHandlerQueueFull)
		}
		b.awaitRoom(ended)
	}
	if b.closed {
		return append(lost, d)
	}
	b.items = append(b.items, d)
	notify(b.filled)
	return lost
}

// full tells whether the next message has to wait. The bound that is lifted for a
// consumer that waits is still one.
func (b *inbox) full() bool {
	waiting := len(b.items) - b.head
	if len(b.lifted) > 0 || b.stalled {
		return waiting >= liftedBound*b.limit
	}
	return waiting >= b.limit
}

// liftedBound is how many times the bound may be exceeded.
const liftedBound = 64

// awaitRoom waits, unlocked, until something has changed. What a consumer that
// takes nothing waits for, in whatever goroutine, may be behind this message: the
// bound is lifted until it takes one.
func (b *inbox) awaitRoom(ended <-chan struct{}) {
	b.mu.Unlock()
	timer := time.NewTimer(b.patience)
	defer timer.Stop()
	stalled := false
	select {
	case <-b.room:
	case <-ended:
		b.close()
	case <-timer.C:
		stalled = true
		b.blocked()
	}
	b.mu.Lock()
	b.stalled = b.stalled || stalled
}

// take removes the first message. There must be one.
func (b *inbox) take() delivery {
	d := b.items[b.head]
	b.items[b.head] = delivery{}
	b.head++
	b.stalled = false
	if b.head == len(b.items) {
		b.items, b.head = b.items[:0], 0
		if cap(b.items) > 4*b.limit+64 { // grown while the bound was lifted
			b.items = nil
		}
	} else if b.head > 1024 && b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items, b.head = b.items[:n], 0
	}
	return d
}

// pop waits for a message; false when the inbox is closed and empty, or ended
// was closed.
func (b *inbox) pop(ended <-chan struct{}) (d delivery, ok bool) {
	for {
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

// close lets the consumer take what is there, and then end.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	notify(b.filled)
	notify(b.room)
}

// tryPop takes a message if there is one.
func (b *inbox) tryPop() (d delivery, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.items) {
		return d, false
	}
	d = b.take()
	notify(b.room)
	return d, true
}

func (b *inbox) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && b.head == len(b.items)
}

// fail closes the inbox for a reason.
func (b *inbox) fail(err error) {
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
	b.close()
}

// consume runs f as the consumer: calls that f makes on the client are known as
// its, by the thread.
func (b *inbox) consume(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.setThread(threadID())
	defer b.setThread(0)
	f()
}

func (b *inbox) setThread(id int) {
	b.mu.Lock()
	b.thread = id
	b.mu.Unlock()
}

// isConsumer tells whether the calling goroutine is the consumer, at work.
func (b *inbox) isConsumer() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.onThread()
}

// onThread tells whether the consumer runs on the calling thread. mu is held while the
// thread is asked for: a goroutine may be moved, and the consumer come to its old one.
func (b *inbox) onThread() bool { return b.thread != 0 && b.thread == threadID() }

// lift is the context of a call of the consumer's that waits for the broker. It
// ends also when its answer is behind more messages than the queue may hold.
type lift struct {
	context.Context
	cancel context.CancelCauseFunc
}

// Err says which end it was.
func (l *lift) Err() error {
	if errors.Is(context.Cause(l.Context), ErrHandlerQueueFull) {
		return ErrHandlerQueueFull
	}
	return l.Context.Err()
}

// lift takes the bound away if the calling goroutine is the consumer, until
// restore is called.
func (b *inbox) lift(ctx context.Context) *lift {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.onThread() {
		return nil
	}
	l := new(lift)
	l.Context, l.cancel = context.WithCancelCause(ctx)
	b.lifted[l] = true
	notify(b.room)
	return l
}

func (b *inbox) restore(l *lift) {
	l.cancel(nil)
	b.mu.Lock()
	delete(b.lifted, l)
	b.mu.Unlock()
}
