//go:build cgo

package mqtt

import (
	"sync"
	"sync/atomic"
)

// mailbox holds the operations that other goroutines ask the loop to run. Shared: it
// has its own mutex.
type mailbox struct {
	filled atomic.Bool // there are operations

	mu         sync.Mutex
	operations []func()
	closed     bool
}

// put adds an operation. It reports false when the loop has ended.
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

// take removes all operations.
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

// close makes put fail. Operations that were put before are left for take.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

// do asks the loop to run an operation. It reports false when the loop has ended.
func (c *Client) do(operation func()) bool {
	if !c.mail.put(operation) {
		return false
	}
	c.wake()
	return true
}

// wake makes the loop take a turn: in Run between two packets, otherwise at once.
// What the turn is for must be in its place before.
func (c *Client) wake() {
	if c.turnDue.Load() || c.turnDue.Swap(true) {
		return
	}
	notify(c.wakeup)
	_ = c.library.Load().Post(c.turnFunc) // fails for a library client that was replaced: the next turn is due anyway
}

// notify leaves one wake-up in a channel of capacity one.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
