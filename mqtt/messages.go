//go:build cgo

package mqtt

import (
	"context"
	"iter"
)

// Messages returns an iterator over the messages that match a filter. It subscribes when
// the range loop begins, and yields messages in the order of arrival, across reconnects.
//
// The iterator ends without an error when ctx ends, even if messages are queued. It
// yields an error and ends if the broker refuses the subscription, if another call
// unsubscribes the filter, or if the client ends. When the range loop ends, the iterator
// removes the subscription, unless the filter has other handlers or iterators.
//
// The queue holds at most 1,000 messages. When it is full, the policy [Block] applies.
// The body of the range loop may call and wait for anything. Inside an inline handler
// the iterator yields [ErrInCallback].
//
//	for m, err := range client.Messages(ctx, "sensors/#", 1) {
//		if err != nil { ... }
//	}
func (c *Client) Messages(ctx context.Context, filter string, qos QoS, options ...SubscribeOption) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		const op = "messages"
		if err := c.mayBlock(op, insteadOfBlock); err != nil {
			yield(Message{}, err)
			return
		}
		t := &target{inbox: newInbox(c.opts.iteratorLimit, Block, &c.flow)}
		if !c.flow.add(t.inbox) {
			yield(Message{}, c.closedErr())
			return
		}
		defer c.unsubscribeMessages(filter, t)
		d, err := desireFor(t, filter, qos, options)
		if err == nil {
			err = c.subscribeAll(ctx, op, []desire{d})
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

// yieldNext blocks until there is a message, and yields it. It reports false at the end.
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

// unsubscribeMessages removes an iterator's subscription. It does not block.
func (c *Client) unsubscribeMessages(filter string, t *target) {
	t.end(nil)
	c.flow.remove(t.inbox)
	c.do(func() {
		if sub := c.subs.byFilter[filter]; sub != nil {
			c.removeTarget(sub, t)
			c.reconcile()
		}
	})
}
