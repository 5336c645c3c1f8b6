//go:build cgo

package mqtt

import (
	"errors"

	"github.com/mosquitto-go/mosquitto"
)

// The library gets a few QoS 0 messages at a time, so that the others can still be
// cancelled or dropped.
const (
	maxUnwritten      = 1000
	maxUnwrittenBytes = 1 << 20
)

// inflight holds the messages that the library has. Owned by the loop.
type inflight struct {
	window    window // messages of QoS 1 and 2 at a time
	limitQoS2 int    // of these, messages of QoS 2

	sent           list // QoS 1 and 2, in the order of submission
	unwritten      list // QoS 0, in the order of submission: the library writes them in it
	byID           map[int]*Token
	count          int // of sent
	countQoS2      int
	unwrittenCount int
	unwrittenBytes int

	lastID       int    // the library's last packet id
	oneByOneUpTo uint64 // messages up to this number are sent one by one

	admit func(*Token) bool // admits, as a value that is made once
	batch []*Token          // of submit
}

// acknowledgement is what the broker has answered.
type acknowledgement struct {
	code  mosquitto.ReasonCode
	props Properties
}

func newInflight(s *settings) inflight {
	return inflight{window: window{limit: s.inflight}, limitQoS2: s.inflightQoS2, byID: map[int]*Token{}}
}

// admits reports whether a message may be submitted now, and counts it.
func (f *inflight) admits(t *Token) bool {
	if f.count > 0 && (f.sent.first != nil && f.sent.first.number <= f.oneByOneUpTo || t.number <= f.oneByOneUpTo) {
		return false
	}
	switch t.pub.QoS {
	case 0:
		if f.unwrittenCount >= maxUnwritten || f.unwrittenCount > 0 && f.unwrittenBytes+t.size > maxUnwrittenBytes {
			return false
		}
	case 1:
		if f.count >= f.window.size {
			return false
		}
	default:
		if f.count >= f.window.size || f.countQoS2 >= f.limitQoS2 {
			return false
		}
	}
	f.tally(t, 1)
	return true
}

// tally counts a message that is admitted (1), or is over or withdrawn (-1).
func (f *inflight) tally(t *Token, n int) {
	if t.pub.QoS == 0 {
		f.unwrittenCount += n
		f.unwrittenBytes += n * t.size
		return
	}
	f.count += n
	if t.pub.QoS == 2 {
		f.countQoS2 += n
	}
}

// add notes a message that the library has accepted.
func (f *inflight) add(t *Token, id int) {
	f.lastID = id
	t.mid.Store(int32(id))
	if t.pub.QoS == 0 {
		f.unwritten.pushBack(t)
		return
	}
	f.sent.pushBack(t)
	f.byID[id] = t
	f.window.submitted(t)
}

// take removes the message that the library reports with this packet id: QoS 0
// messages are written in their order, so the report is the oldest one's or an
// acknowledgement's.
func (f *inflight) take(id int) *Token {
	t := f.unwritten.first
	if t == nil || int(t.mid.Load()) != id {
		t = f.byID[id]
	}
	if t != nil {
		f.remove(t)
	}
	return t
}

func (f *inflight) remove(t *Token) {
	f.tally(t, -1)
	if t.pub.QoS == 0 {
		f.unwritten.remove(t)
		return
	}
	f.sent.remove(t)
	delete(f.byID, int(t.mid.Load()))
}

// oldest is the message of QoS 1 or 2 that was submitted first; nil if there is none.
func (f *inflight) oldest() *Token { return f.sent.first }

// removeUnwritten removes the QoS 0 messages that may not have been written.
func (f *inflight) removeUnwritten() (all []*Token) {
	for t := f.unwritten.first; t != nil; t = f.unwritten.first {
		f.remove(t)
		all = append(all, t)
	}
	return all
}

// removeAll removes every message.
func (f *inflight) removeAll() (all []*Token) {
	for t := f.sent.first; t != nil; t = f.sent.first {
		f.remove(t)
		all = append(all, t)
	}
	return append(all, f.removeUnwritten()...)
}

// submit gives pending messages to the library, in order, as many as may be in flight.
func (c *Client) submit() {
	f := &c.inflight
	if !c.isOnline() || c.queue.length.Load() == 0 {
		return
	}
	if f.admit == nil {
		f.admit = f.admits
	}
	f.batch = c.queue.take(f.admit, f.batch[:0])
	for i, t := range f.batch {
		if !c.submitOne(t) {
			c.requeueBatch(f.batch[i:])
			break
		}
	}
	clear(f.batch)
}

// putBack makes admitted messages pending again.
func (c *Client) requeueBatch(all []*Token) {
	for _, t := range all {
		c.inflight.tally(t, -1)
	}
	c.endAbandoned(c.queue.requeue(all))
}

// endAbandoned ends messages whose callers have given up.
func (c *Client) endAbandoned(all []*Token) {
	for _, t := range all {
		c.complete(t, acknowledgement{}, joinErrors(t.abandoned, ErrAbandoned))
	}
}

// submitOne gives one message to the library, or ends it with an error. It reports
// false when the message must wait.
func (c *Client) submitOne(t *Token) bool {
	f := &c.inflight
	err := c.checkForBroker(&t.pub)
	if err == nil {
		err = c.skipUsedIDs()
	}
	if err != nil {
		f.tally(t, -1)
		c.complete(t, acknowledgement{}, err)
		return true
	}
	mid, err := c.libraryPublish(&t.pub)
	offline := errors.Is(err, mosquitto.ErrNoConn)
	if offline {
		c.conn.online = false // the library's loop is about to say so
	}
	switch {
	case offline && mid == 0:
		f.lastID = f.nextID() // the library has used one
		return false
	case err != nil && mid == 0:
		f.tally(t, -1)
		c.complete(t, acknowledgement{}, err)
		return true
	}
	f.add(t, mid)
	c.conn.sequence++
	t.sent, t.connection, t.sequence = true, c.conn, c.conn.sequence
	return true
}

func (c *Client) libraryPublish(p *Publication) (mid int, err error) {
	m := c.library.Load()
	if len(p.Properties) == 0 {
		return m.Publish(p.Topic, p.Payload, p.QoS, p.Retain)
	}
	return m.PublishV5(p.Topic, p.Payload, p.QoS, p.Retain, p.Properties)
}

// onPublish is called by the library when a message was written (QoS 0) or
// acknowledged.
func (c *Client) onPublish(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, props Properties) {
	if c.conn.discarded {
		return
	}
	t := c.inflight.take(mid)
	if t == nil {
		return
	}
	if t.pub.QoS > 0 {
		c.conn.useful = true
		c.inflight.window.acknowledged(t)
	}
	var err error
	if code.Failed() {
		text, _ := props.Text(mosquitto.PropReasonString)
		err = &PublishError{t.pub.Topic, code, text}
	}
	c.complete(t, acknowledgement{code, props}, err)
}

// complete ends a message on the loop.
func (c *Client) complete(t *Token, a acknowledgement, err error) {
	c.countOutcome(t, err)
	if t.stored && (err == nil || !errors.Is(err, ErrClosed)) {
		c.opts.outbox.Delete(t.key)
	}
	outcome := t.outcome
	if c.queue.finish(t, a, err) {
		c.wake()
	}
	if outcome != nil {
		c.reportOutcome(outcome, err)
	}
}

// reportOutcome is apart since its function is allocated.
func (c *Client) reportOutcome(outcome func(error), err error) {
	c.runHook(func() { outcome(err) })
}

// account counts a message that is over.
func (c *Client) countOutcome(t *Token, err error) {
	if err != nil {
		c.count.failed.Add(1)
		return
	}
	c.count.published.Add(1)
	c.count.bytesOut.Add(uint64(len(t.pub.Payload)))
}

// reportEnd is what follows when a message was ended by a goroutine of the program's.
func (c *Client) reportEnd(t *Token) {
	c.countOutcome(t, t.err)
	if t.outcome != nil {
		t.outcome(t.err)
	}
}

// failUnwritten ends the QoS 0 messages of a connection that was lost.
func (c *Client) failUnwritten() {
	for _, t := range c.inflight.removeUnwritten() {
		c.complete(t, acknowledgement{}, ErrConnectionLost)
	}
}

// countMessageClosure notes that the broker has closed the connection while a message was the
// oldest in flight. A message for which that happens again and again is sent alone,
// and then given up.
func (c *Client) countMessageClosure(t *Token, why error) {
	f, attempts := &c.inflight, c.opts.deliveryAttempts
	t.closures++
	alone := f.count == 1
	switch {
	case c.mayDrop(t): // the replacement does
	case attempts == 0:
		return
	case alone && t.closures >= attempts:
		f.remove(t)
		c.complete(t, acknowledgement{}, &DeliveryError{t.pub.Topic, t.pub.QoS, t.closures, why})
	case !alone && t.closures >= attempts && c.exactlyOnce():
		f.remove(t)
		c.complete(t, acknowledgement{}, &DeliveryError{t.pub.Topic, t.pub.QoS, t.closures, why})
	case !alone && t.closures >= max(attempts-1, 1) && !c.exactlyOnce():
		f.oneByOneUpTo = f.sent.last.number
	default:
		return
	}
	c.replace = true
}

// mayDrop reports whether a message is dropped at the next connection because its caller
// has given up. With a kept session that costs more than the message is worth, unless the
// broker is known to close for it.
func (c *Client) mayDrop(t *Token) bool {
	if t.stored || t.closures < 2 || !c.queue.isAbandoned(t) {
		return false
	}
	return !c.opts.keepSession || c.opts.deliveryAttempts > 0 && !c.exactlyOnce()
}

// requeue makes the messages in flight pending again, before a library client that
// does not know them.
func (c *Client) requeueInFlight() {
	all := c.inflight.removeAll()
	c.endAbandoned(c.queue.requeue(all))
}

// exactlyOnce reports whether the broker keeps the session of QoS 2 messages in flight:
// submitting them again would repeat them.
func (c *Client) exactlyOnce() bool { return c.opts.keepSession && c.inflight.countQoS2 > 0 }
