//go:build cgo

package mqtt

import (
	"context"
	"sync"
)

// State is where a client is in its life.
type State int

// The states. A client begins as StateConnecting; StateClosed is the last.
const (
	StateConnecting   State = iota // not connected; attempts are being made
	StateConnected                 // accepted, and the subscriptions restored
	StateDisconnected              // lost, or an attempt failed; another one follows
	StateClosed                    // by Close, or by a permanent error
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

// StateChange is what a state handler receives.
type StateChange struct {
	State   State
	Server  string // the server that is meant, without credentials
	Err     error  // why: StateDisconnected, and StateClosed after a failure
	Attempt int    // failed attempts since the last connection
}

// status is what a client reports about itself. Shared: it has its own mutex. Only
// the loop changes it.
type status struct {
	mu      sync.Mutex
	state   State
	server  string // connected to, or tried
	lastErr error  // why the last connection, or attempt, ended
	err     error  // why the client ended; nil after Close
	changed chan struct{}
}

// set notes a change of state and wakes those who wait for one.
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

// end notes that the client ends, and why. The change is announced later.
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

// setState notes a change of state and reports it to the state handler.
func (c *Client) setState(change StateChange) {
	c.status.set(change.State)
	if f := c.opts.state; f != nil {
		c.stateCalls.add(func() { f(change) })
	}
}

// State returns where the client is in its life.
func (c *Client) State() State {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	return c.status.state
}

// AwaitConnected blocks until the client is connected. It returns an error when ctx or
// the client ends. Inside an inline handler it returns [ErrInCallback].
func (c *Client) AwaitConnected(ctx context.Context) error {
	if c.inInlineHandler() {
		return ErrInCallback
	}
	full := c.flow.enter()
	defer c.flow.leave()
	for {
		state, changed := c.status.watch()
		if state == StateConnected {
			return nil
		}
		select {
		case <-changed:
		case <-c.connectCtx.Done(): // done follows the worker, which may be waiting here
			return c.closedErr()
		case <-full:
			return ErrHandlerQueueFull
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
