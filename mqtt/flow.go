//go:build cgo

package mqtt

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

const (
	maxQueuedBytes = 16 << 20    // limit of the bytes in full queues while calls wait for the broker
	stuckAfter     = time.Second // time without a message taken from a full queue, until waiting calls fail
)

// flow decides whether the library reads from the connection. It pauses reading while
// the queue of a consumer is full. It does not pause while a call waits for the broker,
// because the broker's reply is behind the messages. Shared: it has its own mutex.
type flow struct {
	waiting     atomic.Int64                  // calls that wait for the broker
	fullQueues  atomic.Int64                  // number of full queues
	stuckSignal atomic.Pointer[chan struct{}] // closed to end the waiting calls; made for the first of them

	mu      sync.Mutex
	library *mosquitto.Client
	inboxes map[*inbox]int // the consumers' queues: bytes of a full queue, -1 for other queues
	paused  bool           // PauseReading was called last
	stuck   *time.Timer    // ends the waiting calls when no consumer takes a message
	ended   bool
}

// attach sets the library client that flow pauses and resumes.
func (f *flow) attach(m *mosquitto.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.library, f.paused = m, false
	f.decide()
}

// beginWait begins a wait for the broker. The caller must end its wait with
// ErrHandlerQueueFull when full is closed.
func (f *flow) beginWait() (full <-chan struct{}) {
	if f.waiting.Add(1) == 1 && f.fullQueues.Load() > 0 {
		f.mu.Lock()
		f.decide()
		f.mu.Unlock()
	}
	if ch := f.stuckSignal.Load(); ch != nil {
		return *ch
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuckSignal.Load() == nil {
		f.renewStuckSignal()
	}
	return *f.stuckSignal.Load()
}

// endWait ends a wait for the broker.
func (f *flow) endWait() {
	if f.waiting.Add(-1) > 0 || f.fullQueues.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide()
}

// add registers the queue of a consumer. It reports false if the client has ended.
func (f *flow) add(b *inbox) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	if f.inboxes == nil {
		f.inboxes = map[*inbox]int{}
	}
	f.inboxes[b] = -1
	return true
}

// remove unregisters the queue of a consumer.
func (f *flow) remove(b *inbox) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setBytes(b, -1)
	delete(f.inboxes, b)
	f.decide()
}

// report updates whether a queue is full, and how many bytes it holds.
func (f *flow) report(b *inbox, full bool, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !full {
		bytes = -1
	}
	if before := f.setBytes(b, bytes); bytes < before && f.stuck != nil { // the consumer has taken a message
		f.stuck.Stop()
		f.stuck = nil
	}
	f.decide()
}

// setBytes stores the bytes of a full queue, or -1. The caller must hold mu.
func (f *flow) setBytes(b *inbox, bytes int) (before int) {
	before, known := f.inboxes[b]
	if !known {
		return -1
	}
	f.inboxes[b] = bytes
	switch {
	case before < 0 && bytes >= 0:
		f.fullQueues.Add(1)
	case before >= 0 && bytes < 0:
		f.fullQueues.Add(-1)
	}
	return before
}

// decide pauses or resumes reading. The caller must hold mu. PauseReading and
// ResumeReading call no callback.
func (f *flow) decide() {
	bytes := 0
	for _, n := range f.inboxes {
		bytes += max(n, 0)
	}
	full, waiting := f.fullQueues.Load() > 0, f.waiting.Load() > 0
	overLimit := full && waiting && bytes > maxQueuedBytes
	pause := full && !waiting || overLimit
	if overLimit && f.stuck == nil {
		f.stuck = time.AfterFunc(stuckAfter, f.failWaits)
	} else if !overLimit && f.stuck != nil {
		f.stuck.Stop()
		f.stuck = nil
	}
	switch {
	case pause && !f.paused:
		_ = f.library.PauseReading()
	case !pause && f.paused:
		_ = f.library.ResumeReading()
	}
	f.paused = pause
}

// failWaits ends the calls that wait for the broker, after stuckAfter without progress.
func (f *flow) failWaits() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck == nil || f.ended {
		return
	}
	f.stuck = nil
	if ch := f.stuckSignal.Load(); ch != nil {
		close(*ch)
	}
	f.renewStuckSignal()
	f.decide()
}

// renewStuckSignal makes the channel for the next waits. The caller must hold mu.
func (f *flow) renewStuckSignal() {
	full := make(chan struct{})
	f.stuckSignal.Store(&full)
}

// closeInboxes closes all queues. Each consumer takes the messages of its queue and
// ends.
func (f *flow) closeInboxes() {
	f.mu.Lock()
	f.ended = true
	var all []*inbox
	for b := range f.inboxes {
		all = append(all, b)
	}
	if f.stuck != nil {
		f.stuck.Stop()
		f.stuck = nil
	}
	f.mu.Unlock()
	for _, b := range all {
		b.close()
	}
}
