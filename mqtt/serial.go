//go:build cgo

package mqtt

import (
	"sync"
	"time"
)

// serial calls functions one at a time, in order, on a goroutine of its own. The
// goroutine ends when there are no more functions. Shared: it has its own mutex.
type serial struct {
	mu      sync.Mutex
	running *serialCalls // nil while there are no functions, as in most idle clients
}

// serialCalls are the functions of a serial whose goroutine is running.
type serialCalls struct {
	calls []func()
	idle  chan struct{} // made by drain; closed when the goroutine ends
}

// add schedules f after the functions that were added before.
func (s *serial) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = &serialCalls{}
		go s.run()
	}
	s.running.calls = append(s.running.calls, f)
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
	r := s.running
	if len(r.calls) > 0 {
		f = r.calls[0]
		r.calls[0] = nil
		r.calls = r.calls[1:]
		return f
	}
	if r.idle != nil {
		close(r.idle)
	}
	s.running = nil
	return nil
}

// ended returns a channel that is closed when all functions have returned. It returns nil if
// there are none.
func (s *serial) ended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.running
	if r == nil {
		return nil
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	return r.idle
}

// drain blocks until all functions have returned, at most for patience.
func (s *serial) drain(patience time.Duration) {
	idle := s.ended()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(patience):
	}
}
