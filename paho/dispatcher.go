package mqtt

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// dispatcher runs the callbacks of ordered messages on a goroutine of its own. The
// goroutine ends when no message has arrived for some time.
//
// The loop of package mosquitto/mqtt delivers messages, and waits for their callbacks before it
// sends acknowledgements (see [mosquitto.Client.OnAcknowledge]). While callbacks are slow, it
// waits for the callbacks of each message of QoS 1 and 2 instead: the network must not stand
// still for the callbacks of several messages. For a message of QoS 0 it waits only while the
// queue is full. The loop does not wait if the callback may need the loop: the callback waits
// for the broker, or it runs so long that the connection would be lost. Messages that arrive
// meanwhile are queued. They are acknowledged before their callbacks run.
//
// A nil *dispatcher belongs to a client whose callbacks have goroutines of their own.
type dispatcher struct {
	call func(*message) // runs the callbacks of a message
	slow time.Duration  // a callback that runs longer would end the connection

	// Owned by the loop.
	timer *time.Timer     // nil before the loop has waited
	last  uint64          // the last message of QoS 1 or 2
	ctx   context.Context // context of the last message; it ends with the client
	fast  bool            // callbacks are fast: the loop waits for those of several messages at once

	goroutine atomic.Uint64 // the goroutine of the callbacks
	handled   atomic.Uint64 // messages whose callbacks have returned
	target    atomic.Uint64 // the loop waits until handled reaches this number
	running   atomic.Bool   // a callback is running
	waiting   atomic.Bool   // the callback waits for the broker
	waiters   atomic.Int64  // all waits for the broker
	queued    atomic.Int64  // bytes of the queue

	filled   chan struct{} // receives a value when a message is queued, or at the end
	progress chan struct{} // receives a value when the loop may continue

	mu       sync.Mutex
	queue    []*message
	pushed   uint64 // messages delivered so far
	detached bool   // the loop does not wait for callbacks until the queue is empty
	started  bool   // the goroutine of the callbacks exists
	ended    bool
}

const (
	maxGathered    = 16                     // messages that the loop delivers before it waits for the first of them, if callbacks are fast
	fastCallback   = 500 * time.Microsecond // callbacks of one message that are shorter are fast
	slowCallbacks  = 10 * time.Millisecond  // callbacks of maxGathered messages that are longer are slow
	maxAhead       = 1000                   // messages of QoS 0 that the loop delivers ahead of the callbacks
	maxAheadBytes  = 4 << 20                // limit of their bytes
	maxQueuedBytes = 16 << 20               // limit of the queue while a callback runs for a long time
	watchInterval  = 100 * time.Millisecond
	waitPatience   = time.Second // how long other goroutines wait for the broker behind a callback
	idlePatience   = time.Second // how long the goroutine lives without a message
)

func newDispatcher(keepAlive time.Duration, call func(*message)) *dispatcher {
	d := &dispatcher{
		call: call, slow: keepAlive / 2,
		filled: make(chan struct{}, 1), progress: make(chan struct{}, 1),
	}
	if d.slow == 0 {
		d.slow = 15 * time.Second
	}
	return d
}

// deliver queues a message, and waits while the queue is full. Only the loop calls it. ctx
// ends with the client.
func (d *dispatcher) deliver(ctx context.Context, m *message) {
	n := d.push(m)
	if m.QoS > 0 {
		d.last, d.ctx = n, ctx
		d.deliverReliably(ctx, n)
		return
	}
	if d.queued.Load() < maxAheadBytes {
		n -= min(n, maxAhead)
	}
	d.await(ctx, n)
}

// deliverReliably waits for message n of QoS 1 or 2 or, if callbacks are fast, for an
// earlier message.
func (d *dispatcher) deliverReliably(ctx context.Context, n uint64) {
	if d.fast && d.queued.Load() < maxAheadBytes {
		d.awaitGathered(ctx, n-min(n, maxGathered))
		return
	}
	began := time.Now()
	d.await(ctx, n)
	d.fast = time.Since(began) < fastCallback && d.handled.Load() >= n
}

// awaitGathered waits for the callbacks of message n. It finds out whether callbacks have
// become slow.
func (d *dispatcher) awaitGathered(ctx context.Context, n uint64) {
	if d.handled.Load() >= n {
		return
	}
	began := time.Now()
	d.await(ctx, n)
	d.fast = d.fast && time.Since(began) < slowCallbacks && d.handled.Load() >= n
}

// beforeAcknowledging waits for the callbacks of the messages that the client is about to
// acknowledge. Only the loop calls it.
func (d *dispatcher) beforeAcknowledging(*mosquitto.Client) {
	if d.ctx != nil {
		d.awaitGathered(d.ctx, d.last)
	}
}

// await waits for the callbacks of message n.
func (d *dispatcher) await(ctx context.Context, n uint64) {
	d.target.Store(n)
	if d.mayGoOn(n) {
		return
	}
	if d.timer == nil {
		d.timer = time.NewTimer(watchInterval)
	}
	d.timer.Reset(watchInterval)
	defer d.timer.Stop()
	for began := time.Now(); !d.mayGoOn(n); {
		select {
		case <-d.progress:
		case <-ctx.Done():
			return
		case <-d.timer.C:
			if d.isNeeded(time.Since(began)) {
				d.detach()
				return
			}
			d.timer.Reset(watchInterval)
		}
	}
}

// push queues a message and returns its number.
func (d *dispatcher) push(m *message) uint64 {
	d.queued.Add(int64(m.size()))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, m)
	d.pushed++
	if d.started {
		notify(d.filled)
	} else {
		d.started = true
		go d.run()
	}
	return d.pushed
}

// mayGoOn reports whether the loop may continue after message n.
func (d *dispatcher) mayGoOn(n uint64) bool {
	if d.handled.Load() >= n || d.waiting.Load() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.detached && d.queued.Load() < maxQueuedBytes
}

// isNeeded reports whether the connection needs the loop, which has waited for a callback
// for some time.
func (d *dispatcher) isNeeded(waited time.Duration) bool {
	return waited >= d.slow || waited >= waitPatience && d.waiters.Load() > 0
}

// detach makes the loop continue without waiting for callbacks.
func (d *dispatcher) detach() {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.detached = true
	d.mu.Unlock()
	notify(d.progress)
}

// run is the goroutine of the callbacks.
func (d *dispatcher) run() {
	d.goroutine.Store(goroutineID())
	idle := time.NewTimer(idlePatience)
	defer idle.Stop()
	var batch []*message
	for {
		if batch = d.take(batch[:0], idle); batch == nil {
			return
		}
		for i, m := range batch {
			d.handle(m)
			batch[i] = nil
		}
	}
}

// handle runs the callbacks of a message.
func (d *dispatcher) handle(m *message) {
	d.running.Store(true)
	d.call(m)
	d.running.Store(false)
	d.queued.Add(-int64(m.size()))
	if d.handled.Add(1) >= d.target.Load() {
		notify(d.progress)
	}
}

// take returns all queued messages. It waits while there are none. It returns nil if the
// goroutine must end. free is an empty slice to use for the queue.
func (d *dispatcher) take(free []*message, idle *time.Timer) []*message {
	idle.Reset(idlePatience)
	for patient := true; ; {
		d.mu.Lock()
		batch := d.queue
		if len(batch) > 0 {
			d.queue = free
			d.mu.Unlock()
			return batch
		}
		d.detached = false
		d.started = patient && !d.ended
		if !d.started {
			d.queue = nil
		}
		started := d.started
		d.mu.Unlock()
		if !started {
			return nil
		}
		select {
		case <-d.filled:
		case <-idle.C:
			patient = false
		}
	}
}

// end ends the goroutine when it has run the callbacks of all queued messages.
func (d *dispatcher) end() {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.ended, d.detached = true, true
	d.mu.Unlock()
	notify(d.filled)
	notify(d.progress)
}

// beginWait notes that the calling goroutine waits for the broker. inCallback reports
// whether it is the goroutine of the callbacks. The caller must call endWait.
func (d *dispatcher) beginWait() (inCallback bool) {
	if d == nil {
		return false
	}
	d.waiters.Add(1)
	if !d.inCallback() {
		return false
	}
	d.waiting.Store(true)
	notify(d.progress)
	return true
}

func (d *dispatcher) endWait(inCallback bool) {
	if d == nil {
		return
	}
	d.waiters.Add(-1)
	if inCallback {
		d.waiting.Store(false)
		d.detach() // the callback may wait again
	}
}

// beginCall notes a call that may wait for the broker, on any goroutine. The caller must
// call endCall.
func (d *dispatcher) beginCall() {
	if d != nil {
		d.waiters.Add(1)
	}
}

func (d *dispatcher) endCall() {
	if d != nil {
		d.waiters.Add(-1)
	}
}

// willWait notes that the caller may wait until done is closed.
func (d *dispatcher) willWait(done <-chan struct{}) {
	if d == nil {
		return
	}
	select {
	case <-done:
	default:
		if d.inCallback() {
			d.detach()
		}
	}
}

// inCallback reports whether the calling goroutine runs a callback of this dispatcher.
func (d *dispatcher) inCallback() bool {
	return d.running.Load() && goroutineID() == d.goroutine.Load()
}

// goroutineID returns the number of the calling goroutine. The runtime has no function
// for it, but a stack trace begins with "goroutine 123 [".
func goroutineID() (id uint64) {
	var stack [64]byte
	text := stack[len("goroutine "):runtime.Stack(stack[:], false)]
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			break
		}
		id = 10*id + uint64(digit-'0')
	}
	return id
}

// notify sends on a channel with capacity 1, unless it holds a value already.
func notify(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
