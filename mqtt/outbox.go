//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"slices"
)

// Outbox stores messages of QoS 1 and 2 until they are acknowledged, so that they
// survive the process: see [WithOutbox]. Its methods must be safe for concurrent use. At
// most one client may use an outbox at a time.
type Outbox interface {
	// Put stores a message durably before it returns. Keys rise in the order of the
	// calls. Put must not keep p.
	Put(p *Publication) (key uint64, err error)
	// Delete removes an acknowledged message. It must not wait for the disk. If a crash
	// loses the deletion, the message is delivered once more.
	Delete(key uint64)
	// Load calls f for each message whose key is above after, in the order of the keys,
	// until f returns false. f may keep the messages.
	Load(after uint64, f func(key uint64, p *Publication) bool) error
}

// backlog is the reading position in the messages that an earlier process left in the
// outbox. They are read as the queue has capacity. While messages are unread, the queue
// accepts no new messages (queue.unread), so new messages have higher keys. Owned by the
// goroutine that reads, except err, which the loop owns.
type backlog struct {
	last uint64 // key that was read last
	err  error  // why the outbox could not be read
}

// loadOutbox queues the messages of an earlier process, as far as the queue has
// capacity. A goroutine reads further messages.
func (c *Client) loadOutbox() error {
	if c.opts.outbox == nil {
		return nil
	}
	c.queue.unread, c.queue.readable = true, make(chan struct{}, 1)
	unread, err := c.readBacklog()
	if unread && err == nil {
		c.goroutines.Add(1)
		go c.readRest()
	}
	return err
}

// readRest reads further messages whenever the queue has capacity. A read error ends the
// client: without the unread messages the order of delivery would be lost.
func (c *Client) readRest() {
	defer c.goroutines.Done()
	for {
		select {
		case <-c.queue.readable:
		case <-c.connectCtx.Done():
			return
		}
		unread, err := c.readBacklog()
		if err != nil {
			c.do(func() {
				c.backlog.err = err
				c.cancelConnect()
			})
		}
		if !unread {
			return
		}
	}
}

// readBacklog queues as many messages as fit. unread reports whether more messages
// follow.
func (c *Client) readBacklog() (unread bool, err error) {
	page, unread, err := c.loadPage(c.backlog.last)
	if err != nil {
		return false, fmt.Errorf("mqtt: outbox: %w", err)
	}
	if len(page) > 0 {
		c.backlog.last = page[len(page)-1].key
	}
	if c.queue.addPage(page, unread) {
		c.wake()
	}
	return unread, nil
}

// addPage queues messages of the outbox. It reports false if the client has ended.
func (q *queue) addPage(page []*Token, unread bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	for _, t := range page {
		q.reserve(t.size)
		q.append(t)
	}
	if q.unread = unread; !unread {
		q.grant()
		notify(q.emptied)
	}
	return true
}

// free returns the free capacity of the queue. Only loadPage uses this capacity while
// the outbox has unread messages.
func (q *queue) free() (messages, bytes int, empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limits.messages - q.messages, q.limits.bytes - q.bytes, q.messages == 0
}

// loadPage reads the messages that fit into the queue.
func (c *Client) loadPage(after uint64) (page []*Token, unread bool, err error) {
	var bad error
	messages, bytes, empty := c.queue.free()
	err = c.opts.outbox.Load(after, func(key uint64, p *Publication) bool {
		if bad = c.checkStored(p); bad != nil {
			return false
		}
		t := c.storedToken(key, p)
		alone := empty && len(page) == 0 // an oversized message must have the queue to itself
		if unread = !alone && (messages < 1 || t.size > bytes); unread {
			return false
		}
		messages, bytes = messages-1, bytes-t.size
		page = append(page, t)
		return true
	})
	return page, unread, joinErrors(bad, err)
}

// storedToken makes the token of a message of an earlier process. No caller waits for
// the message, so a failure is logged.
func (c *Client) storedToken(key uint64, p *Publication) *Token {
	t := &Token{client: c, pub: *p, key: key, stored: true}
	t.size = p.size()
	topic := p.Topic
	t.outcome = func(err error) {
		if err != nil && !errors.Is(err, ErrClosed) {
			c.log.storedMessageLost(topic, err)
		}
	}
	return t
}

// checkStored returns an error for a message that this client could never send.
func (c *Client) checkStored(p *Publication) error {
	if len(p.Properties) > 0 && !slices.Contains(c.opts.protocols, V5) {
		return badArgument("WithProtocol", "a stored message on %q has properties that need MQTT 5", p.Topic)
	}
	return nil
}
