//go:build cgo

package mosquitto

import (
	"runtime"
	"sync"
)

// posts holds the functions that Post queued. mu guards queue, and the flag in C
// that says whether it is empty. The loop owns turn and next.
type posts struct {
	mu    sync.Mutex
	queue []func()
	turn  []func() // taken out of queue
	next  int      // the first of turn that has not run
}

// Post queues f to run on the goroutine in [Client.Run] or [Client.RunOnce],
// between two packets, in the order of the calls. It wraps no C function. f is
// no callback: InCallback is false in it, and it may publish, subscribe,
// disconnect, change settings and close the client. Loops, connects and
// Reinitialise return [ErrBusy] in it, and so do settings while Run waits for
// the resolver. While f runs, its client reads and writes nothing.
//
// Post wakes Run. Without Run f is kept, and runs first thing when Run or
// RunOnce is called next. Close drops functions that have not run. A panic of f
// is raised again by Run, as a [*PanicError], like one in a callback.
//
// Post may be called from any goroutine, inside callbacks (f runs after the
// callback has returned) and inside f itself (the new function runs in a later
// turn, after Run has looked at the network). It blocks on nothing and
// allocates nothing in the steady state. It returns [ErrClosed] after Close,
// [ErrInCallback] inside OnLog, and an error that wraps [ErrInval] for a nil f.
func (c *Client) Post(f func()) error {
	const op = "post"
	if f == nil {
		return badArgument(op, ErrInval, "f: nil")
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if c.posts.add(c.c, f) {
		c.wakeRun()
	}
	return nil
}

// add queues f and reports whether the loop does not know yet that there is
// something to run.
func (p *posts) add(c *cClient, f func()) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, f)
	if len(p.queue) > 1 {
		return false
	}
	cPostedSet(c, true)
	return true
}

const keptPosts = 1 << 14 // capacity that is kept for the next turn

// take prepares the next turn and reports whether it has a function to run.
func (p *posts) take(c *cClient) bool {
	if p.next < len(p.turn) { // a panic ended the last turn
		return true
	}
	if !cPosted(c) {
		return false
	}
	spare := p.turn[:0]
	if cap(spare) > keptPosts {
		spare = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn, p.queue, p.next = p.queue, spare, 0
	cPostedSet(c, false)
	return true
}

// run runs the functions of this turn, until the client is closed.
func (p *posts) run(g *gate) {
	for p.next < len(p.turn) && !g.closed() {
		f := p.turn[p.next]
		p.turn[p.next] = nil
		p.next++
		f()
	}
}

// drop releases all functions that have not run, when the client is freed.
func (p *posts) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.turn, p.next = nil, nil, 0
}

// runPosts runs the functions that Post had queued before this turn. If a
// function panics, runPosts returns that panic and leaves the remaining functions queued.
func (c *Client) runPosts() (fault *PanicError) {
	if !c.posts.take(c.c) {
		return nil
	}
	runtime.LockOSThread() // C recognises the thread that may call what the loop excludes
	defer runtime.UnlockOSThread()
	cPosting(c.c)
	defer cPostingDone(c.c)
	defer func() {
		if value := recover(); value != nil {
			fault = newPanicError(value)
		}
	}()
	c.posts.run(&c.gate)
	return nil
}
