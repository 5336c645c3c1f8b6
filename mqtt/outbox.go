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

// backlog is what an earlier process has left in the outbox. It is read as the queue
// has room for it. While some of it is unread, the queue takes nothing else
// (queue.unread), so that all else has higher keys. The goroutine that reads it owns it,
// but for err, which the loop owns.
type backlog struct {
	last uint64 // key that was read
	err  error  // why it could not be read
}

// loadOutbox queues what an earlier process has left, or the beginning of it.
func (c *Client) loadOutbox() error {
	if c.opts.outbox == nil {
		return nil
	}
	c.queue.unread = true
	unread, err := c.readBacklog()
	if unread && err == nil {
		c.goroutines.Add(1)
		go c.readRest()
	}
	return err
}

// readRest reads the rest of the backlog, as there is room. The client cannot go on
// without it: what is behind would be sent first, or never.
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

// readBacklog queues as many messages as there is room for.
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

// addPage queues messages of the outbox. It reports false when the client has ended.
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

// space is how much room a queue has. Only the backlog takes room while it is unread.
func (q *queue) free() (messages, bytes int, empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limits.messages - q.messages, q.limits.bytes - q.bytes, q.messages == 0
}

// loadPage reads what fits into the queue.
func (c *Client) loadPage(after uint64) (page []*Token, unread bool, err error) {
	var bad error
	messages, bytes, empty := c.queue.free()
	err = c.opts.outbox.Load(after, func(key uint64, p *Publication) bool {
		if bad = c.checkStored(p); bad != nil {
			return false
		}
		t := c.storedToken(key, p)
		alone := empty && len(page) == 0 // a large one goes alone
		if unread = !alone && (messages < 1 || t.size > bytes); unread {
			return false
		}
		messages, bytes = messages-1, bytes-t.size
		page = append(page, t)
		return true
	})
	return page, unread, joinErrors(bad, err)
}

// storedToken is the token of a message that nobody waits for: if it is refused, the
// log says so.
func (c *Client) storedToken(key uint64, p *Publication) *Token {
	t := &Token{client: c, pub: *p, ended: make(chan struct{}), key: key, stored: true}
	t.size = p.size()
	topic := p.Topic
	t.outcome = func(err error) {
		if err != nil && !errors.Is(err, ErrClosed) {
			c.log.storedMessageLost(topic, err)
		}
	}
	return t
}

// checkStored refuses a message that this client could only throw away.
func (c *Client) checkStored(p *Publication) error {
	if len(p.Properties) > 0 && !slices.Contains(c.opts.protocols, V5) {
		return badArgument("WithProtocol", "a message on %q is left, whose properties need MQTT 5", p.Topic)
	}
	return nil
}
