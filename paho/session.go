package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// session is the state from Connect to the disconnect: a client of package mosquitto/mqtt, and
// the operations that wait for its first connection.
type session struct {
	client *client
	token  *ConnectToken

	// Copies of the options, which OnReconnecting may change.
	autoReconnect, connectRetry, resumeSubs, cleanSession bool
	writeTimeout                                          time.Duration

	ctx       context.Context // ends with the session
	cancel    context.CancelFunc
	callbacks *dispatcher                 // nil without order
	online    atomic.Pointer[mqtt.Client] // nil before the first connection
	prepared  chan struct{}               // closed when the options are translated
	stored    *outbox                     // nil with a clean session; set before prepared is closed
	ready     chan struct{}               // closed when the first connection is established or has failed
	done      chan struct{}               // closed when everything is released

	mu         sync.Mutex
	phase      phase
	waiting    []operation     // operations that wait for the first connection
	connection context.Context // of calls that end with the connection; nil without calls
	lose       context.CancelFunc

	// Owned by the loop of package mosquitto/mqtt.
	fresh   bool // the message was not delivered yet
	topic   string
	version uint64
	found   []MessageHandler // the callbacks of topic

	filterCalls filterCalls
	attempts    atomic.Int64 // attempts to reconnect since the last connection
}

// phase is the progress of a session.
type phase int

const (
	connecting phase = iota
	established
	ending
)

// operation waits for the first connection.
type operation struct {
	run  func(*mqtt.Client)
	fail func(error)
}

func newSession(c *client, token *ConnectToken) *session {
	o := &c.options
	s := &session{
		client: c, token: token, prepared: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{}),
		autoReconnect: o.AutoReconnect, connectRetry: o.ConnectRetry, resumeSubs: o.ResumeSubs,
		cleanSession: o.CleanSession, writeTimeout: o.WriteTimeout,
	}
	if s.writeTimeout <= 0 {
		s.writeTimeout = 30 * time.Second
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if o.Order {
		s.callbacks = newDispatcher(time.Duration(o.KeepAlive)*time.Second, c.call)
	}
	return s
}

// isUsable reports whether the client is connected or connects by itself.
func (s *session) isUsable() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case connecting:
		return s.connectRetry
	case established:
		return s.autoReconnect || s.online.Load().State() == mqtt.StateConnected
	}
	return false
}

// isOnline reports whether the client is connected now.
func (s *session) isOnline() bool {
	if s == nil || s.isEnding() {
		return false
	}
	m := s.online.Load()
	return m != nil && m.State() == mqtt.StateConnected
}

func (s *session) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == ending
}

// secondConnect returns the error of a Connect call on a client that is not disconnected.
func (s *session) secondConnect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase == connecting:
		return errConnecting
	case s.autoReconnect:
		return nil
	}
	return errConnected
}

// dispatcher returns the dispatcher of ordered callbacks, or nil.
func (s *session) dispatcher() *dispatcher {
	if s == nil {
		return nil
	}
	return s.callbacks
}

// do runs an operation, or keeps it until the first connection is established.
func (s *session) do(o operation) {
	m, err := s.keep(o)
	switch {
	case err != nil:
		o.fail(err)
	case m != nil:
		o.run(m)
	}
}

// keep keeps an operation, unless the first connection is established.
func (s *session) keep(o operation) (*mqtt.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.online.Load()
	switch {
	case m != nil:
	case s.phase == ending:
		return nil, ErrNotConnected
	case len(s.waiting) == maxPending:
		return nil, errTooMany
	default:
		s.waiting = append(s.waiting, o)
	}
	return m, nil
}

// establish runs the operations that wait for the first connection, and then stores its
// client. It reports false if Disconnect was called.
func (s *session) establish(m *mqtt.Client) bool {
	for {
		waiting, ok := s.takeWaiting(m)
		if len(waiting) == 0 {
			return ok
		}
		for _, o := range waiting {
			o.run(m)
		}
	}
}

// takeWaiting removes the operations that wait. If there are none, the first connection
// is established.
func (s *session) takeWaiting(m *mqtt.Client) (waiting []operation, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ending {
		return nil, false
	}
	waiting, s.waiting = s.waiting, nil
	if len(waiting) == 0 {
		s.phase = established
		s.online.Store(m)
	}
	return waiting, true
}

// beginEnd begins the end of the session. Only the first call reports true.
func (s *session) beginEnd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.phase != ending
	s.phase = ending
	return first
}

// end releases everything.
func (s *session) end() {
	s.beginEnd()
	s.cancel()
	s.callbacks.end()
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, o := range waiting {
		o.fail(errDisconnected)
	}
	s.client.options.Store.Close()
	s.client.forget(s)
	close(s.done)
}

// endGrace is how long Disconnect waits for the end beyond its limit.
const endGrace = 2 * time.Second

// disconnect ends the session and waits for its end.
func (s *session) disconnect(quiesce time.Duration) {
	if s.beginEnd() {
		go s.close(quiesce)
	}
	s.callbacks.detach() // a callback may have called Disconnect
	select {
	case <-s.done:
	case <-time.After(quiesce + endGrace):
	}
}

// close ends a session after beginEnd. If the first connection is not established,
// connect ends the session.
func (s *session) close(quiesce time.Duration) {
	m := s.online.Load()
	if m == nil {
		s.cancel()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quiesce)
	defer cancel()
	_ = m.Close(ctx) // tokens return the errors
	s.end()
}
