package main

import "sync/atomic"

// limiter limits the messages in flight. If the limit is reached, the publisher waits
// until half of them are done. Waking it for every acknowledgement would mostly measure
// thread switches. The worker in C does the same.
type limiter struct {
	size  int64
	taken atomic.Int64
	wake  chan struct{}
}

func newLimiter(size int) *limiter { return &limiter{size: int64(size), wake: make(chan struct{}, 1)} }

// enter must be called by only one goroutine.
func (l *limiter) enter() {
	if l.taken.Load() >= l.size {
		l.until(l.size / 2)
	}
	l.taken.Add(1)
}

func (l *limiter) leave() {
	if n := l.taken.Add(-1); n == l.size/2 || n == 0 {
		select {
		case l.wake <- struct{}{}:
		default: // a wakeup is already pending
		}
	}
}

// until waits until at most n messages are in flight.
func (l *limiter) until(n int64) {
	for l.taken.Load() > n {
		<-l.wake
	}
}
