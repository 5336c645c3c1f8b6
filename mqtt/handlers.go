//go:build cgo

package mqtt

import (
	"context"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// lastMatch is what the router has found for the last message. Owned by the loop.
type lastMatch struct {
	found   []*target
	topic   string // whose they are
	version uint64 // of the router
}

// onMessage is called by the library with each message. Inline handlers run here, others
// get the message through their queue.
func (c *Client) onMessage(_ *mosquitto.Client, m Message) {
	if c.mail.filled.Load() { // Unsubscribe counts from the call on
		c.runOperations()
	}
	c.conn.useful = true
	c.count.received.Add(1)
	c.count.bytesIn.Add(uint64(len(m.Payload)))
	c.find(m.Topic, m.Properties)
	outer := c.userCode.Swap(true)
	defer c.userCode.Store(outer)
	if len(c.opts.hooks) == 0 {
		c.dispatch(c.handlerCtx, m, nil)
		return
	}
	c.dispatchHooked(m)
}

// find looks for the targets of a message. A topic often comes several times in a
// row.
func (c *Client) find(topic string, props Properties) {
	at := &c.match
	if len(props) == 0 && topic == at.topic && c.router.version == at.version {
		return
	}
	at.found = c.router.match(topic, props, at.found[:0])
	at.topic, at.version = topic, c.router.version
	if len(props) > 0 { // they may name subscriptions
		at.topic = ""
	}
}

// dispatchHooked is apart since its message is allocated.
func (c *Client) dispatchHooked(m Message) {
	ctx, ends := received(c.opts.hooks, c.handlerCtx, &m)
	defer ends.done()
	c.dispatch(ctx, m, ends)
}

// dispatch gives a message to the targets that the router has found.
func (c *Client) dispatch(ctx context.Context, m Message, ends *receiveEnds) {
	if len(c.match.found) == 0 {
		c.unhandled(ctx, m, ends)
		return
	}
	for _, t := range c.match.found {
		switch {
		case t.ended.Load(): // by a handler of this message
		case t.inbox != nil:
			c.push(t.inbox, delivery{ctx: ctx, message: m, target: t})
		case t.direct != nil:
			t.direct(m)
		default:
			c.handle(ctx, t, m, ends)
		}
	}
}

// handle runs a handler, or queues the message for the worker.
func (c *Client) handle(ctx context.Context, t *target, m Message, ends *receiveEnds) {
	if c.worker != nil {
		c.push(c.worker, delivery{ctx, m, t, ends.add()})
		return
	}
	if !c.log.enabled() {
		t.handler(ctx, m)
		return
	}
	start := time.Now()
	t.handler(ctx, m)
	if took := time.Since(start); c.opts.keepalive > 0 && took > c.opts.keepalive/2 {
		c.log.slowHandler(m.Topic, took)
	}
}

func (c *Client) unhandled(ctx context.Context, m Message, ends *receiveEnds) {
	c.count.unhandled.Add(1)
	if t := c.opts.unhandled; t != nil {
		c.handle(ctx, t, m, ends)
		return
	}
	c.log.unhandled(m.Topic)
}

// push queues a message for a consumer, as the policy of its queue says. Hooks get what
// was dropped.
func (c *Client) push(b *inbox, d delivery) {
	dropped, any := b.push(d)
	if !any {
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
