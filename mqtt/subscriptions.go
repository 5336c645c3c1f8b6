//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// subscriptions holds the desired and the granted state of each filter; reconcile sends
// the difference. Owned by the loop.
//
// The state describes the subscriptions of the connection's broker, as the client knows
// them:
//
//	state      meaning                                            SUBSCRIBE is sent  SUBACK              UNSUBSCRIBE is sent  UNSUBACK  connection lost
//	absent     the broker does not have the filter                requested          -                   -                    -         absent
//	uncertain  it may have the filter, perhaps with old options   requested          -                   removing             -         uncertain
//	requested  SUBSCRIBE is not acknowledged yet                  -                  granted or refused  -                    -         uncertain
//	granted    it has the filter as desired                       -                  -                   removing             -         granted
//	outdated   it had the filter in a kept session: send again    renewing           -                   removing             -         outdated
//	renewing   as outdated, SUBSCRIBE is not acknowledged yet     -                  granted or refused  -                    -         outdated
//	refused    it has refused the filter on this connection       -                  -                   -                    -         absent or uncertain
//	removing   UNSUBSCRIBE is not acknowledged yet                -                  -                   -                    absent    uncertain
//	trusted    before the first connection, see below             -                  -                   -                    -         -
//
// The client sends SUBSCRIBE for desired filters that are absent, uncertain or outdated.
// It sends UNSUBSCRIBE for undesired filters that are uncertain, granted or outdated. If
// the program changes a filter before SUBACK, the filter becomes uncertain instead of
// granted. A broker that refuses a SUBSCRIBE keeps an earlier subscription for the filter:
// a refused filter becomes uncertain again if it was uncertain or outdated before.
//
// If a broker accepts a connection without the session, every filter becomes absent. If
// the session was kept, granted filters become outdated with MQTT 5, because a broker
// may restore an older session after a crash. They stay granted with MQTT 3, where a new
// SUBSCRIBE would replay retained messages.
//
// With WithTrustedSession, the filters of WithSubscription begin as trusted. The CONNACK of
// the first connection makes them granted if it reports a session, otherwise absent. With
// this option granted filters of a kept session stay granted with MQTT 5 too. The exception
// is a server that gets no subscription identifiers: its session may hold old ones.
type subscriptions struct {
	byFilter   map[string]*subscription
	order      []*subscription  // in the order of first use, in which filters are restored
	requests   map[int]*request // unacknowledged packets, by packet id
	perPacket  int              // maximum number of filters in a SUBSCRIBE packet
	attempts   int              // connections that the broker may close for a filter before it counts as refused; 0: no limit
	oneByOne   bool             // send one packet at a time, because the broker has closed a connection after SUBSCRIBE
	missing    int              // desired filters that the broker does not have
	waitsForID bool             // the next packet id is in use: nothing is sent
	removed    []*subscription  // undesired filters that the broker has lost with the session: their Unsubscribe calls must complete
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
	trusted
)

// subscription is a filter that the program desires or that the broker may have.
type subscription struct {
	filter   string
	id       uint32 // subscription identifier
	desired  bool
	qos      QoS
	options  mosquitto.SubscribeOptions
	revision int // counts the changes of the desired subscription
	state    subscriptionState
	targets  []*target
	waiters  []*waiter
	closures int  // connections that the broker closed after a SUBSCRIBE for this filter alone
	existed  bool // the broker may have had the filter before the last SUBSCRIBE, and has it if it refused the SUBSCRIBE
}

// request is an unacknowledged SUBSCRIBE or UNSUBSCRIBE packet.
type request struct {
	subscribe bool
	all       []*subscription
	revisions []int // revisions of all when the packet was sent
	sequence  int   // order of submission on the connection
}

func newSubscriptions(filtersPerPacket, attempts int) subscriptions {
	return subscriptions{
		perPacket: filtersPerPacket, attempts: attempts,
	}
}

func (s *subscriptions) get(filter string) *subscription {
	sub := s.byFilter[filter]
	if sub == nil {
		sub = &subscription{filter: filter, id: identifier(filter)}
		if s.byFilter == nil {
			s.byFilter = map[string]*subscription{}
		}
		s.byFilter[filter] = sub
		s.order = append(s.order, sub)
	}
	return sub
}

// set changes the desired and the known state of a filter, and updates missing.
func (s *subscriptions) set(sub *subscription, desired bool, state subscriptionState) {
	if sub.isMissing() {
		s.missing--
	}
	sub.desired, sub.state = desired, state
	if sub.isMissing() {
		s.missing++
	}
}

// isMissing reports whether the client still expects a SUBACK for a desired filter that
// the broker does not have. After a refusal it expects none on this connection.
func (sub *subscription) isMissing() bool {
	return sub.desired && (sub.state == absent || sub.state == uncertain || sub.state == requested)
}

// isRequested reports whether a packet for the filter is unacknowledged.
func (sub *subscription) isRequested() bool {
	return sub.state == requested || sub.state == renewing || sub.state == removing
}

// addSubscription adds a desired subscription.
func (c *Client) addSubscription(d desire) *waiter {
	s := &c.subs
	sub := s.get(d.filter)
	sub.supersede(true)
	w := sub.newWaiter(d)
	if d.target.handler != nil { // a handler replaces the handler; other targets are added
		if i := slices.IndexFunc(sub.targets, func(t *target) bool { return t.handler != nil }); i >= 0 {
			w.previous.handler = sub.targets[i]
			sub.targets = slices.Delete(slices.Clone(sub.targets), i, i+1)
		}
	} else if len(sub.targets) > 0 {
		d.qos, d.options = max(d.qos, sub.qos), sub.options
	}
	sub.qos, sub.options, sub.closures = d.qos, d.options, 0
	sub.revision++
	w.revision = sub.revision
	state := sub.state
	switch state {
	case granted, outdated, trusted:
		state = uncertain
	case refused:
		state = sub.stateAfterRefusal()
	}
	s.set(sub, true, state)
	sub.waiters = append(sub.waiters, w)
	c.setTargets(sub, append(slices.Clone(sub.targets), d.target))
	return w
}

// removeSubscription makes a filter undesired. The client sends UNSUBSCRIBE even for an
// unknown filter, because a kept session may contain it.
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

// clearDesired makes a filter undesired. Its iterators end with why. Its handlers are
// not called any more.
func (c *Client) clearDesired(sub *subscription, why error) {
	state := sub.state
	switch {
	case state != refused:
	case c.opts.keepSession, sub.closures > 0:
		state = uncertain // the broker may have an older subscription, or this subscription
	default:
		state = sub.stateAfterRefusal()
	}
	c.subs.set(sub, false, state)
	sub.revision++
	for _, t := range sub.targets {
		t.end(why)
	}
	c.setTargets(sub, nil)
	c.announceConnected()
}

// removeTarget removes a receiver of a filter. With the last receiver it removes the
// filter.
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

// removeUnused removes a filter that is not desired, that the broker does not have and
// that no call waits for.
func (s *subscriptions) removeUnused(sub *subscription) {
	if sub.desired || sub.state != absent && sub.state != refused || len(sub.waiters) > 0 || s.byFilter[sub.filter] != sub {
		return
	}
	delete(s.byFilter, sub.filter)
	s.order = slices.DeleteFunc(s.order, func(o *subscription) bool { return o == sub })
}

// trustSubscriptions makes the filters of WithSubscription trusted. newClient calls it.
func (s *subscriptions) trustSubscriptions() {
	for _, sub := range s.order {
		s.set(sub, sub.desired, trusted)
	}
}

// trustSession applies the CONNACK of the first connection to trusted filters.
func (c *Client) trustSession(present bool) {
	for _, sub := range c.subs.order {
		switch {
		case sub.state != trusted:
		case present:
			c.granted(sub, sub.revision, sub.qos)
		default:
			c.subs.set(sub, sub.desired, absent)
		}
	}
}

// renewsSubscriptions reports whether the client sends the filters of a kept session
// again. Only MQTT 5 can do so without retained messages.
func (c *Client) renewsSubscriptions(server string) bool {
	return c.protocolNow() == V5 && (!c.opts.trustSession || c.last.noIdentifiers[server])
}

// connectionAccepted updates the known states after CONNACK. With renew, the filters of
// a kept session are sent again.
func (s *subscriptions) connectionAccepted(sessionKept, present, renew bool) {
	s.removed = s.removed[:0]
	for _, sub := range s.order {
		state := sub.state
		switch {
		case state == refused && s.closesFor(sub): // stays refused until the program subscribes again
		case !sessionKept && present && state != refused:
			state = uncertain
		case !sessionKept:
			state = absent
		case state == refused:
			state = sub.stateAfterRefusal()
		case state == granted && renew:
			state = outdated
		case state == outdated && !renew:
			state = granted
		}
		s.set(sub, sub.desired, state)
		if !sessionKept {
			for _, w := range sub.waiters {
				w.previous.granted = false
			}
		}
		if !sub.desired && state == absent {
			s.removed = append(s.removed, sub)
		}
	}
}

// endRemoved completes Unsubscribe calls for filters that the broker has lost with the
// session.
func (c *Client) endRemoved() {
	for _, sub := range c.subs.removed {
		sub.completeWaiters(false, sub.revision, nil)
		c.subs.removeUnused(sub)
	}
	clear(c.subs.removed)
}

// connectionLost updates the states of the filters in unacknowledged packets.
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

// oldestRequest returns the unacknowledged SUBSCRIBE packet that was sent first, or nil.
func (s *subscriptions) oldestRequest() (oldest *request) {
	for r := range maps.Values(s.requests) {
		if r.subscribe && (oldest == nil || r.sequence < oldest.sequence) {
			oldest = r
		}
	}
	return oldest
}

// countRequestClosure counts a connection that the broker closed instead of sending
// SUBACK. The next packets have fewer filters. A filter that repeatedly closes the
// connection alone counts as refused.
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
	text := fmt.Sprintf("the broker closed the connection instead of sending SUBACK: %v", why)
	c.refused(sub, r.revisions[0], &SubscribeError{Filter: sub.filter, Code: mosquitto.RCUnspecified, Text: text})
}

// closesFor reports whether the broker repeatedly closed the connection for a filter.
func (s *subscriptions) closesFor(sub *subscription) bool {
	return s.attempts > 0 && sub.closures >= s.attempts
}

// stateAfterRefusal returns the state of a refused filter for the next SUBSCRIBE or
// UNSUBSCRIBE.
func (sub *subscription) stateAfterRefusal() subscriptionState {
	if sub.existed {
		return uncertain
	}
	return absent
}

// subscribeOptions returns the options of the next SUBSCRIBE. For a filter that the
// broker may have in a kept session, retained messages must not be sent again.
func (sub *subscription) subscribeOptions() mosquitto.SubscribeOptions {
	if sub.state == outdated && sub.options&mosquitto.SubSendRetainNever == 0 {
		return sub.options | mosquitto.SubSendRetainNew
	}
	return sub.options
}

// pendingPacket reports whether a packet must be sent for a filter, and whether it is a
// SUBSCRIBE.
func (sub *subscription) pendingPacket() (subscribe, needed bool) {
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

// next collects the filters of the next packet. With a subscription identifier, a packet
// holds one filter.
func (s *subscriptions) next(identifiers bool) (r *request) {
	if s.oneByOne && len(s.requests) > 0 {
		return nil
	}
	const maxBytes = 16 << 10
	size := 0
	for _, sub := range s.order {
		subscribe, needed := sub.pendingPacket()
		if !needed {
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

// reconcile sends the difference between the desired and the known state of all filters.
func (c *Client) reconcile() {
	if !c.isOnline() || c.subs.waitsForID {
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
	return c.usesIdentifiers(c.conn.server.name) && c.connack.Load().SubscriptionIdentifiers
}

// refuseUnsupported refuses subscriptions that the connection's broker or its protocol
// version does not support.
func (c *Client) refuseUnsupported() {
	k := c.connack.Load()
	for _, sub := range slices.Clone(c.subs.order) {
		if subscribe, needed := sub.pendingPacket(); !needed || !subscribe {
			continue
		}
		if sub.options != 0 && c.protocolNow() != V5 {
			c.refused(sub, sub.revision, &SubscribeError{Filter: sub.filter, Code: mosquitto.RCImplementationSpecific, Text: "its options need MQTT 5"})
		} else if code := k.refusesFilter(sub.filter); code != 0 {
			c.refused(sub, sub.revision, &SubscribeError{Filter: sub.filter, Code: code, Text: "the broker announced this when it accepted the connection"})
		}
	}
}

// sendRequest submits a packet to the library. It reports false if the connection is
// lost, or no packet id is free.
func (c *Client) sendRequest(r *request) bool {
	mid, err := 0, c.skipUsedIDs()
	if err == nil {
		mid, err = c.librarySubscribe(r)
	}
	if errors.Is(err, errIDInUse) {
		c.subs.waitsForID = true
		return false
	}
	if errors.Is(err, mosquitto.ErrNoConn) {
		c.conn.online = false // RunOnce is about to return the loss
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
		sub.existed = sub.state != absent
		c.subs.set(sub, sub.desired, state)
	}
	if err != nil {
		c.applyAck(r, nil, "", err)
		return true
	}
	c.inflight.lastID = mid
	c.conn.sequence++
	r.sequence = c.conn.sequence
	if c.subs.requests == nil {
		c.subs.requests = map[int]*request{}
	}
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

// onSubscribe is the library's callback for SUBACK.
func (c *Client) onSubscribe(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, props Properties) {
	c.onAck(mid, codes, props)
}

// onUnsubscribe is the library's callback for UNSUBACK.
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
	c.idReleased()
	text, _ := props.Text(mosquitto.PropReasonString)
	c.applyAck(r, codes, text, nil)
	c.reconcile()
	c.announceConnected()
}

// applyAck applies the broker's SUBACK or UNSUBACK, or the failure to send a packet.
func (c *Client) applyAck(r *request, codes []mosquitto.ReasonCode, text string, failure error) {
	for i, sub := range r.all {
		err := failure
		var code mosquitto.ReasonCode
		if i < len(codes) {
			code = codes[i]
		} else if r.subscribe {
			code = mosquitto.RCUnspecified
		}
		if err == nil && code.Failed() {
			err = &SubscribeError{Filter: sub.filter, Code: code, Text: text}
		}
		switch {
		case !r.subscribe:
			c.subs.set(sub, sub.desired, absent)
			sub.completeWaiters(false, sub.revision, err) // later Subscribe calls have superseded these waiters
		case err != nil:
			c.refused(sub, r.revisions[i], err)
		default:
			c.granted(sub, r.revisions[i], QoS(code))
		}
		c.subs.removeUnused(sub)
	}
}

// granted applies an accepted subscription.
func (c *Client) granted(sub *subscription, revision int, qos QoS) {
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

// refused applies a refused subscription. A call that waits for the SUBACK fails, and
// the filter returns to its state before the call. A refusal after a reconnect is
// reported. The filter is sent again on the next connection.
func (c *Client) refused(sub *subscription, revision int, err error) {
	if !sub.isRequested() { // the client refuses it, or the broker closed the connection
		sub.existed = sub.state != absent
	}
	failed := sub.takeWaiters(true, revision)
	stays := slices.ContainsFunc(failed, func(w *waiter) bool { return w.previous.granted })
	switch {
	case revision != sub.revision, stays: // changed since, or the broker has the previous subscription
		c.subs.set(sub, sub.desired, uncertain)
	default:
		c.subs.set(sub, sub.desired, refused)
		if len(failed) == 0 && sub.desired {
			c.reportLost(sub, err)
		}
	}
	for i, w := range failed {
		for _, later := range failed[i+1:] {
			if later.previous.handler == w.target {
				later.previous = w.previous
			}
		}
		c.revert(w, true)
		w.complete(err)
	}
	if len(failed) > 0 && sub.desired && sub.state == refused {
		c.reportLost(sub, err)
	}
	c.announceConnected()
	c.subs.removeUnused(sub)
}

// revert undoes the change of a refused or cancelled call. If the broker has refused the
// change, it still has the previous subscription.
func (c *Client) revert(w *waiter, refusedByBroker bool) {
	sub := w.subscription
	for _, later := range sub.waiters {
		if later.previous.handler == w.target { // undoing later must not bring the handler of w back
			later.previous = w.previous
		}
	}
	if !slices.Contains(sub.targets, w.target) {
		return // another call has replaced the target
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

// cancelWaiter undoes the change of a call whose context has ended.
func (c *Client) cancelWaiter(w *waiter) {
	sub := w.subscription
	sub.waiters = slices.DeleteFunc(sub.waiters, func(o *waiter) bool { return o == w })
	if w.subscribe {
		c.revert(w, false)
		c.reconcile()
	}
	c.subs.removeUnused(sub)
}

// reportLost reports a subscription that was refused after a reconnect. Its iterators
// end.
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

// endAll ends every wait with err.
func (s *subscriptions) endAll(err error) {
	for _, sub := range s.order {
		for _, w := range sub.waiters {
			w.complete(err)
		}
		sub.waiters = nil
	}
}
