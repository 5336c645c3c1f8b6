//go:build cgo

package mqtt

import (
	"context"
	"sync"
)

// State is a state of a client.
type State int

// The states. A client starts as StateConnecting and ends as StateClosed.
const (
	StateConnecting   State = iota // not connected; as a change: an attempt failed, and another one follows
	StateConnected                 // connected: all subscriptions are restored, and the functions of WithOnConnect have returned
	StateDisconnected              // the connection was lost; the client reconnects
	StateClosed                    // ended by Close or by a permanent error
)

// String returns the name of the state, for example "connected".
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

// StateChange is the argument of a state handler.
type StateChange struct {
	State   State    // the new state
	Server  string   // the server that was connected or tried, without credentials
	Err     error    // the cause of StateConnecting and StateDisconnected, and of StateClosed after a permanent error
	Attempt int      // StateConnecting: failed attempts since the last connection
	Connack *Connack // StateConnected: the broker's CONNACK; nil otherwise
}

// status holds what a client reports about itself. Shared: it has its own mutex. Only
// the loop changes it.
type status struct {
	mu      sync.Mutex
	state   State
	server  string        // the server that is connected or tried
	lastErr error         // why the last connection or attempt ended
	err     error         // why the client ended; nil after Close
	changed chan struct{} // closed at the next change; nil if no goroutine waits
}

// set stores a state and wakes the goroutines that wait for a change.
func (s *status) set(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// watch returns the state, and a channel that is closed at the next change.
func (s *status) watch() (state State, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.state, s.changed
}

// end stores that the client ends, and why. finish announces StateClosed later.
func (s *status) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.err = StateClosed, why
}

func (s *status) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
}

func (s *status) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}

func (s *status) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *status) use(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
}

func (s *status) currentServer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// setState stores a change of state and calls the state handler.
func (c *Client) setState(change StateChange) {
	c.status.set(change.State)
	for _, f := range c.opts.stateHandlers {
		c.stateCalls.add(func() { f(c, change) })
	}
}

// State returns the current state. Any handler may call it.
func (c *Client) State() State {
	if !c.made() {
		return StateClosed
	}
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	return c.status.state
}

// AwaitConnected blocks until the state is [StateConnected]. It returns an error if ctx
// or the client ends. Inside an inline handler it returns [ErrInCallback], and inside a
// function of [WithOnConnect] if ctx derives from the function's context.
func (c *Client) AwaitConnected(ctx context.Context) error {
	if err := c.mayBlockFor(ctx, "await connected", insteadOfBlock); err != nil {
		return err
	}
	full := c.flow.beginWait()
	defer c.flow.endWait()
	var err error
	for err == nil {
		state, changed := c.status.watch()
		if state == StateConnected {
			return nil
		}
		select {
		case <-changed:
		case <-c.connectCtx.Done(): // not done, which is closed after the worker's end: the worker may be waiting here
			return c.closedErr()
		case <-full:
			err = ErrHandlerQueueFull
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return &waitError{"await connected", "", c.waitsFor(c.missingForConnected()), err}
}
