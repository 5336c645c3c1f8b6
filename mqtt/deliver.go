//go:build cgo

package mqtt

import (
	"context"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// onMessage is called by the loop with each message: to the handlers at once, or
// to the queues of those who have one.
func (c *Client) onMessage(_ *mosquitto.Client, m Message) {
	c.count.received.Add(1)
	c.count.bytesIn.Add(uint64(len(m.Payload)))
	c.find(m.Topic, m.Properties)
	c.delivering.Store(true)
	defer c.delivering.Store(false)
	if len(c.opts.hooks) == 0 {
		c.dispatch(c.life, m)
		return
	}
	c.dispatchHooked(m)
}

// find looks for the targets of a message. A topic often comes several times in a
// row.
func (c *Client) find(topic string, props Properties) {
	version := c.router.version.Load()
	if len(props) == 0 && topic == c.foundTopic && version == c.foundVersion {
		return
	}
	c.found = c.router.match(topic, props, c.found[:0])
	c.foundTopic, c.foundVersion = topic, version
	if len(props) > 0 { // they may name subscriptions
		c.foundTopic = ""
	}
}

// dispatchHooked is apart since its message is allocated.
func (c *Client) dispatchHooked(m Message) {
	ctx, passed := received(c.opts.hooks, c.life, &m)
	defer passed.done()
	c.passed = passed
	c.dispatch(ctx, m)
	c.passed = nil
}

// dispatch hands a message to those whom the router found.
func (c *Client) dispatch(ctx context.Context, m Message) {
	if len(c.found) == 0 {
		c.unhandled(ctx, m)
		return
	}
	for _, t := range c.found {
		switch {
		case t.inbox != nil:
			t.inbox.push(delivery{ctx: ctx, message: m}, c.life.Done())
		case t.direct != nil:
			t.direct(m)
		default:
			c.handle(ctx, t.handler, m)
		}
	}
}

// handle runs a handler here or lets the worker run it.
func (c *Client) handle(ctx context.Context, h Handler, m Message) {
	if c.worker != nil {
		c.worker.push(delivery{ctx, m, h, c.passed.also()}, c.life.Done())
		return
	}
	if !c.log.watching() {
		h(ctx, m)
		return
	}
	start := time.Now()
	h(ctx, m)
	if took := time.Since(start); c.opts.keepalive > 0 && took > c.opts.keepalive/2 {
		c.log.slowHandler(m.Topic, took)
	}
}

func (c *Client) unhandled(ctx context.Context, m Message) {
	c.count.unhandled.Add(1)
	if h := c.opts.unhandled; h != nil {
		c.handle(ctx, h, m)
		return
	}
	c.log.unhandled(m.Topic)
}

// newInbox makes the queue of a consumer.
func (c *Client) newInbox(bound int, overflow Overflow) *inbox {
	b := newInbox(bound, overflow)
	b.patience = max(c.opts.keepalive/2, time.Second)
	b.dropped = c.dropped
	b.blocked = func() { c.log.blocked(b.patience) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		b.closed = true
		return b
	}
	c.inboxes[b] = true
	c.consumers.Add(1)
	return b
}

func (c *Client) dropInbox(b *inbox) {
	b.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inboxes[b] {
		delete(c.inboxes, b)
		c.consumers.Add(-1)
	}
}

// dropped is called for a message that found no room.
func (c *Client) dropped(m *Message) {
	c.count.dropped.Add(1)
	c.callHooks(func(h *Hooks) {
		if h.Dropped != nil {
			h.Dropped(m)
		}
	})
}

func (c *Client) callHooks(f func(*Hooks)) {
	for i := range c.opts.hooks {
		f(&c.opts.hooks[i])
	}
}

// work runs handlers until the client has ended, and what has come in by then.
func (c *Client) work() {
	defer c.working.Done()
	for {
		d, ok := c.worker.pop(c.life.Done())
		if !ok {
			c.worker.forget()
			return
		}
		c.worker.consume(func() {
			for ok {
				d.handler(d.ctx, d.message)
				d.passed.done()
				d, ok = c.worker.tryPop()
			}
		})
	}
}

// inInlineHandler tells whether the calling goroutine is the loop, in a handler,
// a hook or the logger.
func (c *Client) inInlineHandler() bool {
	return (c.delivering.Load() || len(c.opts.hooks) > 0 || c.log.watching()) && c.m.InCallback()
}

// inHandler tells whether the calling goroutine runs a handler.
func (c *Client) inHandler() bool {
	return c.inInlineHandler() || c.worker != nil && c.worker.isConsumer()
}

// mayWait is asked before a call waits for the broker: the loop must not, and
// for a consumer the bound of its queue is lifted until restore is called. The
// context is the one to wait with.
func (c *Client) mayWait(ctx context.Context) (waiting context.Context, restore func(), err error) {
	if c.inInlineHandler() {
		return ctx, nil, ErrInCallback
	}
	waiting, restore = c.lift(ctx)
	return waiting, restore, nil
}

func nothing() {}

// lift takes the bound of a queue away, if the calling goroutine is its consumer.
func (c *Client) lift(ctx context.Context) (waiting context.Context, restore func()) {
	if c.consumers.Load() == 0 {
		return ctx, nothing
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := range c.inboxes {
		if l := b.lift(ctx); l != nil {
			return l, func() { b.restore(l) }
		}
	}
	return ctx, nothing
}
