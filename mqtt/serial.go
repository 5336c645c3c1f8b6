//go:build cgo

package mqtt

import (
	"sync"
	"time"
)

// serial calls functions one at a time, in order, on a goroutine of its own. The
// goroutine ends when there are no more functions. Shared: it has its own mutex.
type serial struct {
	mu    sync.Mutex
	calls []func()
	busy  bool          // the goroutine is running
	idle  chan struct{} // made by drain; closed when the goroutine ends
}

// add schedules f after the functions that were added before.
func (s *serial) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, f)
	if !s.busy {
		s.busy = true
		go s.run()
	}
}

func (s *serial) run() {
	for {
		f := s.next()
		if f == nil {
			return
		}
		f()
	}
}

// next removes and returns the first function. It returns nil to end the goroutine.
func (s *serial) next() (f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) > 0 {
		f = s.calls[0]
		s.calls[0] = nil
		s.calls = s.calls[1:]
		return f
	}
	s.busy, s.calls = false, nil
	if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	return nil
}

// drain blocks until all functions have returned, at most for patience.
func (s *serial) drain(patience time.Duration) {
	s.mu.Lock()
	if !s.busy {
		s.mu.Unlock()
		return
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(patience):
	}
}
