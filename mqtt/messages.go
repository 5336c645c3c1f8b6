//go:build cgo

package mqtt

import (
	"context"
	"iter"
)

// Messages subscribes and ranges over the messages of a filter, in the order of
// arrival, across reconnects. It ends without an error when ctx ends, also with messages
// queued. It yields an error and ends when the broker refuses the subscription, another
// call unsubscribes the filter, or the client ends. When the loop is left, the
// subscription is removed, unless others have the filter. Up to 1,000 messages are queued
// for the loop; when the queue is full, the policy [Block] applies. The body of the loop
// may call and wait for anything.
//
//	for m, err := range client.Messages(ctx, "sensors/#", 1) {
//		if err != nil { ... }
//	}
func (c *Client) Messages(ctx context.Context, filter string, qos QoSLevel, options ...SubscribeOption) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		t := &target{inbox: newInbox(c.opts.iteratorLimit, Block, &c.flow)}
		if !c.flow.add(t.inbox) {
			yield(Message{}, c.closedErr())
			return
		}
		defer c.leaveMessages(filter, t)
		d, err := desireFor(t, filter, qos, options)
		if err == nil {
			err = c.subscribeAll(ctx, []desire{d})
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

// yieldNext waits for a message and yields it. It reports false at the end.
func (c *Client) yieldNext(ctx context.Context, b *inbox, yield func(Message, error) bool) (more bool) {
	d, ok := b.pop(ctx.Done())
	if ok {
		return yield(d.message, nil)
	}
	if ctx.Err() == nil {
		err := b.reason()
		if err == nil {
			err = c.closedErr()
		}
		yield(Message{}, err)
	}
	return false
}

// leaveMessages removes an iterator's subscription, without waiting.
func (c *Client) leaveMessages(filter string, t *target) {
	t.end(nil)
	c.flow.remove(t.inbox)
	c.do(func() {
		if sub := c.subs.byFilter[filter]; sub != nil {
			c.removeTarget(sub, t)
			c.reconcile()
		}
	})
}
