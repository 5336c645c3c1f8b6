//go:build cgo

package mosquitto

// delivery is a message, or another event, that a callback has not seen yet.
type delivery struct {
	message Message
	event   func() // nil for a message
}

// deliveries holds what the library has read and no callback has seen, in the
// order of arrival. The loop owns it.
type deliveries struct {
	pending []delivery
	next    int // the first of pending that was not delivered
}

func (d *deliveries) holds() bool { return d.next < len(d.pending) }

func (d *deliveries) add(c *Client, one delivery) {
	d.pending = append(d.pending, one)
	cPendingSet(c.c, true)
}

// take removes the first delivery.
func (d *deliveries) take(c *Client) delivery {
	one := d.pending[d.next]
	d.pending[d.next] = delivery{}
	d.next++
	if !d.holds() {
		d.reset(c)
	}
	return one
}

const keptDeliveries = 1024 // capacity that is kept for the next time

func (d *deliveries) reset(c *Client) {
	clear(d.pending)
	d.pending, d.next = d.pending[:0], 0
	if cap(d.pending) > keptDeliveries {
		d.pending = nil
	}
	cPendingSet(c.c, false)
}

// holdsMessages reports whether messages must not reach the callback now. Only
// the loop calls it.
func (c *Client) holdsMessages() bool { return c.run.Load() != nil && cKeepsMessages(c.c) }

// deliverPending runs the callbacks of pending deliveries until PauseReading is
// called. The caller is in a callback frame.
func (c *Client) deliverPending() {
	for !c.holdsMessages() && c.deliverOne() {
	}
}

// deliverAll is deliverPending without regard to PauseReading.
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
	if one.event != nil {
		one.event()
	} else if f, ok := c.listeners.message.get(); ok {
		f(c, one.message)
	}
	return true
}

// PauseReading stops [Client.Run] and [Client.RunOnce] from reading and from
// delivering messages, for a program whose own queue is full. It wraps no C
// function. Run still writes, keeps the connection alive and runs functions
// that [Client.Post] queued. Messages that were read already are kept for
// [Client.ResumeReading].
//
// Messages arrive all the same in three cases: while Run waits for a PINGRESP,
// because it lies behind the data (at most 1 MiB for each PINGREQ, counted in
// bytes of topics and payloads); with QoS 1 or 2, when they lie in one read of
// the library, at most 4 KiB, with the message whose callback paused; after
// Disconnect. A pause lasts until ResumeReading: a new connection does not end
// it. The broker's CONNACK is always read.
//
// PauseReading may be called from any goroutine and inside callbacks, and
// blocks on nothing. It returns [ErrClosed] after Close and [ErrInCallback]
// inside OnLog. The loops other than Run and RunOnce do not look at it.
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
	c.wakeRun()
	return nil
}
