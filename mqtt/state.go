//go:build cgo

package mqtt

import "sync"

// State is where a client is in its life.
type State int

// The states. A client begins as StateConnecting; StateClosed is the last.
const (
	StateConnecting   State = iota // not connected; attempts are being made
	StateConnected                 // accepted, and the subscriptions restored
	StateDisconnected              // lost, or an attempt failed; another one follows
	StateClosed                    // by Close, or by a refusal that no retry mends
)

func (s State) String() string {
	switch s {
	case StateConnecting:
		return "connecting"
	case StateConnected:
		return "connected"
	case StateDisconnected:
		return "disconnected"
	}
	return "closed"
}

// StateChange is what a state handler is told.
type StateChange struct {
	State   State
	Server  string // the one that is meant, without credentials
	Err     error  // why: StateDisconnected, and StateClosed after a failure
	Attempt int    // failed attempts since the last connection
}

// notifier calls a state handler in a goroutine of its own, in order, so that it
// may call and wait for anything.
type notifier struct {
	handler func(StateChange)

	mu      sync.Mutex
	changes []StateChange
	busy    bool // the goroutine is running
}

// mostChanges bounds what waits for a handler that does not return: the oldest
// are forgotten.
const mostChanges = 256

func (n *notifier) tell(change StateChange) {
	if n.handler == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.changes) == mostChanges {
		n.changes = n.changes[1:]
	}
	n.changes = append(n.changes, change)
	if !n.busy {
		n.busy = true
		go n.run()
	}
}

// run lives as long as there are changes to tell.
func (n *notifier) run() {
	for {
		n.mu.Lock()
		if len(n.changes) == 0 {
			n.busy, n.changes = false, nil
			n.mu.Unlock()
			return
		}
		change := n.changes[0]
		n.changes = n.changes[1:]
		n.mu.Unlock()
		n.handler(change)
	}
}
