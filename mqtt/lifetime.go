//go:build cgo

package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lifetime is a context that a client ends. It is a part of the struct that needs it and
// allocates nothing until it is used: the contexts of package context would cost an idle
// client 2 KiB. The program's functions receive the context that full returns instead of
// a lifetime. If a program derived a context from a lifetime with context.WithValue,
// package context would start a goroutine for it. Shared: it has its own mutex.
type lifetime struct {
	client *Client // for FromContext
	ended  atomic.Bool

	mu     sync.Mutex
	reason error         // the argument of end
	done   chan struct{} // made by the first call of Done
	atEnd  *atEnd        // the functions of AfterFunc, the last one first
}

// atEnd is a function that runs when a lifetime ends.
type atEnd struct {
	f    func()
	next *atEnd
}

// end ends the lifetime, and runs the functions of AfterFunc. Only the first call has an
// effect.
func (l *lifetime) end(reason error) {
	l.mu.Lock()
	if l.ended.Load() {
		l.mu.Unlock()
		return
	}
	l.reason = reason
	l.ended.Store(true)
	if l.done != nil {
		close(l.done)
	}
	first := l.atEnd
	l.atEnd = nil
	l.mu.Unlock()
	for x := first; x != nil; x = x.next {
		x.f()
	}
}

// cause returns the reason of end, or nil.
func (l *lifetime) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.ended.Load() {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *lifetime) Err() error {
	if l.ended.Load() {
		return context.Canceled
	}
	return nil
}

// Deadline implements context.Context: a lifetime has none.
func (l *lifetime) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Value implements context.Context, for FromContext.
func (l *lifetime) Value(key any) any {
	if key == (clientKey{}) {
		return l.client
	}
	return nil
}

func (l *lifetime) String() string { return "mqtt.Client's context" }

// AfterFunc runs f when the lifetime ends. Package context uses it for contexts that
// derive from this one, and f cancels them. f must not block.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	x := l.add(f)
	return func() bool { return l.remove(x) }
}

// add is AfterFunc without an allocation for stop. The result is for remove.
func (l *lifetime) add(f func()) *atEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := &atEnd{f, l.atEnd}
	if l.ended.Load() {
		go f()
		return x
	}
	l.atEnd = x
	return x
}

// remove removes x, and reports whether x had not run yet.
func (l *lifetime) remove(x *atEnd) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := &l.atEnd; *at != nil; at = &(*at).next {
		if *at == x {
			*at = x.next
			return true
		}
	}
	return false
}

// full returns a context of package context that ends with the lifetime, for the reason of
// the lifetime (context.Cause).
func (l *lifetime) full() context.Context {
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), clientKey{}, l.client))
	l.AfterFunc(func() { cancel(l.cause()) })
	return ctx
}
