//go:build cgo

package mqtt

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// The library gets a few QoS 0 messages at a time, so that those which wait can
// still be dropped.
const (
	mostQoS0      = 1000
	mostQoS0Bytes = 1 << 20
)

// fewInflight is up to how many in flight the library gets no more than these.
const fewInflight = 20

// outgoing are the messages that were accepted and have not ended. Those that
// wait are in our queue; those that were handed over are in the library's, which
// sends, repeats and forgets them. Guarded by the client's mu.
type outgoing struct {
	room        room
	inflight    int    // how many of QoS 1 and 2 the library sends at a time
	inflight2   int    // how many of these of QoS 2
	first, last *Token // waiting

	pumping bool           // a goroutine hands the waiting over
	handing int            // calls into the library that have not returned
	early   []ack          // answers that came before such a call returned
	byMID   map[int]*Token // handed over; ids may be used again too early: a list

	accepted  uint64 // messages so far
	resending bool   // the library is to send first what an earlier connection has left

	reliable  int // handed over, of QoS 1 and 2
	qos2      int // of these, of QoS 2
	qos0      int // handed over, of QoS 0
	qos0Bytes int
}

// ack is an answer of the broker's.
type ack struct {
	mid   int
	code  mosquitto.ReasonCode
	props Properties
}

// accept numbers a message.
func (o *outgoing) accept(t *Token) {
	o.accepted++
	t.number = o.accepted
}

// add puts a message behind those that wait.
func (o *outgoing) add(t *Token) {
	t.phase, t.next = waiting, nil
	if o.last == nil {
		o.first = t
	} else {
		o.last.next = t
	}
	o.last = t
}

// addFirst puts a message back that the library did not take.
func (o *outgoing) addFirst(t *Token) {
	t.phase, t.next = waiting, o.first
	o.first = t
	if o.last == nil {
		o.last = t
	}
}

// remove takes a message out of those that wait.
func (o *outgoing) remove(t *Token) {
	var before *Token
	for at := o.first; at != t; at = at.next {
		before = at
	}
	if before == nil {
		o.first = t.next
	} else {
		before.next = t.next
	}
	if o.last == t {
		o.last = before
	}
	t.next = nil
}

// takes tells whether the library is to get a message now.
func (o *outgoing) takes(t *Token) bool {
	if o.resending {
		return false
	}
	if t.pub.QoS > 0 {
		return o.reliable < o.inflight+o.ahead() && (t.pub.QoS == 1 || o.qos2 < o.inflight2)
	}
	return o.qos0 == 0 || o.qos0 < mostQoS0 && o.qos0Bytes+t.size <= mostQoS0Bytes
}

// ahead is how many more than are in flight the library gets, to have them at hand.
func (o *outgoing) ahead() int {
	if o.inflight > fewInflight {
		return o.inflight
	}
	return 0
}

// count notes that a message was handed over (1), or is so no longer (-1).
func (o *outgoing) count(t *Token, n int) {
	if t.pub.QoS > 0 {
		o.reliable += n
		if t.pub.QoS == 2 {
			o.qos2 += n
		}
		return
	}
	o.qos0 += n
	o.qos0Bytes += n * t.size
}

// bind notes the id of a message that was handed over.
func (o *outgoing) bind(t *Token, mid int) {
	t.phase, t.mid, t.next = handed, mid, nil
	if !t.mayGoAgain() {
		t.pub.Payload = nil // the library has its own
	}
	at := o.byMID[mid]
	if at == nil {
		o.byMID[mid] = t
		return
	}
	for at.next != nil {
		at = at.next
	}
	at.next = t
}

// answered removes the message that an answer is for. If an id is in use twice
// nothing says which is meant: a QoS 0 message has no acknowledgement to be
// mistaken about, and among the others the library takes the oldest, which may
// get no other answer.
func (o *outgoing) answered(mid int) *Token {
	found := o.byMID[mid]
	for t := found; t != nil; t = t.next {
		if t.pub.QoS == 0 {
			found.doubtful = found != t
			found = t
			break
		}
	}
	if found != nil {
		o.unbind(found)
	}
	return found
}

// unbind removes a message that was handed over.
func (o *outgoing) unbind(t *Token) {
	o.count(t, -1)
	first := o.byMID[t.mid]
	switch {
	case first != t:
		for first.next != t {
			first = first.next
		}
		first.next = t.next
	case t.next != nil:
		o.byMID[t.mid] = t.next
	default:
		delete(o.byMID, t.mid)
	}
	t.next = nil
}

// earlyAnswer removes the answer that overtook the end of a handing over.
func (o *outgoing) earlyAnswer(mid int) (a ack, ok bool) {
	i := slices.IndexFunc(o.early, func(a ack) bool { return a.mid == mid })
	if i < 0 {
		return a, false
	}
	a = o.early[i]
	o.early = slices.Delete(o.early, i, i+1)
	return a, true
}

// send hands a message over, for which there is room, or lets it wait. Its
// payload is still the caller's. mu is held, but not throughout.
func (c *Client) send(t *Token) {
	o := &c.out
	if c.online && o.first == nil && !o.pumping && o.takes(t) {
		c.hand(t)
	} else {
		c.mu.Unlock()
		t.pub.Payload = slices.Clone(t.pub.Payload)
		c.mu.Lock()
		if c.ended { // meanwhile
			c.leaveOut(t, false)
			return
		}
		o.add(t)
	}
	c.pump()
}

// pump hands over what waits, in order, as long as the library is to get more.
// One goroutine does at a time. mu is held, but not throughout.
func (c *Client) pump() {
	if !c.out.pumping {
		c.out.pumping = true
		c.handOver()
	}
}

// refill pumps after an answer, when the library has nothing left at hand.
func (c *Client) refill(qos QoSLevel) {
	o := &c.out
	switch {
	case qos > 0 && o.ahead() == 0:
		c.pump()
	case qos > 0 && o.reliable <= o.inflight, qos == 0 && o.qos0 == 0:
		c.pumpAside()
	}
}

// pumpAside pumps in another goroutine. A callback of the library's write that hands
// over more makes it go on, which does not read and cannot end meanwhile; and one of
// its reads that does so for each answer keeps the others from their core.
func (c *Client) pumpAside() {
	o := &c.out
	if o.pumping || o.first == nil || !c.online || !o.takes(o.first) {
		return
	}
	o.pumping = true
	c.working.Add(1)
	go func() {
		defer c.working.Done()
		c.mu.Lock()
		c.handOver()
		c.unlock()
	}()
}

// handOver is what pump does.
func (c *Client) handOver() {
	o := &c.out
	for t := o.first; t != nil && c.online && o.takes(t); t = o.first {
		o.remove(t)
		c.hand(t)
	}
	o.pumping = false
}

// hand gives a message to the library. Not under mu: the library has locks of
// its own, which callbacks hold.
func (c *Client) hand(t *Token) {
	o := &c.out
	t.phase = handing
	o.count(t, 1)
	o.handing++
	epoch := c.epoch
	c.mu.Unlock()
	mid, err := c.libraryPublish(&t.pub)
	c.mu.Lock()
	o.handing--
	c.returned.Broadcast()
	c.handedOver(t, mid, err, epoch)
	if o.handing == 0 {
		o.early = o.early[:0]
	}
}

func (c *Client) libraryPublish(p *Publication) (mid int, err error) {
	if len(p.Properties) == 0 {
		return c.m.Publish(p.Topic, p.Payload, p.QoS, p.Retain)
	}
	return c.m.PublishV5(p.Topic, p.Payload, p.QoS, p.Retain, p.Properties)
}

// handedOver is what follows from the library's answer to a publish. A message of
// QoS 1 or 2 with an id is the library's, whatever the error says.
func (c *Client) handedOver(t *Token, mid int, err error, epoch uint64) {
	o := &c.out
	offline := errors.Is(err, mosquitto.ErrNoConn)
	if offline && epoch == c.epoch {
		c.online = false // the loop is about to say so
	}
	switch {
	case c.ended && mid == 0: // nobody else would end it
		o.count(t, -1)
		c.leaveOut(t, false)
	case err != nil && offline && mid == 0:
		o.count(t, -1)
		t.pub.Payload = slices.Clone(t.pub.Payload) // the caller goes on
		o.addFirst(t)
	case err != nil && mid == 0:
		o.count(t, -1)
		c.finish(t, ack{}, err)
	default:
		o.bind(t, mid)
		if a, ok := o.earlyAnswer(mid); ok {
			c.acknowledged(o.answered(mid), a)
		} else if c.ended {
			o.unbind(t)
			c.leaveOut(t, true)
		} else if t.pub.QoS == 0 && (epoch != c.epoch || !c.online) {
			o.unbind(t) // it may be among what a reconnect throws away
			c.finish(t, ack{}, ErrConnectionLost)
		}
	}
}

// onPublish is called by the loop when a message was sent or acknowledged.
func (c *Client) onPublish(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, props Properties) {
	a := ack{mid, code, props}
	c.mu.Lock()
	c.out.resending = false // it has gone on
	if t := c.out.answered(mid); t != nil {
		qos := t.pub.QoS
		c.acknowledged(t, a)
		c.refill(qos)
	} else if c.out.handing > 0 {
		c.out.early = append(c.out.early, a)
	}
	c.unlock()
}

// resendPatience is how long the library's repetitions are waited for if no answer
// shows that they were sent. It makes them right after onConnect.
const resendPatience = time.Second

// goOnAfter lets messages go that wait for the library's repetitions, on the
// connection of this epoch.
func (c *Client) goOnAfter(epoch uint64) {
	c.mu.Lock()
	if c.epoch == epoch {
		c.out.resending = false
		c.pump()
	}
	c.unlock()
}

// acknowledged ends a message that the broker has answered.
func (c *Client) acknowledged(t *Token, a ack) {
	var err error
	if a.code.Err() != nil {
		text, _ := a.props.Text(mosquitto.PropReasonString)
		err = &PublishError{t.pub.Topic, a.code, text}
	}
	if t.again && err == nil {
		t.again = false
		c.out.addFirst(t)
		return
	}
	c.finish(t, a, err)
}

// finish ends a message: its room is free, its waiters go on. mu is held.
func (c *Client) finish(t *Token, a ack, err error) {
	t.phase, t.code, t.props, t.err = over, a.code, a.props, err
	t.pub.Payload = nil
	if err == nil {
		c.count.published.Add(1)
		c.count.bytesOut.Add(uint64(t.size - t.pub.size())) // its payload is gone
	} else {
		c.count.failed.Add(1)
	}
	if t.stored && (err == nil || !errors.Is(err, ErrClosed) && !t.doubtful) {
		c.opts.outbox.Delete(t.key)
	}
	if t.tell != nil {
		c.toTell = append(c.toTell, t)
	}
	c.release(t.size)
	if t.ended != nil {
		close(t.ended)
	} else { // from here on it may be another message's
		t.wake <- struct{}{}
	}
}

// unlock releases mu and says what happened under it: to the hooks of messages that
// have ended, and of lost subscriptions, and to the logger.
func (c *Client) unlock() {
	ended, untold := c.toTell, c.untold
	c.toTell, c.untold = nil, nil
	c.mu.Unlock()
	for _, t := range ended {
		t.tell(t.err)
	}
	for _, tell := range untold {
		tell()
	}
}

// loseQoS0 fails the QoS 0 messages that a connection has taken with it. Those of
// QoS 1 and 2 stay: the library sends them again. mu is held.
func (c *Client) loseQoS0() {
	for _, t := range c.out.inOrder() {
		switch {
		case t.pub.QoS == 0:
			c.out.unbind(t)
			c.finish(t, ack{}, ErrConnectionLost)
		case t.doubtful: // acknowledged, for all we know: then it is not sent again
			c.out.unbind(t)
			c.finish(t, ack{}, errors.Join(ErrConnectionLost, ErrAbandoned))
		}
	}
}

// inOrder are the messages that were handed over, in the order of their acceptance.
func (o *outgoing) inOrder() (all []*Token) {
	for _, t := range o.byMID {
		for ; t != nil; t = t.next {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *Token) int { return cmp.Compare(a.number, b.number) })
	return all
}

// failAll ends everything that is left. mu is held.
func (c *Client) failAll() {
	o := &c.out
	for _, t := range o.inOrder() {
		o.unbind(t)
		c.leaveOut(t, true)
	}
	for t := o.first; t != nil; t = o.first {
		o.remove(t)
		c.leaveOut(t, false)
	}
}

// leaveOut ends a message with the client. mu is held.
func (c *Client) leaveOut(t *Token, sent bool) {
	c.unsent = append(c.unsent, Unsent{t.pub.Topic, t.pub.QoS, sent, t.stored})
	c.finish(t, ack{}, t.leftErr(c.closedErr()))
}
