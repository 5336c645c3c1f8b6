//go:build cgo

package mqtt

import (
	"sync"
	"sync/atomic"
)

// mailbox holds operations that other goroutines ask the loop to run. Shared: it has its
// own mutex.
type mailbox struct {
	filled atomic.Bool // operations is not empty

	mu         sync.Mutex
	operations []func()
	closed     bool
}

// put adds an operation. It reports false if the client has ended.
func (m *mailbox) put(operation func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.operations = append(m.operations, operation)
	m.filled.Store(true)
	return true
}

// take removes all operations and returns them.
func (m *mailbox) take() []func() {
	if !m.filled.Load() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.operations
	m.operations = nil
	m.filled.Store(false)
	return all
}

// close makes put fail. take still returns the operations that were put before.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

// do asks the loop to run an operation. It reports false if the client has ended.
func (c *Client) do(operation func()) bool {
	if !c.mail.put(operation) {
		return false
	}
	c.wake()
	return true
}

// wake makes the loop run a turn: between two packets while connected, otherwise at
// once. The caller must store its work before, where the turn can find it.
func (c *Client) wake() {
	if c.turnDue.Load() || c.turnDue.Swap(true) {
		return
	}
	notify(c.wakeup)
	// Post fails if the loop has just replaced this library client. Then the loop runs a turn
	// before the next connection anyway.
	_ = c.library.Load().Post(c.turnFunc)
}

// notify sends a value to a channel of capacity 1, unless the channel is full.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
