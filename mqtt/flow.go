//go:build cgo

package mqtt

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

const (
	maxQueuedBytes = 16 << 20    // in full queues, while calls wait for the broker
	stuckAfter     = time.Second // without a message taken from a full queue
)

// flow decides whether the library reads from the connection: not while a queue of a
// consumer is full, unless a call waits for the broker, whose answer is behind the
// messages. It does not matter which goroutine calls. Shared: it has its own mutex.
type flow struct {
	waiting     atomic.Int64                  // calls that wait for the broker
	fullQueues  atomic.Int64                  // full queues
	stuckSignal atomic.Pointer[chan struct{}] // closed when such calls are to end; nil before there is a queue

	mu      sync.Mutex
	library *mosquitto.Client
	inboxes map[*inbox]int // of consumers; the bytes of those that are full, -1 for others
	paused  bool           // as the library was told
	stuck   *time.Timer    // of calls that wait behind full queues
	ended   bool
}

// attach makes m the library client that is told.
func (f *flow) attach(m *mosquitto.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.library, f.paused = m, false
	f.decide()
}

// enter begins a wait for the broker. The channel, nil if there are no queues, is
// closed when the wait is to end with ErrHandlerQueueFull.
func (f *flow) enter() (full <-chan struct{}) {
	if f.waiting.Add(1) == 1 && f.fullQueues.Load() > 0 {
		f.mu.Lock()
		f.decide()
		f.mu.Unlock()
	}
	if ch := f.stuckSignal.Load(); ch != nil {
		return *ch
	}
	return nil
}

// leave ends a wait.
func (f *flow) leave() {
	if f.waiting.Add(-1) > 0 || f.fullQueues.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide()
}

// add makes the queue of a consumer one that flow looks after. It reports false when
// the client has ended.
func (f *flow) add(b *inbox) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	if f.inboxes == nil {
		f.inboxes = map[*inbox]int{}
		f.renewStuckSignal()
	}
	f.inboxes[b] = -1
	return true
}

// remove forgets the queue of a consumer.
func (f *flow) remove(b *inbox) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setBytes(b, -1)
	delete(f.inboxes, b)
	f.decide()
}

// report notes whether a queue is full, and its bytes.
func (f *flow) report(b *inbox, full bool, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !full {
		bytes = -1
	}
	if before := f.setBytes(b, bytes); bytes < before && f.stuck != nil { // the consumer has taken one
		f.stuck.Stop()
		f.stuck = nil
	}
	f.decide()
}

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

// decide tells the library whether to read. The caller must hold mu; PauseReading and
// ResumeReading call nothing back.
func (f *flow) decide() {
	bytes := 0
	for _, n := range f.inboxes {
		bytes += max(n, 0)
	}
	full, waiting := f.fullQueues.Load() > 0, f.waiting.Load() > 0
	overLimit := full && waiting && bytes > maxQueuedBytes
	pause := full && !waiting || overLimit
	if overLimit && f.stuck == nil {
		f.stuck = time.AfterFunc(stuckAfter, f.endWaits)
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

// endWaits ends the calls that wait behind more messages than the bound allows.
func (f *flow) endWaits() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck == nil || f.ended {
		return
	}
	f.stuck = nil
	close(*f.stuckSignal.Load())
	f.renewStuckSignal()
}

func (f *flow) renewStuckSignal() {
	full := make(chan struct{})
	f.stuckSignal.Store(&full)
}

// closeInboxes lets every consumer take what it has, and then end.
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
