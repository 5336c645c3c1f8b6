package main

import "sync/atomic"

// room bounds what is under way. A publisher that finds it full waits until half
// of it is free: waking it for every acknowledgement would measure how fast
// threads are switched. The C side does the same.
type room struct {
	size  int64
	taken atomic.Int64
	wake  chan struct{}
}

func newRoom(size int) *room { return &room{size: int64(size), wake: make(chan struct{}, 1)} }

// enter is for one goroutine.
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
		default: // one that was not taken is there yet
		}
	}
}

// until waits until no more than so many are under way: half of the size, or
// none.
func (r *room) until(n int64) {
	for r.taken.Load() > n {
		<-r.wake
	}
}
