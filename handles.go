//go:build cgo

package mosquitto

import (
	"sync"
	"sync/atomic"
)

// C identifies clients by a number, never by a Go pointer. Numbers rise from 1 and
// are never reused, so an old number finds no client. This file owns the registry of
// clients and the gate.

// handleShards keeps clients that receive at the same time off each other's lock.
const handleShards = 64

var handles struct {
	last   atomic.Uintptr
	shards [handleShards]struct {
		sync.RWMutex
		clients map[uintptr]*Client
		_       [64]byte // a cache line of its own
	}
}

func registerHandle(c *Client) uintptr {
	id := handles.last.Add(1)
	s := &handles.shards[id%handleShards]
	s.Lock()
	defer s.Unlock()
	if s.clients == nil {
		s.clients = make(map[uintptr]*Client)
	}
	s.clients[id] = c
	return id
}

func lookupHandle(id uintptr) *Client {
	s := &handles.shards[id%handleShards]
	s.RLock()
	c := s.clients[id]
	s.RUnlock()
	return c
}

func dropHandle(id uintptr) {
	s := &handles.shards[id%handleShards]
	s.Lock()
	defer s.Unlock()
	delete(s.clients, id)
}

// OpenClients returns the number of clients whose memory in C is not freed yet, as a
// leak check for tests. A client is freed when Close was called and all calls on it
// have returned.
func OpenClients() int {
	n := 0
	for i := range handles.shards {
		s := &handles.shards[i]
		s.RLock()
		n += len(s.clients)
		s.RUnlock()
	}
	return n
}

// gate counts the calls on a client, so that Close is safe while other calls run. After
// shut no call enters, and the last call that leaves destroys the client. internal/poll's
// fdMutex works in the same way.
type gate struct{ state atomic.Uint64 }

const (
	gateClosed    = 1 << 63
	gateExclusive = 1 << 62
	gateCount     = gateExclusive - 1
)

// enter adds a call.
func (g *gate) enter() error {
	for {
		s := g.state.Load()
		if s&gateClosed != 0 {
			return ErrClosed
		}
		if s&gateExclusive != 0 {
			return ErrBusy
		}
		if g.state.CompareAndSwap(s, s+1) {
			return nil
		}
	}
}

// leave removes a call and reports whether the caller has to destroy.
func (g *gate) leave() (last bool) {
	return g.state.Add(^uint64(0))&(gateClosed|gateCount) == gateClosed
}

// shut closes the gate and adds a call for the closer; only one gets true.
func (g *gate) shut() bool {
	for {
		s := g.state.Load()
		if s&gateClosed != 0 {
			return false
		}
		if g.state.CompareAndSwap(s, (s|gateClosed)+1) {
			return true
		}
	}
}

// alone keeps other calls out until together, if no other call runs. It reports whether it
// does.
func (g *gate) alone() bool { return g.state.CompareAndSwap(1, 1|gateExclusive) }

func (g *gate) together() {
	for {
		s := g.state.Load()
		if g.state.CompareAndSwap(s, s&^gateExclusive) {
			return
		}
	}
}

func (g *gate) closed() bool { return g.state.Load()&gateClosed != 0 }
