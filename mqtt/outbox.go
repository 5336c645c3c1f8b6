//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"slices"
)

// Outbox keeps messages of QoS 1 and 2 until they are acknowledged, so that they
// survive the process: see [WithOutbox]. Its methods may be called from any
// goroutine. One client at a time uses it.
type Outbox interface {
	// Put stores a message durably before it returns, and gives it a key. Keys
	// rise in the order of the calls. The message is the caller's again then.
	Put(p *Publication) (key uint64, err error)
	// Delete forgets a message that was acknowledged. It must not wait for the
	// disk: a message whose deletion is lost in a crash is delivered once more.
	Delete(key uint64)
	// Load calls f with the messages whose keys are above after, in the order of
	// the keys, until f returns false. The messages are f's to keep.
	Load(after uint64, f func(key uint64, p *Publication) bool) error
}

// backlog is what an earlier process has left in the outbox. It is read as the
// queue has room for it. While some of it is unread the queue takes nothing else
// (room.unread), so that all else has higher keys. Guarded by the client's mu.
type backlog struct {
	last uint64        // key that was read
	room chan struct{} // told when it is time to read on
	err  error         // why it could not be read
}

// loadOutbox queues what an earlier process has left, or the beginning of it.
func (c *Client) loadOutbox() error {
	if c.opts.outbox == nil {
		return nil
	}
	c.out.room.unread = true
	c.backlog.room = make(chan struct{}, 1)
	unread, err := c.readBacklog()
	if unread && err == nil {
		c.working.Add(1)
		go c.readOn()
	}
	return err
}

// readOn reads the rest of the backlog, as there is room. The client cannot go on
// without it: what is behind would be sent first, or never.
func (c *Client) readOn() {
	defer c.working.Done()
	for {
		select {
		case <-c.backlog.room:
		case <-c.link.Done():
			return
		}
		unread, err := c.readBacklog()
		if err != nil {
			c.mu.Lock()
			c.backlog.err = err
			c.mu.Unlock()
			c.cut()
		}
		if !unread {
			return
		}
	}
}

// readBacklog queues as many messages as there is room for.
func (c *Client) readBacklog() (unread bool, err error) {
	c.mu.Lock()
	last, room := c.backlog.last, c.out.room
	c.mu.Unlock()
	page, unread, err := c.loadPage(last, room)
	if err != nil {
		return false, fmt.Errorf("mqtt: outbox: %w", err)
	}
	c.mu.Lock()
	defer c.unlock()
	if c.ended {
		return false, nil
	}
	for _, t := range page {
		c.out.room.add(t.size)
		c.backlog.last = t.key
		c.out.accept(t)
		c.out.add(t)
	}
	if !unread {
		c.out.room.unread = false
		c.grant()
		notify(c.flushed)
	}
	c.pump()
	return unread, nil
}

// loadPage reads what fits into the room. Only the backlog takes room meanwhile.
func (c *Client) loadPage(after uint64, r room) (page []*Token, unread bool, err error) {
	var bad error
	err = c.opts.outbox.Load(after, func(key uint64, p *Publication) bool {
		if bad = c.checkLeft(p); bad != nil {
			return false
		}
		t := c.leftToken(key, p)
		if unread = r.messages > 0 && !r.fits(t.size); unread { // a large one goes alone
			return false
		}
		r.add(t.size)
		page = append(page, t)
		return true
	})
	return page, unread, errors.Join(bad, err)
}

// leftToken is the token of a message that nobody waits for: if it is refused, the
// log tells.
func (c *Client) leftToken(key uint64, p *Publication) *Token {
	t := &Token{client: c, pub: *p, ended: make(chan struct{}), key: key, stored: true}
	t.size = p.size()
	t.tell = func(err error) {
		if err != nil && !errors.Is(err, ErrClosed) {
			c.log.lostLeft(t.pub.Topic, err)
		}
	}
	return t
}

// checkLeft refuses a message that this client could only throw away.
func (c *Client) checkLeft(p *Publication) error {
	if len(p.Properties) > 0 && !slices.Contains(c.opts.protocols, V5) {
		return badArgument("WithProtocol", "a message on %q is left, whose properties need MQTT 5", p.Topic)
	}
	return nil
}

// halfEmpty tells whether it is worth while to read on.
func (r *room) halfEmpty() bool {
	return r.messages <= r.maxMessages/2 && r.bytes <= r.maxBytes/2
}

// leftErr is the end of a message with the client: what is stored stays so.
func (t *Token) leftErr(err error) error {
	if t.stored {
		return errors.Join(err, ErrAbandoned)
	}
	return err
}

// mayGoAgain tells messages of which a payload is kept until they end.
func (t *Token) mayGoAgain() bool { return t.stored && t.pub.QoS == 2 }

// sessionLost marks the messages whose acknowledgement is worth nothing. The
// library goes on with the second half of QoS 2, and a broker that has thrown
// the first half away with the session answers as if it had it. What is in the
// outbox is published once more then. mu is held.
func (o *outgoing) sessionLost() {
	for _, first := range o.byMID {
		for t := first; t != nil; t = t.next {
			t.again = t.mayGoAgain()
		}
	}
}
