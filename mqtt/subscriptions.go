//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// subscriptions are what the program wants, and what the broker knows of it. What
// differs is sent, one packet at a time for each filter. Guarded by the client's
// mu.
type subscriptions struct {
	byFilter map[string]*subscription
	order    []*subscription // as they were first wanted: restored in this order

	sending   bool // a goroutine is at it
	calling   bool // a call into the library has not returned
	early     []answer
	byMID     map[int]*request
	restoring int // subscriptions of the last acceptance that are not back yet
}

// subscription is a filter that the program has, or the broker knows.
type subscription struct {
	wish     // as wanted last
	targets  []*target
	id       uint32
	wanted   bool     // by the program
	known    bool     // by the broker, as far as we know
	changed  bool     // wanted, and the broker has not been told
	request  *request // on its way
	restored bool     // counts in restoring
	renewed  bool     // the broker may know it: it is told again
	waiters  []*waiter
}

// request is a SUBSCRIBE or UNSUBSCRIBE packet on its way.
type request struct {
	subscribe bool
	all       []*subscription
	epoch     uint64 // of the connection
}

// answer is a SUBACK or UNSUBACK that came before the call that sent the request
// had returned.
type answer struct {
	mid   int
	codes []mosquitto.ReasonCode
}

// waiter is a call that waits for a subscription's answer.
type waiter struct {
	subscription *subscription
	subscribe    bool
	sent         bool // the request on its way is this one's
	target       *target
	replaced     *target // that had the filter before
	granted      *QoSLevel
	done         chan error
}

// want notes a subscription. mu is held.
func (s *subscriptions) want(c *Client, w wish) *waiter {
	sub := s.get(w.filter)
	sub.overtake(true)
	wait := &waiter{subscription: sub, subscribe: true, target: w.target, granted: w.granted, done: make(chan error, 1)}
	if w.target.inbox == nil { // the handler of a filter is replaced, iterators add up
		if i := slices.IndexFunc(sub.targets, func(t *target) bool { return t.inbox == nil }); i >= 0 {
			wait.replaced = sub.targets[i]
			sub.targets = slices.Delete(slices.Clone(sub.targets), i, i+1)
		}
	} else if len(sub.targets) > 0 {
		w.qos = max(w.qos, sub.qos)
	}
	sub.wish, sub.wanted, sub.changed, sub.renewed = w, true, true, false
	sub.waiters = append(sub.waiters, wait)
	sub.setTargets(c, append(slices.Clone(sub.targets), w.target))
	return wait
}

func (s *subscriptions) get(filter string) *subscription {
	sub := s.byFilter[filter]
	if sub == nil {
		sub = &subscription{wish: wish{filter: filter}, id: identifier(filter)}
		s.byFilter[filter] = sub
		s.order = append(s.order, sub)
	}
	return sub
}

func (sub *subscription) setTargets(c *Client, targets []*target) {
	sub.targets = targets
	c.router.set(sub.filter, sub.id, targets)
}

// unwant takes a subscription back. mu is held.
func (s *subscriptions) unwant(c *Client, filter string) *waiter {
	sub := s.get(filter)
	sub.known = true // or the broker is to say so
	sub.overtake(false)
	sub.drop(c, sub.overtaken())
	wait := &waiter{subscription: sub, done: make(chan error, 1)}
	sub.waiters = append(sub.waiters, wait)
	return wait
}

// overtake ends the waits of calls that want the contrary of the latest: what they
// wait for may never be sent.
func (sub *subscription) overtake(subscribe bool) {
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		if w.subscribe != subscribe {
			w.done <- sub.overtaken()
		}
		return w.subscribe != subscribe
	})
}

func (sub *subscription) overtaken() error {
	return fmt.Errorf("mqtt: %q: %w", sub.filter, ErrOvertaken)
}

// drop leaves nobody who wants the subscription. Its iterators end with why.
func (sub *subscription) drop(c *Client, why error) {
	sub.wanted, sub.changed = false, false
	for _, t := range sub.targets {
		if t.inbox != nil {
			t.inbox.fail(why)
		}
	}
	sub.setTargets(c, nil)
	c.restoredOne(sub)
}

// detach takes one receiver away, and the subscription with the last.
func (s *subscriptions) detach(c *Client, sub *subscription, t *target) {
	i := slices.Index(sub.targets, t)
	if i < 0 {
		return
	}
	sub.setTargets(c, slices.Delete(slices.Clone(sub.targets), i, i+1))
	if len(sub.targets) == 0 {
		sub.drop(c, nil)
		s.forget(sub)
	}
}

// forget removes a subscription that neither side knows.
func (s *subscriptions) forget(sub *subscription) {
	if sub.wanted || sub.known || sub.request != nil || len(sub.waiters) > 0 {
		return
	}
	delete(s.byFilter, sub.filter)
	s.order = slices.DeleteFunc(s.order, func(o *subscription) bool { return o == sub })
}

// await waits for the answers. Wishes that are not granted when ctx ends are taken
// back.
func (c *Client) await(ctx context.Context, waits []*waiter) error {
	var refused []error
	var ended error
	for _, w := range waits {
		select {
		case err := <-w.done:
			refused = append(refused, err)
		case <-ctx.Done():
			if answered, err := c.withdraw(w); answered {
				refused = append(refused, err)
			} else {
				ended = ctx.Err()
			}
		}
	}
	if refused = slices.DeleteFunc(refused, func(err error) bool { return err == nil }); len(refused) == 1 && ended == nil {
		return refused[0]
	}
	if len(refused) == 0 {
		return ended
	}
	return errors.Join(append(refused, ended)...)
}

// withdraw ends a wait whose context has ended, unless it was answered meanwhile.
func (c *Client) withdraw(w *waiter) (answered bool, err error) {
	c.mu.Lock()
	defer c.unlock()
	select {
	case err := <-w.done:
		return true, err
	default:
	}
	sub := w.subscription
	sub.waiters = slices.DeleteFunc(sub.waiters, func(o *waiter) bool { return o == w })
	if w.subscribe {
		for _, later := range sub.waiters {
			if later.replaced == w.target { // what it would bring back is not wanted any more
				later.replaced = w.replaced
			}
		}
		if w.replaced != nil && slices.Contains(sub.targets, w.target) {
			sub.setTargets(c, append(slices.Clone(sub.targets), w.replaced))
		}
		c.subs.detach(c, sub, w.target)
		c.reconcile()
	}
	c.subs.forget(sub)
	return false, nil
}

// accepted notes what a broker that has accepted us knows. With renew, what it should
// know is told again: one that was killed comes back with the session that it had
// saved last. mu is held.
func (s *subscriptions) accepted(sessionKept, renew bool) {
	s.restoring = 0
	for _, sub := range slices.Clone(s.order) {
		sub.restored = false
		if !sessionKept {
			sub.known = false
		}
		if sub.wanted {
			asked := sub.changed || sub.request != nil && sub.request.subscribe // in a call that has not returned
			sub.changed = asked && !sub.renewed || !sub.known                   // a renewal that was not answered is one again
			if sub.restored = sub.changed; sub.restored {
				s.restoring++
			}
			sub.renewed = renew && !sub.changed
			sub.changed = sub.changed || sub.renewed
		} else if !sub.known {
			sub.answer(false, nil)
			s.forget(sub)
		}
	}
}

// lost notes that requests on their way get no answer any more. mu is held.
func (s *subscriptions) lost() {
	for mid, r := range s.byMID {
		delete(s.byMID, mid)
		r.undo()
	}
	s.early = nil
}

// undo makes the subscriptions of a request that was lost subject to the next.
func (r *request) undo() {
	for _, sub := range r.all {
		sub.request = nil
		if r.subscribe {
			sub.changed = sub.wanted
			sub.known = true // perhaps
		}
		for _, w := range sub.waiters {
			w.sent = false
		}
	}
}

// asked are the options that the broker is told. A subscription that it may know
// brings no retained messages again.
func (sub *subscription) asked() mosquitto.SubscribeOptions {
	if sub.renewed && sub.options&mosquitto.SubSendRetainNever == 0 {
		return sub.options | mosquitto.SubSendRetainNew
	}
	return sub.options
}

// next collects what goes into the next packet: a subscription identifier is for
// one filter alone.
func (s *subscriptions) next(identifiers bool) *request {
	const most, mostBytes = 100, 16 << 10
	var r *request
	size := 0
	for _, sub := range s.order {
		subscribe := sub.wanted && sub.changed
		if sub.request != nil || !subscribe && (sub.wanted || !sub.known) {
			continue
		}
		if r == nil {
			r = &request{subscribe: subscribe}
		} else if r.subscribe != subscribe || subscribe && (identifiers || sub.qos != r.all[0].qos || sub.asked() != r.all[0].asked()) {
			continue
		}
		if size += len(sub.filter); size > mostBytes && len(r.all) > 0 {
			break
		}
		r.all = append(r.all, sub)
		if len(r.all) == most {
			break
		}
	}
	return r
}

// reconcile sends what the broker does not know yet. mu is held, but not
// throughout. One goroutine does at a time.
func (c *Client) reconcile() {
	s := &c.subs
	if s.sending {
		return
	}
	s.sending = true
	for c.online {
		r := s.next(c.identifiers)
		if r == nil {
			break
		}
		c.sendRequest(r)
	}
	s.sending = false
}

// sendRequest hands a request to the library.
func (c *Client) sendRequest(r *request) {
	s := &c.subs
	r.epoch = c.epoch
	filters := make([]string, len(r.all))
	for i, sub := range r.all {
		filters[i] = sub.filter
		sub.request, sub.changed = r, false
		for _, w := range sub.waiters {
			w.sent = w.subscribe == r.subscribe
		}
	}
	qos, options, props := r.all[0].qos, r.all[0].asked(), c.subscribeProperties(r.all[0])
	s.calling = true
	c.mu.Unlock()
	mid, err := c.librarySubscribe(r.subscribe, filters, qos, options, props)
	c.mu.Lock()
	s.calling = false
	c.returned.Broadcast()
	early := s.early
	s.early = nil
	switch {
	case errors.Is(err, mosquitto.ErrNoConn):
		if c.epoch == r.epoch {
			c.online = false // the loop is about to say so
		}
		r.undo()
	case err != nil:
		c.answered(r, nil, err)
	case c.epoch != r.epoch:
		r.undo()
	default:
		s.byMID[mid] = r
		if i := slices.IndexFunc(early, func(a answer) bool { return a.mid == mid }); i >= 0 {
			delete(s.byMID, mid)
			c.answered(r, early[i].codes, nil)
		}
	}
}

func (c *Client) librarySubscribe(subscribe bool, filters []string, qos QoSLevel, options mosquitto.SubscribeOptions, props Properties) (mid int, err error) {
	switch {
	case !subscribe:
		return c.m.UnsubscribeMultiple(filters, nil)
	case c.protocolNow() != V5:
		return c.m.SubscribeMultiple(filters, qos, 0, nil)
	}
	return c.m.SubscribeMultiple(filters, qos, options, props)
}

// subscribeProperties is the subscription identifier, where the broker has them.
func (c *Client) subscribeProperties(sub *subscription) Properties {
	if !c.identifiers {
		return nil
	}
	return Properties{{ID: mosquitto.PropSubscriptionIdentifier, Number: sub.id}}
}

// onSubscribe is called by the loop with the broker's answer.
func (c *Client) onSubscribe(_ *mosquitto.Client, mid int, granted []mosquitto.ReasonCode, _ Properties) {
	c.requestAnswered(mid, granted)
}

// onUnsubscribe is called by the loop with the broker's answer.
func (c *Client) onUnsubscribe(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, _ Properties) {
	c.requestAnswered(mid, codes)
}

func (c *Client) requestAnswered(mid int, codes []mosquitto.ReasonCode) {
	c.mu.Lock()
	s := &c.subs
	if r := s.byMID[mid]; r != nil {
		delete(s.byMID, mid)
		c.answered(r, codes, nil)
		c.reconcile()
	} else if s.calling {
		s.early = append(s.early, answer{mid, codes})
	}
	c.unlock()
}

// answered notes the broker's answer to a request, or why it could not be sent.
// mu is held.
func (c *Client) answered(r *request, codes []mosquitto.ReasonCode, failure error) {
	for i, sub := range r.all {
		sub.request = nil
		err := failure
		var code mosquitto.ReasonCode
		if i < len(codes) {
			code = codes[i]
		}
		if err == nil && code.Err() != nil {
			err = &SubscribeError{sub.filter, code}
		}
		if r.subscribe {
			c.subscribed(sub, QoSLevel(code), err)
		} else {
			sub.known = false
			sub.answer(false, err)
		}
		c.subs.forget(sub)
	}
}

// subscribed notes the answer for one subscription. A refusal that somebody waits
// for ends it; one at a reconnect leaves it wanted, for the next connection.
func (c *Client) subscribed(sub *subscription, granted QoSLevel, err error) {
	sub.known = err == nil
	for _, w := range sub.waiters {
		if w.sent && w.granted != nil && err == nil {
			*w.granted = granted
		}
	}
	if err == nil && granted < sub.qos {
		filter, wanted := sub.filter, sub.qos
		c.untold = append(c.untold, func() { c.log.downgraded(filter, wanted, granted) })
	}
	waited := sub.answer(true, err)
	switch {
	case err == nil, sub.changed: // or wanted anew meanwhile
	case waited:
		sub.drop(c, err)
	default:
		c.untold = append(c.untold, func() { c.tellLost(sub, err) })
	}
	c.restoredOne(sub)
}

// answer ends the waits that the request was sent for. It says whether there was
// one.
func (sub *subscription) answer(subscribe bool, err error) (waited bool) {
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		ends := w.subscribe == subscribe && (w.sent || !subscribe)
		if ends {
			w.done <- err
			waited = true
		}
		return ends
	})
	return waited
}

// restoredOne counts a subscription that is back, refused, or not wanted any more.
func (c *Client) restoredOne(sub *subscription) {
	if sub.restored {
		sub.restored = false
		c.subs.restoring--
		c.settle()
	}
}

// tellLost tells of a subscription that was refused after a reconnect. Not under mu.
func (c *Client) tellLost(sub *subscription, err error) {
	c.log.lostSubscription(sub.filter, err)
	var refusal *SubscribeError
	if errors.As(err, &refusal) {
		c.callHooks(func(h *Hooks) {
			if h.SubscriptionLost != nil {
				h.SubscriptionLost(refusal)
			}
		})
	}
	c.failIterators(sub, err)
}

// endAll ends every wait. mu is held.
func (s *subscriptions) endAll(err error) {
	for _, sub := range s.order {
		for _, w := range sub.waiters {
			w.done <- err
		}
		sub.waiters = nil
	}
}
