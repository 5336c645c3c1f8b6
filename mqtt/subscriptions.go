//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// subscriptions holds the desired and the known state of each filter; reconcile sends
// the difference. Owned by the loop.
//
// The state is what the connection's broker has, as far as the client knows:
//
//	state      meaning                                    SUBSCRIBE is sent  SUBACK                  UNSUBSCRIBE is sent  UNSUBACK  connection lost
//	absent     the broker does not have the filter        requested          -                       -                    -         absent
//	uncertain  it may have it, or with other options      requested          -                       removing             -         uncertain
//	requested  SUBSCRIBE is not answered yet              -                  granted, or refused     -                    -         uncertain
//	granted    it has it as desired                       -                  -                       removing             -         granted
//	outdated   it had it in a kept session: send again    renewing           -                       removing             -         outdated
//	renewing   the same, SUBSCRIBE is not answered yet    -                  granted, or refused     -                    -         outdated
//	refused    it has refused it on this connection       -                  -                       -                    -         absent
//	removing   UNSUBSCRIBE is not answered yet            -                  -                       -                    absent    uncertain
//
// SUBSCRIBE is sent for absent, uncertain and outdated filters that are desired,
// UNSUBSCRIBE for uncertain, granted and outdated ones that are not. If the program
// has changed its mind before a SUBACK, the filter becomes uncertain instead of granted.
// A broker that accepts a connection without the session makes every filter absent; with
// it, granted filters become outdated with MQTT 5 (a broker that was killed may come back
// with an older session) and stay granted with MQTT 3, where SUBSCRIBE would bring
// retained messages again.
type subscriptions struct {
	byFilter  map[string]*subscription
	order     []*subscription  // by first use: restored in this order
	requests  map[int]*request // sent and not answered, by packet id
	perPacket int              // filters in a SUBSCRIBE packet
	attempts  int              // connections that the broker may close in answer to a filter; 0: any number
	oneByOne  bool             // the broker has closed a connection in answer: one packet at a time
	missing   int              // desired filters that the broker does not have
	removed   []*subscription  // that Unsubscribe waits for, and the broker has lost with the session
}

type subscriptionState uint8

const (
	absent subscriptionState = iota
	uncertain
	requested
	granted
	outdated
	renewing
	refused
	removing
)

// subscription is a filter that the program desires, or the broker may have.
type subscription struct {
	filter   string
	id       uint32 // subscription identifier
	desired  bool
	qos      QoSLevel
	options  mosquitto.SubscribeOptions
	revision int // counts the changes of what is desired
	state    subscriptionState
	targets  []*target
	waiters  []*waiter
	closures int // connections that the broker closed in answer to this filter alone
}

// request is a SUBSCRIBE or UNSUBSCRIBE packet that is not answered.
type request struct {
	subscribe bool
	all       []*subscription
	revisions []int // of all, when it was sent
	sequence  int   // by submission on the connection
}

func newSubscriptions(s *settings) subscriptions {
	return subscriptions{
		byFilter: map[string]*subscription{}, requests: map[int]*request{},
		perPacket: s.filtersPerPacket, attempts: s.deliveryAttempts,
	}
}

func (s *subscriptions) get(filter string) *subscription {
	sub := s.byFilter[filter]
	if sub == nil {
		sub = &subscription{filter: filter, id: identifier(filter)}
		s.byFilter[filter] = sub
		s.order = append(s.order, sub)
	}
	return sub
}

// set changes what is known and what is desired, and keeps the count of missing
// filters.
func (s *subscriptions) set(sub *subscription, desired bool, state subscriptionState) {
	if sub.isMissing() {
		s.missing--
	}
	sub.desired, sub.state = desired, state
	if sub.isMissing() {
		s.missing++
	}
}

// isMissing reports whether the broker does not have a desired filter. A refusal is
// final for a connection.
func (sub *subscription) isMissing() bool {
	return sub.desired && (sub.state == absent || sub.state == uncertain || sub.state == requested)
}

// isRequested reports whether a packet for the filter is not answered.
func (sub *subscription) isRequested() bool {
	return sub.state == requested || sub.state == renewing || sub.state == removing
}

// want notes a subscription that the program asks for.
func (c *Client) addSubscription(d desire) *waiter {
	s := &c.subs
	sub := s.get(d.filter)
	sub.supersede(true)
	w := sub.newWaiter(d)
	if d.target.inbox == nil { // the handler of a filter is replaced, iterators add up
		if i := slices.IndexFunc(sub.targets, func(t *target) bool { return t.inbox == nil }); i >= 0 {
			w.previous.handler = sub.targets[i]
			sub.targets = slices.Delete(slices.Clone(sub.targets), i, i+1)
		}
	} else if len(sub.targets) > 0 {
		d.qos = max(d.qos, sub.qos)
	}
	sub.qos, sub.options, sub.closures = d.qos, d.options, 0
	sub.revision++
	w.revision = sub.revision
	state := sub.state
	switch state {
	case granted, outdated:
		state = uncertain
	case refused:
		state = absent
	}
	s.set(sub, true, state)
	sub.waiters = append(sub.waiters, w)
	c.setTargets(sub, append(slices.Clone(sub.targets), d.target))
	return w
}

// unwant notes that the program does not want a filter any more. The broker is asked
// to remove it even if the client does not know it: a kept session may.
func (c *Client) removeSubscription(filter string) *waiter {
	s := &c.subs
	sub := s.get(filter)
	sub.supersede(false)
	if !sub.isRequested() {
		s.set(sub, sub.desired, uncertain)
	}
	c.clearDesired(sub, sub.supersededErr())
	w := sub.newWaiter(desire{})
	w.revision = sub.revision
	sub.waiters = append(sub.waiters, w)
	return w
}

func (c *Client) setTargets(sub *subscription, targets []*target) {
	sub.targets = targets
	c.router.set(sub.filter, sub.id, targets)
}

// drop makes a filter undesired. Its iterators end with why, its handlers are not
// called any more.
func (c *Client) clearDesired(sub *subscription, why error) {
	c.subs.set(sub, false, sub.state)
	sub.revision++
	for _, t := range sub.targets {
		t.end(why)
	}
	c.setTargets(sub, nil)
	c.announceConnected()
}

// detach removes one receiver of a filter, and with the last one the filter.
func (c *Client) removeTarget(sub *subscription, t *target) {
	i := slices.Index(sub.targets, t)
	if i < 0 {
		return
	}
	t.end(nil)
	c.setTargets(sub, slices.Delete(slices.Clone(sub.targets), i, i+1))
	if len(sub.targets) == 0 {
		c.clearDesired(sub, nil)
		c.subs.removeUnused(sub)
	}
}

// forget removes a filter that neither side has.
func (s *subscriptions) removeUnused(sub *subscription) {
	if sub.desired || sub.state != absent && sub.state != refused || len(sub.waiters) > 0 || s.byFilter[sub.filter] != sub {
		return
	}
	delete(s.byFilter, sub.filter)
	s.order = slices.DeleteFunc(s.order, func(o *subscription) bool { return o == sub })
}

// accepted notes what a broker has that has accepted a connection. With renew, filters
// of a kept session are sent again.
func (s *subscriptions) connectionAccepted(sessionKept, renew bool) {
	s.removed = s.removed[:0]
	for _, sub := range s.order {
		state := sub.state
		switch {
		case state == refused && s.closesFor(sub): // until the program subscribes again
		case !sessionKept || state == refused:
			state = absent
		case state == granted && renew:
			state = outdated
		case state == outdated && !renew:
			state = granted
		}
		s.set(sub, sub.desired, state)
		if !sub.desired && state == absent {
			s.removed = append(s.removed, sub)
		}
	}
}

// endRemoved ends the calls of Unsubscribe for filters that are gone with the session.
func (c *Client) endRemoved() {
	for _, sub := range c.subs.removed {
		sub.completeWaiters(false, sub.revision, nil)
		c.subs.removeUnused(sub)
	}
	clear(c.subs.removed)
}

// lost notes that packets on their way are not answered any more.
func (s *subscriptions) connectionLost() {
	for _, r := range s.requests {
		for _, sub := range r.all {
			if sub.state == renewing {
				s.set(sub, sub.desired, outdated)
			} else {
				s.set(sub, sub.desired, uncertain)
			}
		}
	}
	clear(s.requests)
}

// oldestRequest is the SUBSCRIBE packet that was sent first, nil if none is
// unanswered.
func (s *subscriptions) oldestRequest() (oldest *request) {
	for r := range maps.Values(s.requests) {
		if r.subscribe && (oldest == nil || r.sequence < oldest.sequence) {
			oldest = r
		}
	}
	return oldest
}

// countRequestClosure draws the conclusion from a connection that the broker has closed
// instead of answering a SUBSCRIBE packet: packets become smaller, and a filter that it
// closes for again and again is refused.
func (c *Client) countRequestClosure(r *request, why error) {
	s := &c.subs
	s.oneByOne = true
	if len(r.all) > 1 {
		s.perPacket = len(r.all) / 2
		return
	}
	sub := r.all[0]
	sub.closures++
	if !s.closesFor(sub) {
		return
	}
	text := fmt.Sprintf("the broker has closed the connection in answer: %v", why)
	c.refused(sub, r.revisions[0], &SubscribeError{Filter: sub.filter, Code: mosquitto.RCUnspecified, Text: text})
}

// closesFor reports whether the broker closes every connection in answer to a filter.
func (s *subscriptions) closesFor(sub *subscription) bool {
	return s.attempts > 0 && sub.closures >= s.attempts
}

// subscribeOptions are the options of the next SUBSCRIBE. A filter that the broker may have
// in a kept session brings no retained messages again.
func (sub *subscription) subscribeOptions() mosquitto.SubscribeOptions {
	if sub.state == outdated && sub.options&mosquitto.SubSendRetainNever == 0 {
		return sub.options | mosquitto.SubSendRetainNew
	}
	return sub.options
}

// pendingPacket reports whether a packet is to be sent for a filter, and which.
func (sub *subscription) pendingPacket() (subscribe, any bool) {
	switch sub.state {
	case absent:
		return true, sub.desired
	case uncertain, outdated:
		return sub.desired, true
	case granted:
		return false, !sub.desired
	}
	return false, false
}

// next collects what goes into the next packet. A subscription identifier is for one
// filter alone.
func (s *subscriptions) next(identifiers bool) (r *request) {
	if s.oneByOne && len(s.requests) > 0 {
		return nil
	}
	const maxBytes = 16 << 10
	size := 0
	for _, sub := range s.order {
		subscribe, any := sub.pendingPacket()
		if !any {
			continue
		}
		if r == nil {
			r = &request{subscribe: subscribe}
		} else if r.subscribe != subscribe || subscribe && (identifiers || sub.qos != r.all[0].qos || sub.subscribeOptions() != r.all[0].subscribeOptions()) {
			continue
		}
		if size += len(sub.filter); size > maxBytes && len(r.all) > 0 {
			break
		}
		r.all = append(r.all, sub)
		if len(r.all) >= s.perPacket {
			break
		}
	}
	return r
}

// reconcile sends what the broker does not have yet.
func (c *Client) reconcile() {
	if !c.isOnline() {
		return
	}
	c.refuseUnsupported()
	for c.isOnline() {
		r := c.subs.next(c.sendsIdentifiers())
		if r == nil || !c.sendRequest(r) {
			return
		}
	}
}

// sendsIdentifiers reports whether SUBSCRIBE packets have subscription identifiers.
func (c *Client) sendsIdentifiers() bool {
	return c.usesIdentifiers(c.conn.server.name) && c.brokerLimits.Load().identifiers
}

// refuseUnsupported ends the wait for subscriptions that the connection's broker has
// said it cannot make.
func (c *Client) refuseUnsupported() {
	l := c.brokerLimits.Load()
	for _, sub := range slices.Clone(c.subs.order) {
		if subscribe, any := sub.pendingPacket(); !any || !subscribe {
			continue
		}
		if sub.options != 0 && c.protocolNow() != V5 {
			c.refused(sub, sub.revision, &SubscribeError{Filter: sub.filter, Code: mosquitto.RCImplementationSpecific, Text: "its options need MQTT 5"})
		} else if code := l.refusesFilter(sub.filter); code != 0 {
			c.refused(sub, sub.revision, &SubscribeError{Filter: sub.filter, Code: code, Text: "the broker has said so when it accepted the connection"})
		}
	}
}

// sendRequest gives a packet to the library. It reports false when the connection is
// lost.
func (c *Client) sendRequest(r *request) bool {
	mid, err := 0, c.skipUsedIDs()
	if err == nil {
		mid, err = c.librarySubscribe(r)
	}
	if errors.Is(err, mosquitto.ErrNoConn) {
		c.conn.online = false // the library's loop is about to say so
		return false
	}
	for _, sub := range r.all {
		r.revisions = append(r.revisions, sub.revision)
		state := removing
		if r.subscribe && sub.state == outdated {
			state = renewing
		} else if r.subscribe {
			state = requested
		}
		c.subs.set(sub, sub.desired, state)
	}
	if err != nil {
		c.applyAck(r, nil, "", err)
		return true
	}
	c.inflight.lastID = mid
	c.conn.sequence++
	r.sequence = c.conn.sequence
	c.subs.requests[mid] = r
	return true
}

func (c *Client) librarySubscribe(r *request) (mid int, err error) {
	m := c.library.Load()
	first := r.all[0]
	filters := make([]string, len(r.all))
	for i, sub := range r.all {
		filters[i] = sub.filter
	}
	switch {
	case !r.subscribe:
		return m.UnsubscribeMultiple(filters, nil)
	case c.protocolNow() != V5:
		return m.SubscribeMultiple(filters, first.qos, 0, nil)
	}
	var props Properties
	if c.sendsIdentifiers() {
		props = Properties{{ID: mosquitto.PropSubscriptionIdentifier, Number: first.id}}
	}
	return m.SubscribeMultiple(filters, first.qos, first.subscribeOptions(), props)
}

// onSubscribe is called by the library with a SUBACK.
func (c *Client) onSubscribe(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, props Properties) {
	c.onAck(mid, codes, props)
}

// onUnsubscribe is called by the library with an UNSUBACK.
func (c *Client) onUnsubscribe(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, props Properties) {
	c.onAck(mid, codes, props)
}

func (c *Client) onAck(mid int, codes []mosquitto.ReasonCode, props Properties) {
	c.conn.useful = true
	r := c.subs.requests[mid]
	if r == nil {
		return
	}
	delete(c.subs.requests, mid)
	text, _ := props.Text(mosquitto.PropReasonString)
	c.applyAck(r, codes, text, nil)
	c.reconcile()
	c.announceConnected()
}

// answered notes the broker's answer to a packet, or why it could not be sent.
func (c *Client) applyAck(r *request, codes []mosquitto.ReasonCode, text string, failure error) {
	for i, sub := range r.all {
		err := failure
		var code mosquitto.ReasonCode
		if i < len(codes) {
			code = codes[i]
		}
		if err == nil && code.Failed() {
			err = &SubscribeError{Filter: sub.filter, Code: code, Text: text}
		}
		switch {
		case !r.subscribe:
			c.subs.set(sub, sub.desired, absent)
			sub.completeWaiters(false, sub.revision, err) // those who want it back were superseded
		case err != nil:
			c.refused(sub, r.revisions[i], err)
		default:
			c.granted(sub, r.revisions[i], QoSLevel(code))
		}
		c.subs.removeUnused(sub)
	}
}

// granted notes a subscription that the broker has made.
func (c *Client) granted(sub *subscription, revision int, qos QoSLevel) {
	state := granted
	if revision != sub.revision {
		state = uncertain
	}
	c.subs.set(sub, sub.desired, state)
	sub.closures = 0
	if qos < sub.qos && sub.desired {
		c.log.downgraded(sub.filter, sub.qos, qos)
	}
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		return w.subscribe && w.revision <= revision && w.grant(qos)
	})
}

// refused notes a subscription that the broker has refused. If a call waits for it, the
// call fails and the filter is what it was before the call. A refusal at a reconnect is
// reported, and the filter is sent again at the next connection.
func (c *Client) refused(sub *subscription, revision int, err error) {
	failed := sub.takeWaiters(true, revision)
	c.subs.set(sub, sub.desired, refused)
	if revision != sub.revision {
		c.subs.set(sub, sub.desired, uncertain) // the program has changed its mind
	} else if len(failed) == 0 && sub.desired {
		c.reportLost(sub, err)
	}
	for _, w := range slices.Backward(failed) {
		c.revert(w, true)
		w.complete(err)
	}
	c.announceConnected()
	c.subs.removeUnused(sub)
}

// revert undoes what a call has changed that was refused or cancelled. If the broker has
// refused it, the subscription of before stays there.
func (c *Client) revert(w *waiter, refusedByBroker bool) {
	sub := w.subscription
	for _, later := range sub.waiters {
		if later.previous.handler == w.target { // what it would bring back is not wanted any more
			later.previous = w.previous
		}
	}
	if !slices.Contains(sub.targets, w.target) {
		return // replaced meanwhile
	}
	if h := w.previous.handler; h != nil {
		c.setTargets(sub, append(slices.Clone(sub.targets), h))
	}
	latest := w.revision == sub.revision
	c.removeTarget(sub, w.target)
	if !sub.desired || !latest {
		return
	}
	sub.qos, sub.options = w.previous.qos, w.previous.options
	sub.revision++
	switch {
	case refusedByBroker && w.previous.granted:
		c.subs.set(sub, true, granted)
	case sub.state == granted:
		c.subs.set(sub, true, uncertain)
	}
}

// withdraw undoes what a call has changed whose context has ended.
func (c *Client) cancelWaiter(w *waiter) {
	sub := w.subscription
	sub.waiters = slices.DeleteFunc(sub.waiters, func(o *waiter) bool { return o == w })
	if w.subscribe {
		c.revert(w, false)
		c.reconcile()
	}
	c.subs.removeUnused(sub)
}

// reportLost reports a subscription that was refused at a reconnect. Its iterators end.
func (c *Client) reportLost(sub *subscription, err error) {
	c.log.lostSubscription(sub.filter, err)
	var refusal *SubscribeError
	if errors.As(err, &refusal) {
		c.callHooks(func(h *Hooks) {
			if h.SubscriptionLost != nil {
				c.runHook(func() { h.SubscriptionLost(refusal) })
			}
		})
	}
	for _, t := range sub.targets {
		if t.inbox != nil {
			t.inbox.fail(err)
		}
	}
}

// endAll ends every wait.
func (s *subscriptions) endAll(err error) {
	for _, sub := range s.order {
		for _, w := range sub.waiters {
			w.complete(err)
		}
		sub.waiters = nil
	}
}
