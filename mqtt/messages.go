//go:build cgo

package mqtt

import (
	"context"
	"iter"
)

// Messages subscribes and ranges over the messages of a filter, in the order of
// arrival, across reconnects. It ends when ctx does, without an error; a refusal
// of the subscription, or the end of the client, is one, with which it ends. The
// subscription is taken back when the loop is left, unless there are others of the
// filter. A thousand messages wait for the loop; then reading pauses until it goes
// on. The loop may call and wait for anything.
//
//	for m, err := range client.Messages(ctx, "sensors/#", 1) {
//		if err != nil { ... }
//	}
func (c *Client) Messages(ctx context.Context, filter string, qos QoSLevel, options ...SubscribeOption) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		t := &target{inbox: c.newInbox(c.opts.iteratorBound, Block)}
		defer c.leaveMessages(filter, t)
		w, err := wishFor(t, filter, qos, options)
		if err == nil {
			err = c.subscribeAll(ctx, []wish{w})
		}
		if err != nil {
			if ctx.Err() == nil {
				yield(Message{}, err)
			}
			return
		}
		for c.yieldNext(ctx, t.inbox, yield) {
		}
	}
}

// yieldNext waits for a message and yields it. false is the end.
func (c *Client) yieldNext(ctx context.Context, b *inbox, yield func(Message, error) bool) (more bool) {
	d, ok := b.pop(ctx.Done())
	if !ok {
		if ctx.Err() == nil {
			yield(Message{}, b.why(c))
		}
		return false
	}
	b.consume(func() { more = yield(d.message, nil) })
	return more
}

// why is the reason for which an inbox was closed.
func (b *inbox) why(c *Client) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	return c.endErr()
}

// leaveMessages takes an iterator's subscription back, without waiting.
func (c *Client) leaveMessages(filter string, t *target) {
	c.dropInbox(t.inbox)
	c.mu.Lock()
	defer c.unlock()
	if sub := c.subs.byFilter[filter]; sub != nil {
		c.subs.detach(c, sub, t)
		c.reconcile()
	}
}

// failIterators ends the iterators over a subscription that is lost.
func (c *Client) failIterators(sub *subscription, err error) {
	c.mu.Lock()
	targets := sub.targets
	c.mu.Unlock()
	for _, t := range targets {
		if t.inbox != nil {
			t.inbox.fail(err)
		}
	}
}
