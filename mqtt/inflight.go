//go:build cgo

package mqtt

import (
	"errors"

	"github.com/mosquitto-go/mosquitto"
)

// The loop submits few QoS 0 messages at a time, so that queued messages can still be
// cancelled or dropped.
const (
	maxUnwritten      = 1000
	maxUnwrittenBytes = 1 << 20
)

// inflight holds the messages that the loop has submitted to the library. Owned by the
// loop.
type inflight struct {
	window    window // limit for QoS 1 and 2
	limitQoS2 int    // limit for QoS 2, within the window

	sent           list // QoS 1 and 2, in the order of submission
	unwritten      list // QoS 0, in the order of submission; the library writes them in this order
	byID           map[int]*Token
	count          int // messages of QoS 1 and 2
	countQoS2      int
	unwrittenCount int
	unwrittenBytes int

	lastID       int    // the packet id that the library used last
	waitsForID   bool   // the next packet id is in use: nothing is submitted
	oneByOneUpTo uint64 // messages up to this number are sent one at a time

	admit func(*Token) bool // f.tryAdmit as a func value, made once to avoid allocations
	batch []*Token          // buffer of submit
}

// acknowledgement is the content of the broker's PUBACK, PUBREC or PUBCOMP.
type acknowledgement struct {
	code  mosquitto.ReasonCode
	props Properties
}

func newInflight(s *settings) inflight {
	return inflight{window: window{limit: s.inflight}, limitQoS2: s.inflightQoS2}
}

// tryAdmit counts a message as in flight. It reports false if a limit does not allow that
// now.
func (f *inflight) tryAdmit(t *Token) bool {
	if f.mustWaitAlone(t) {
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

// mustWaitAlone reports whether a message must wait until no message is in flight, because
// it or the oldest message in flight is sent alone.
func (f *inflight) mustWaitAlone(t *Token) bool {
	if f.count == 0 {
		return false
	}
	oldest := f.oldest()
	return t.number <= f.oneByOneUpTo || oldest != nil && oldest.number <= f.oneByOneUpTo
}

// tally adds a message to the counters (n is 1) or removes it from them (n is -1).
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

// add adds a message that the library has accepted.
func (f *inflight) add(t *Token, id int) {
	f.lastID = id
	t.mid.Store(int32(id))
	if t.pub.QoS == 0 {
		f.unwritten.pushBack(t)
		return
	}
	f.sent.pushBack(t)
	if f.byID == nil {
		f.byID = map[int]*Token{}
	}
	f.byID[id] = t
	f.window.submitted(t)
}

// take removes and returns the message that the library reports with this packet id. The
// library writes QoS 0 messages in their order. So the report is either for the oldest
// QoS 0 message, or it is an acknowledgement.
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

// oldest returns the message of QoS 1 or 2 that was submitted first, or nil.
func (f *inflight) oldest() *Token { return f.sent.first }

// highestNumber returns the highest number of the messages of QoS 1 and 2. The last message
// may not have it, because messages of WithOnConnect functions are sent before older messages.
func (f *inflight) highestNumber() (highest uint64) {
	for t := f.sent.first; t != nil; t = f.sent.next(t) {
		highest = max(highest, t.number)
	}
	return highest
}

// removeUnwritten removes the QoS 0 messages that may not have been written.
func (f *inflight) removeUnwritten() (all []*Token) {
	for t := f.unwritten.first; t != nil; t = f.unwritten.first {
		f.remove(t)
		all = append(all, t)
	}
	return all
}

// removeAll removes all messages.
func (f *inflight) removeAll() (all []*Token) {
	for t := f.sent.first; t != nil; t = f.sent.first {
		f.remove(t)
		all = append(all, t)
	}
	return append(all, f.removeUnwritten()...)
}

// submit submits queued messages to the library, in order, as many as may be in flight.
func (c *Client) submit() {
	f := &c.inflight
	if !c.isOnline() || f.waitsForID || c.queue.length.Load() == 0 {
		return
	}
	if f.admit == nil {
		f.admit = f.tryAdmit
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

// requeueBatch queues admitted messages again that could not be submitted.
func (c *Client) requeueBatch(all []*Token) {
	for _, t := range all {
		c.inflight.tally(t, -1)
	}
	c.endAbandoned(c.queue.requeue(all))
}

// endAbandoned ends messages whose callers no longer wait.
func (c *Client) endAbandoned(all []*Token) {
	for _, t := range all {
		c.complete(t, acknowledgement{}, joinErrors(c.queue.abandonCause(t), ErrAbandoned))
	}
}

// submitOne submits a message to the library, or ends it with an error. It reports false
// if the message must stay queued: the connection is lost, or the next packet id is in use.
func (c *Client) submitOne(t *Token) bool {
	f := &c.inflight
	err := c.checkForBroker(&t.pub)
	if err == nil && !t.leftToLive() {
		err = ErrMessageExpired
	}
	if err == nil {
		err = c.aliases.reserve(&t.pub)
	}
	if err == nil {
		err = c.skipUsedIDs()
	}
	switch {
	case errors.Is(err, errIDInUse):
		c.waitForID()
		return false
	case err != nil:
		f.tally(t, -1)
		c.complete(t, acknowledgement{}, err)
		return true
	}
	mid, err := c.libraryPublish(&t.pub)
	offline := errors.Is(err, mosquitto.ErrNoConn)
	if offline {
		c.conn.online = false // RunOnce is about to return the loss
	}
	switch {
	case offline && mid == 0:
		f.lastID = f.nextID() // the library has used a packet id
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
	topic, props, sets := c.aliases.replace(p)
	if len(props) == 0 {
		return m.Publish(topic, p.Payload, p.QoS, p.Retain)
	}
	mid, err = m.PublishV5(topic, p.Payload, p.QoS, p.Retain, props)
	if err != nil && sets {
		c.aliases.forget(p.Topic)
	}
	return mid, err
}

// onPublish is the library's callback for a written message of QoS 0, and for the
// acknowledgement of a message of QoS 1 or 2.
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
	c.idReleased()
}

// complete ends a message. Only the loop calls it.
func (c *Client) complete(t *Token, a acknowledgement, err error) {
	c.countOutcome(t, err)
	if err == nil || !errors.Is(err, ErrClosed) {
		c.deleteStored(t)
	}
	outcome := t.outcome
	if c.queue.finish(t, a, err) {
		c.wake()
	}
	if outcome != nil {
		c.reportOutcome(outcome, err)
	}
}

// reportOutcome calls the outcome function of the Publish hooks. It is separate from
// complete, so that a message without hooks allocates no func literal.
func (c *Client) reportOutcome(outcome func(error), err error) {
	c.runHook(func() { outcome(err) })
}

// deleteStored deletes a message from the outbox, if the outbox has it.
func (c *Client) deleteStored(t *Token) {
	if t.stored {
		c.opts.outbox.Delete(t.key)
	}
}

// countOutcome counts an acknowledged or failed message.
func (c *Client) countOutcome(t *Token, err error) {
	if err != nil {
		c.count.failed.Add(1)
		return
	}
	c.count.published.Add(1)
	c.count.bytesOut.Add(uint64(len(t.pub.Payload)))
}

// reportEnd counts and reports a message that has expired, or that a goroutine of the
// program has cancelled or dropped.
func (c *Client) reportEnd(t *Token) {
	c.countOutcome(t, t.err)
	c.deleteStored(t)
	if t.outcome != nil {
		t.outcome(t.err)
	}
}

// failUnwritten ends the QoS 0 messages of a lost connection.
func (c *Client) failUnwritten() {
	for _, t := range c.inflight.removeUnwritten() {
		c.complete(t, acknowledgement{}, ErrConnectionLost)
	}
}

// countMessageClosure counts a connection that the broker closed while t was the oldest
// message in flight. After repeated closures, t is sent alone. If the broker then closes
// the connection again, t fails.
func (c *Client) countMessageClosure(t *Token, why error) {
	f, attempts := &c.inflight, c.closureLimit()
	t.closures++
	alone := f.count == 1
	switch {
	case c.mayDrop(t): // requeueInFlight drops it when the library client is replaced
	case attempts == 0:
		return
	case t.closures >= attempts && (alone || c.exactlyOnce()):
		f.remove(t)
		c.complete(t, acknowledgement{}, &DeliveryError{t.pub.Topic, len(t.pub.Payload), t.pub.QoS, t.closures, why})
	case !alone && t.closures >= max(attempts-1, 1) && !c.exactlyOnce():
		f.oneByOneUpTo = f.highestNumber()
	default:
		return
	}
	c.replace = true
}

// closureLimit returns how many connections may be closed for a message or a filter before
// it fails. 0 means no limit. While a node of a cluster fails, the other nodes may close
// connections too. So the limit grows with the number of servers.
func (c *Client) closureLimit() int { return c.opts.deliveryAttempts * len(c.servers) }

// mayDrop reports whether a message whose caller no longer waits is dropped before the
// next connection. Dropping replaces the library client. With a kept session, the client
// does so only if the broker closes the connection for this message.
func (c *Client) mayDrop(t *Token) bool {
	if t.stored || t.closures < 2 || c.queue.abandonCause(t) == nil {
		return false
	}
	return !c.opts.keepSession || c.opts.deliveryAttempts > 0 && !c.exactlyOnce()
}

// requeueInFlight queues the messages in flight again. The caller has replaced the
// library client, and the new library client does not know them.
func (c *Client) requeueInFlight() {
	all := c.inflight.removeAll()
	c.endAbandoned(c.queue.requeue(all))
}

// exactlyOnce reports whether the broker keeps the session of QoS 2 messages in flight.
// Such messages would be delivered twice if they were submitted again.
func (c *Client) exactlyOnce() bool { return c.opts.keepSession && c.inflight.countQoS2 > 0 }
