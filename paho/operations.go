package mqtt

import (
	"context"
	"errors"
	"sync"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
)

// This file sends messages and subscriptions, and receives messages.

// publication is a message to send.
type publication struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
}

// publish sends a message. Before the first connection it keeps a copy, also in the
// store.
func (s *session) publish(p publication) Token {
	if m := s.online.Load(); m != nil {
		return s.publishTo(m, p)
	}
	p.payload = append([]byte(nil), p.payload...)
	token := &PublishToken{baseToken: newBase(s.callbacks)}
	remove, err := s.storeEarly(p)
	if err != nil {
		return failedPublish(err)
	}
	s.do(operation{
		run: func(m *mqtt.Client) {
			token.follow(s.send(m, p)) // stores it again
			remove()
		},
		fail: token.setError,
	})
	return token
}

// storeEarly stores a message that waits for the first connection. If the session ends
// before that, the message stays in the store for the next session.
func (s *session) storeEarly(p publication) (remove func(), err error) {
	<-s.prepared
	if s.stored == nil || p.qos == 0 {
		return func() {}, nil
	}
	key, err := s.stored.Put(&mqtt.Publication{Topic: p.topic, Payload: p.payload, QoS: mqtt.QoS(p.qos), Retain: p.retain})
	return func() { s.stored.Delete(key) }, err
}

// publishTo sends a message. While the client reconnects, the token of a message of QoS 0
// ends at once, as programs expect. The message is sent after the reconnect.
func (s *session) publishTo(m *mqtt.Client, p publication) Token {
	offline := p.qos == 0 && m.State() != mqtt.StateConnected
	sent := s.send(m, p)
	if offline && !isClosed(sent.Done()) {
		return failedPublish(nil)
	}
	return &PublishToken{baseToken: baseToken{waits: s.callbacks}, sent: sent}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// publishOptions are the options for each QoS, without and with retain.
var publishOptions [3][2][]mqtt.PublishOption

func init() {
	for qos := range publishOptions {
		with := mqtt.WithQoS(mqtt.QoS(qos))
		publishOptions[qos] = [2][]mqtt.PublishOption{{with}, {with, mqtt.WithRetain(true)}}
	}
}

// send passes a message to package mosquitto/mqtt. While the queue is full it waits, at most for the
// write timeout.
func (s *session) send(m *mqtt.Client, p publication) *mqtt.Token {
	ctx := newLazyTimeout(s.writeTimeout)
	defer ctx.release()
	s.callbacks.beginCall()
	defer s.callbacks.endCall()
	retain := 0
	if p.retain {
		retain = 1
	}
	return m.PublishAsync(ctx, p.topic, p.payload, publishOptions[p.qos][retain]...)
}

// mayChangeSubscriptions returns an error if Subscribe and Unsubscribe fail now.
func (s *session) mayChangeSubscriptions() error {
	switch {
	case !s.isUsable():
		return ErrNotConnected
	case !s.isOnline() && !s.resumeSubs:
		return errNoResume
	}
	return nil
}

// callContext returns the context of a call to the broker. It ends with the connection,
// or with the session if pending calls survive a loss.
func (s *session) callContext() *sentContext {
	c := &sentContext{Context: s.ctx, sent: make(chan struct{})}
	if s.resumeSubs {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection == nil {
		s.connection, s.lose = context.WithCancel(s.ctx)
	}
	c.Context = s.connection
	return c
}

// endCalls ends the calls that end with the connection.
func (s *session) endCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection != nil {
		s.lose()
		s.connection = nil
	}
}

// sentContext is a context for calls of package mosquitto/mqtt that change subscriptions. Such a
// call submits its request first, and then waits until Done is closed. So the first call
// of Done shows that the request is submitted. This keeps the order of a Subscribe and a
// Publish after it, although Subscribe does not wait.
type sentContext struct {
	context.Context
	once sync.Once
	sent chan struct{}
}

// Done returns the channel of the context.
func (c *sentContext) Done() <-chan struct{} {
	c.submitted()
	return c.Context.Done()
}

func (c *sentContext) submitted() { c.once.Do(func() { close(c.sent) }) }

// filterCalls are the pending calls that change subscriptions. Package mqtt gives up a
// Subscribe call when Unsubscribe is called for its filter. Programs for paho.mqtt.golang
// do not expect that, so a call first waits for earlier calls with the same filter.
type filterCalls struct {
	mu      sync.Mutex
	pending map[string]chan struct{} // the last call of each filter; closed when it has ended
}

// begin registers a call. It returns the calls to wait for.
func (f *filterCalls) begin(filters []string, ended chan struct{}) (earlier []chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending == nil {
		f.pending = map[string]chan struct{}{}
	}
	for _, filter := range filters {
		if last, ok := f.pending[filter]; ok && last != ended {
			earlier = append(earlier, last)
		}
		f.pending[filter] = ended
	}
	return earlier
}

// end removes a call.
func (f *filterCalls) end(filters []string, ended chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, filter := range filters {
		if f.pending[filter] == ended {
			delete(f.pending, filter)
		}
	}
	close(ended)
}

// start runs call on a goroutine. It returns when call has submitted its request, or
// waits for an earlier call with the same filter.
func (s *session) start(filters []string, call func(ctx context.Context)) {
	ctx, ended := s.callContext(), make(chan struct{})
	earlier := s.filterCalls.begin(filters, ended)
	if len(earlier) > 0 {
		ctx.submitted()
	}
	go func() {
		defer ctx.submitted()
		for _, other := range earlier {
			<-other
		}
		call(ctx)
		s.filterCalls.end(filters, ended)
	}()
	<-ctx.sent
}

// subscribe subscribes to filters and ends the token with the broker's reply.
func (s *session) subscribe(token *SubscribeToken, filters []string, qos []byte, resultKey func(string) string) {
	granted := make([]mqtt.QoS, len(filters))
	all := make([]mqtt.Subscription, len(filters))
	for i, filter := range filters {
		all[i] = mqtt.Subscription{
			Filter: filter, QoS: mqtt.QoS(qos[i]), Handler: s.receive,
			Options: []mqtt.SubscribeOption{mqtt.WithGrantedQoS(&granted[i])},
		}
	}
	run := func(m *mqtt.Client) {
		s.start(filters, func(ctx context.Context) {
			err := m.SubscribeMultiple(ctx, all...)
			token.end(s.callError(err), func() { token.store(filters, granted, refusedFilters(err), resultKey) })
		})
	}
	s.do(operation{run, token.setError})
}

// store stores the results in the reply of the broker. Without a reply it stores nothing.
func (t *SubscribeToken) store(filters []string, granted []mqtt.QoS, refused map[string]byte, resultKey func(string) string) {
	if t.err != nil && len(refused) == 0 {
		return
	}
	for i, filter := range filters {
		code, bad := refused[filter]
		if !bad {
			code = byte(granted[i])
		}
		t.result[resultKey(filter)] = code
	}
}

// refusedFilters returns the filters that the broker has refused, with its codes.
func refusedFilters(err error) map[string]byte {
	all := map[string]byte{}
	var collect func(error)
	collect = func(err error) {
		if refused, ok := err.(*mqtt.SubscribeError); ok { //nolint:errorlint // the tree is walked here
			all[refused.Filter] = byte(refused.Code)
		}
		switch wrapper := err.(type) { //nolint:errorlint // see above
		case interface{ Unwrap() []error }:
			for _, inner := range wrapper.Unwrap() {
				collect(inner)
			}
		case interface{ Unwrap() error }:
			collect(wrapper.Unwrap())
		}
	}
	collect(err)
	return all
}

// unsubscribe removes subscriptions and ends the token with the broker's reply.
func (s *session) unsubscribe(token *UnsubscribeToken, filters []string) {
	run := func(m *mqtt.Client) {
		s.start(filters, func(ctx context.Context) { token.setError(s.callError(m.Unsubscribe(ctx, filters...))) })
	}
	s.do(operation{run, token.setError})
}

// callError translates the error of a call that changes subscriptions.
func (s *session) callError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mqtt.ErrClosed), s.isEnding():
		return errDisconnected
	case errors.Is(err, context.Canceled):
		return errLost
	}
	return err
}

// beginMessage is called before the handlers of each message.
func (s *session) beginMessage(ctx context.Context, _ *mqtt.Message) (context.Context, func()) {
	s.fresh = true
	return ctx, nil
}

// receive is the handler of all subscriptions, and of messages without a subscription.
// Package mqtt calls it once for each subscription that matches; the first call counts.
func (s *session) receive(ctx context.Context, m mosquitto.Message) {
	if !s.fresh {
		return
	}
	s.fresh = false
	if version := s.client.router.version.Load(); m.Topic != s.topic || version != s.version {
		s.topic, s.version, s.found = m.Topic, version, s.client.router.match(m.Topic)
	}
	received := &message{m, s.found}
	if s.callbacks != nil {
		s.callbacks.deliver(ctx, received)
		return
	}
	for _, callback := range s.found {
		go callback(s.client, received)
	}
}
