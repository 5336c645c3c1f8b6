//go:build cgo

package mqtt

import (
	"context"
	"time"
)

// lastMatch caches the targets of the last message's topic. Owned by the loop.
type lastMatch struct {
	found   []*target
	topic   string // the topic of found; "" if found is valid for one message only
	version uint64 // version of the router when found was computed
}

// onMessage is the library's callback for a message. Inline handlers run here. The
// worker and iterators get the message through their queues.
func (c *Client) onMessage(m *Message) {
	if c.mail.filled.Load() { // an Unsubscribe call takes effect before the next message
		c.runOperations()
	}
	if c.conn.failure != nil { // the exchange failed: the broker is not authenticated
		return
	}
	c.conn.useful = true
	m.Properties = c.withoutAlias(m.Properties)
	c.count.received.Add(1)
	c.count.bytesIn.Add(uint64(len(m.Payload)))
	c.find(m.Topic, m.Properties)
	outer := c.userCode.Swap(true)
	defer c.userCode.Store(outer)
	if len(c.opts.hooks) == 0 {
		c.dispatch(&c.handlerCtx, m, nil)
		return
	}
	c.dispatchHooked(*m)
}

// find looks up the targets of a message. Successive messages often have the same topic.
func (c *Client) find(topic string, props Properties) {
	at := &c.match
	if len(props) == 0 && topic == at.topic && c.router.version == at.version {
		return
	}
	at.found = c.router.match(topic, props, at.found[:0])
	at.topic, at.version = topic, c.router.version
	if len(props) > 0 { // the targets may depend on subscription identifiers
		at.topic = ""
	}
}

// dispatchHooked runs the Receive hooks around dispatch. It is a function of its own
// because &m makes the message escape to the heap.
func (c *Client) dispatchHooked(m Message) {
	ctx, ends := received(c.opts.hooks, &c.handlerCtx, &m)
	defer ends.done()
	c.dispatch(ctx, &m, ends)
}

// dispatch passes a message to the targets that the router has found.
func (c *Client) dispatch(ctx context.Context, m *Message, ends *receiveEnds) {
	if len(c.match.found) == 0 {
		c.unhandled(ctx, m, ends)
		return
	}
	for _, t := range c.match.found {
		switch {
		case t.ended.Load(): // a handler of this message has unsubscribed the target
		case t.inbox != nil:
			c.push(t.inbox, delivery{ctx: ctx, message: *m, target: t})
		case t.direct != nil:
			t.direct(*m)
		default:
			c.handle(ctx, t, m, ends)
		}
	}
}

// handle runs a handler, or queues the message for the worker.
func (c *Client) handle(ctx context.Context, t *target, m *Message, ends *receiveEnds) {
	if c.worker != nil {
		c.push(c.worker, delivery{ctx, *m, t, ends.add()})
		return
	}
	if !c.log.enabled() {
		t.handler(ctx, *m)
		return
	}
	start := time.Now()
	t.handler(ctx, *m)
	if took := time.Since(start); c.opts.keepalive > 0 && took > c.opts.keepalive/2 {
		c.log.slowHandler(m.Topic, took)
	}
}

// unhandled passes a message without a handler to the default handler.
func (c *Client) unhandled(ctx context.Context, m *Message, ends *receiveEnds) {
	c.count.unhandled.Add(1)
	if t := c.opts.unhandled; t != nil {
		c.handle(ctx, t, m, ends)
		return
	}
	c.log.unhandled(m.Topic)
}

// push queues a message for a consumer, and reports a dropped message to the hooks.
func (c *Client) push(b *inbox, d delivery) {
	dropped, isDropped := b.push(d)
	if !isDropped {
		return
	}
	c.count.dropped.Add(1)
	c.callHooks(func(h *Hooks) {
		if h.Dropped != nil {
			h.Dropped(&dropped.message)
		}
	})
	dropped.ends.done()
}

func (c *Client) callHooks(f func(*Hooks)) {
	for i := range c.opts.hooks {
		f(&c.opts.hooks[i])
	}
}
