//go:build cgo

package mosquitto

import (
	"bytes"
	"slices"
	"time"
)

// This file has the messages and events that the library has read and no callback has
// received. The loop owns them. If the connection is lost, QoS 0 messages stay pending for
// the next connection. Messages whose acknowledgement was not sent are dropped, because the
// broker sends them again.

// delivery is a message or an event that is pending.
type delivery struct {
	message Message // with the MID of OnPublish if sent is set
	event   *event  // nil for a message, and if sent is set
	sent    bool    // OnPublish of a QoS 0 message that a write of Run has sent: it needs no allocation
	unacked bool    // no write until this message was delivered
}

// event holds the arguments of OnPublish, OnSubscribe or OnUnsubscribe.
type event struct {
	kind  uint32 // evPublish, evSubscribe or evUnsubscribe
	mid   int
	code  ReasonCode   // of OnPublish
	codes []ReasonCode // of OnSubscribe and OnUnsubscribe
	props Properties
}

// call runs the callback, if there is one.
func (e *event) call(c *Client) {
	switch e.kind {
	case evPublish:
		if f, ok := c.listeners.publish.get(); ok {
			f(c, e.mid, e.code, e.props)
		}
	case evSubscribe:
		if f, ok := c.listeners.subscribe.get(); ok {
			f(c, e.mid, e.codes, e.props)
		}
	case evUnsubscribe:
		if f, ok := c.listeners.unsubscribe.get(); ok {
			f(c, e.mid, e.codes, e.props)
		}
	}
}

// callSent runs OnPublish for a QoS 0 message.
func (c *Client) callSent(mid int) {
	e := event{kind: evPublish, mid: mid}
	e.call(c)
}

// deliveries holds pending messages and events in the order of arrival.
type deliveries struct {
	pending        []delivery
	next           int      // the first of pending that was not delivered
	sent           int      // pending OnPublish events of QoS 0 messages
	unacknowledged int      // pending messages of QoS 1 and 2; no write meanwhile
	overlong       *Message // the last message of QoS 1 or 2 whose callback outlasted the keepalive
}

func (d *deliveries) holds() bool { return d.next < len(d.pending) }

func (d *deliveries) add(c *Client, one delivery) {
	d.pending = append(d.pending, one)
	if one.sent {
		d.sent++
	}
	d.noteFirst(c)
}

// noteFirst reports to C what the next delivery is.
func (d *deliveries) noteFirst(c *Client) {
	cPendingSet(c.c, d.holds(), d.startsWithEvent(), d.sent > 0)
}

func (d *deliveries) startsWithEvent() bool { return d.holds() && d.pending[d.next].isEvent() }

// addEvent adds an event.
func (c *Client) addEvent(e event) { c.deliveries.add(c, delivery{event: &e}) }

// addSent adds OnPublish of a QoS 0 message.
func (c *Client) addSent(mid int) {
	c.deliveries.add(c, delivery{message: Message{MID: mid}, sent: true})
}

// addUnacknowledged adds a message whose acknowledgement the library has queued.
func (d *deliveries) addUnacknowledged(c *Client, m Message) {
	d.add(c, delivery{message: m, unacked: true})
	d.unacknowledged++
	cUnacknowledgedSet(c.c, true)
}

// take removes the first delivery.
func (d *deliveries) take(c *Client) delivery {
	one := d.pending[d.next]
	d.pending[d.next] = delivery{}
	d.next++
	if one.sent {
		d.sent--
		cNoteWritten(c.c)
	}
	if !d.holds() {
		d.reset()
	}
	d.noteFirst(c)
	return one
}

// delivered notes that a callback has returned.
func (d *deliveries) delivered(c *Client, one delivery) {
	if !one.unacked {
		return
	}
	if d.unacknowledged--; d.unacknowledged == 0 {
		cUnacknowledgedSet(c.c, false)
	}
}

const keptDeliveries = 1024 // largest capacity that reset keeps

// reset prepares the empty list for the next deliveries.
func (d *deliveries) reset() {
	d.pending, d.next = d.pending[:0], 0
	if cap(d.pending) > keptDeliveries {
		d.pending = nil
	}
}

// drop removes all deliveries for good.
func (d *deliveries) drop(c *Client) { d.keep(c, func(delivery) bool { return false }) }

// keep drops the deliveries that wanted refuses.
func (d *deliveries) keep(c *Client, wanted func(delivery) bool) {
	old := d.pending[d.next:]
	d.pending, d.next, d.sent, d.unacknowledged = nil, 0, 0, 0
	d.noteFirst(c)
	cUnacknowledgedSet(c.c, false)
	for _, one := range old {
		switch {
		case !wanted(one):
		case one.unacked:
			d.addUnacknowledged(c, one.message)
		default:
			d.add(c, one)
		}
	}
}

// eventsFirst moves the events before the messages.
func (d *deliveries) eventsFirst() {
	slices.SortStableFunc(d.pending[d.next:], func(a, b delivery) int {
		return int(number(b.isEvent()) - number(a.isEvent()))
	})
}

func (d delivery) isEvent() bool { return d.event != nil || d.sent }

// mayWait reports whether d may wait for another connection.
func (d delivery) mayWait() bool { return !d.unacked }

// mustPrecedeDisconnect reports whether d must be delivered although Run ends.
// Acknowledgements are queued before the DISCONNECT.
func (d delivery) mustPrecedeDisconnect() bool { return d.isEvent() || d.unacked }

// redelivers reports whether m is the message whose callback outlasted the
// keepalive, once more. Brokers send it again with the same packet id.
func (d *deliveries) redelivers(m Message) bool {
	o := d.overlong
	if o == nil || m.QoS == 0 || m.MID != o.MID || m.Topic != o.Topic || !bytes.Equal(m.Payload, o.Payload) {
		return false
	}
	d.overlong = nil
	return true
}

// paused reports whether PauseReading keeps messages from the callback now. Only
// the loop calls it.
func (c *Client) paused() bool { return c.run.Load() != nil && cHoldsMessages(c.c) }

// mustHold reports whether a message that arrives now must not reach its
// callback at once.
func (c *Client) mustHold() bool {
	return c.deliveries.holds() || c.paused() || cPassing(c.c) && cReadsAhead(c.c)
}

// hold keeps a message for later. The library has queued the acknowledgement of
// a QoS 1 or 2 message: either its callback runs now, or the loop writes nothing
// until the callback has returned.
func (c *Client) hold(f func(*Client, Message), m Message) {
	d := &c.deliveries
	switch {
	case c.run.Load() == nil, m.QoS > 0 && c.paused():
		d.add(c, delivery{message: m})
		c.deliverAll()
	case m.QoS == 0:
		d.add(c, delivery{message: m})
	case !d.holds():
		c.deliver(f, m)
	default:
		d.addUnacknowledged(c, m)
		cEndBurst(c.c)
	}
}

// leaveUnacknowledged keeps the acknowledgement of a message that arrived after Close
// from leaving: no callback starts any more.
func (c *Client) leaveUnacknowledged(qos QoS) {
	if qos > 0 && c.run.Load() != nil {
		c.deliveries.addUnacknowledged(c, Message{QoS: qos})
		cEndBurst(c.c)
	}
}

// acknowledgeNothing cuts the connection before the acknowledgements of the last messages are
// written, because OnAcknowledge can no longer run after Close.
func (c *Client) acknowledgeNothing() {
	c.leaveUnacknowledged(1)
	if r := c.run.Load(); r != nil && r.begun != notEnding {
		r.deadline = time.Now()
	}
}

// deliver runs the callback of one message, and ends the pass when its time is
// used. A message whose callback cost the connection once is acknowledged first
// when it arrives again: the connection would be lost again.
func (c *Client) deliver(f func(*Client, Message), m Message) {
	r := c.run.Load()
	if r == nil || !cPassing(c.c) {
		f(c, m)
		return
	}
	if c.deliveries.redelivers(m) {
		c.deliveries.add(c, delivery{message: m})
		cSpentSet(c.c)
		return
	}
	c.call(f, m)
}

// call runs the callback of one message, and notes that the time of this pass is used.
func (c *Client) call(f func(*Client, Message), m Message) {
	f(c, m)
	r := c.run.Load()
	if r == nil || !r.pacer.spentNow() {
		return
	}
	cSpentSet(c.c)
	if took := r.pacer.sinceLastSlow(); m.QoS > 0 && took > r.keepalive {
		copied := m.Clone()
		c.deliveries.overlong = &copied
	}
}

// deliverPending runs the callbacks of pending deliveries until PauseReading is
// called or the time of this pass is used. The caller is in a callback frame.
func (c *Client) deliverPending() {
	r := c.run.Load()
	for d := &c.deliveries; d.unacknowledged > 0 || d.startsWithEvent() || !c.paused(); {
		if !c.deliverOne() {
			return
		}
		if r.pacer.spentNow() {
			cSpentSet(c.c)
			return
		}
	}
}

// deliverAll runs the callbacks of all pending deliveries.
func (c *Client) deliverAll() {
	for c.deliverOne() {
	}
}

// deliverOne reports whether there was something to deliver.
func (c *Client) deliverOne() bool {
	if !c.deliveries.holds() || c.gate.closed() {
		return false
	}
	one := c.deliveries.take(c)
	switch {
	case one.sent:
		c.callSent(one.message.MID)
		return true
	case one.event != nil:
		one.event.call(c)
		return true
	}
	defer c.deliveries.delivered(c, one)
	if f, ok := c.listeners.message.get(); ok {
		c.call(f, one.message)
	}
	return true
}

// deliverEvents runs the callbacks of pending events when the connection has ended.
// It drops messages whose acknowledgement was not sent. QoS 0 messages stay pending:
// their callbacks may take long, and OnDisconnect must not wait for them. After
// Disconnect they are delivered as well, as long as there is time. The caller is in a
// callback frame.
func (c *Client) deliverEvents() {
	d := &c.deliveries
	if !d.holds() {
		return
	}
	d.keep(c, delivery.mayWait)
	if r := c.run.Load(); r != nil && r.begun == disconnected {
		for time.Now().Before(r.deadline) && c.deliverOne() {
		}
	}
	d.eventsFirst()
	for d.startsWithEvent() && c.deliverOne() {
	}
}

// endDeliveries is deliverEvents for a loss that OnDisconnect did not report.
func (r *runner) endDeliveries() {
	if !r.c.deliveries.holds() {
		return
	}
	if p := cDeliverEvents(r.c.c); p.panicked != 0 {
		r.raise(p)
	}
}

// dropMessages drops pending messages when Run has to end: QoS 0 messages when ctx
// has ended, other messages when the deadline has passed. The caller then cuts the
// connection, so that no acknowledgement of a dropped message is sent.
func (r *runner) dropMessages(cut bool) {
	if cut {
		r.c.deliveries.keep(r.c, delivery.isEvent)
		return
	}
	r.c.deliveries.keep(r.c, delivery.mustPrecedeDisconnect)
}

// PauseReading stops [Client.Run] and [Client.RunOnce] from reading and from
// delivering messages, for a program whose own queue is full. It wraps no C
// function. Run still writes, keeps the connection alive and runs functions
// that [Client.Post] queued. Messages that were read already are kept for
// [Client.ResumeReading].
//
// In three cases messages arrive during a pause:
//   - While Run waits for a PINGRESP, it reads the messages before the PINGRESP: at
//     most 1 MiB of topics and payloads for each PINGREQ.
//   - Messages of QoS 1 or 2 arrive if the library has read them together with the
//     message whose callback paused. One read has at most 4 KiB.
//   - After Disconnect all messages arrive.
//
// A pause lasts until ResumeReading: a new connection does not end it. Run always
// reads the broker's CONNACK.
//
// PauseReading may be called from any goroutine and inside callbacks, and
// blocks on nothing. It returns [ErrClosed] after Close and [ErrInCallback]
// inside OnLog. Loops other than Run and RunOnce ignore the pause.
func (c *Client) PauseReading() error { return c.pauseReading("pause_reading", true) }

// ResumeReading ends [Client.PauseReading]: Run delivers the kept messages, then
// reads on. It does nothing if reading is not paused. It may be called from any
// goroutine and inside callbacks. Errors are those of PauseReading.
func (c *Client) ResumeReading() error { return c.pauseReading("resume_reading", false) }

func (c *Client) pauseReading(op string, paused bool) error {
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	cPausedSet(c.c, paused)
	if !paused {
		c.resumes.Add(1)
	}
	c.wakeRun()
	return nil
}
