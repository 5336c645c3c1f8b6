package main

import "sync/atomic"

// room limits the messages in flight. If the limit is reached, the publisher waits
// until half of them are done. Waking it for every acknowledgement would mostly measure
// thread switches. The worker in C does the same.
type room struct {
	size  int64
	taken atomic.Int64
	wake  chan struct{}
}

func newRoom(size int) *room { return &room{size: int64(size), wake: make(chan struct{}, 1)} }

// enter must be called by only one goroutine.
func (r *room) enter() {
	if r.taken.Load() >= r.size {
		r.until(r.size / 2)
	}
	r.taken.Add(1)
}

func (r *room) leave() {
	if n := r.taken.Add(-1); n == r.size/2 || n == 0 {
		select {
		case r.wake <- struct{}{}:
		default: // a wakeup is already pending
		}
	}
}

// until waits until at most n messages are in flight.
func (r *room) until(n int64) {
	for r.taken.Load() > n {
		<-r.wake
	}
}
