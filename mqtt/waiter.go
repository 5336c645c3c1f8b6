//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// waiter is a Subscribe or Unsubscribe call that waits for the broker's reply. Owned by
// the loop, except decided and result.
type waiter struct {
	subscription *subscription
	subscribe    bool
	revision     int // revision of the subscription that this call made
	target       *target
	previous     previous
	granted      *QoS
	decided      atomic.Bool // the loop has completed the wait, or the caller has stopped waiting
	result       chan error
}

// previous is the subscription that a Subscribe call has replaced.
type previous struct {
	handler *target
	qos     QoS
	options mosquitto.SubscribeOptions
	granted bool // the broker has it
}

// newWaiter makes the waiter of a call. A desire without a target means Unsubscribe.
func (sub *subscription) newWaiter(d desire) *waiter {
	return &waiter{
		subscription: sub, subscribe: d.target != nil, target: d.target, granted: d.granted, result: make(chan error, 1),
		previous: previous{qos: sub.qos, options: sub.options, granted: sub.desired && (sub.state == granted || sub.state == outdated)},
	}
}

// complete ends the wait, unless the caller has stopped waiting.
func (w *waiter) complete(err error) {
	if w.decided.CompareAndSwap(false, true) {
		w.result <- err
	}
}

// grant completes the wait for a granted subscription. It always returns true.
func (w *waiter) grant(qos QoS) bool {
	if w.decided.CompareAndSwap(false, true) {
		if w.granted != nil {
			*w.granted = qos
		}
		w.result <- nil
	}
	return true
}

// takeWaiters removes and returns the waiters that a reply is for.
func (sub *subscription) takeWaiters(subscribe bool, revision int) (taken []*waiter) {
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		matches := w.subscribe == subscribe && w.revision <= revision
		if matches {
			taken = append(taken, w)
		}
		return matches
	})
	return taken
}

// completeWaiters completes the waiters that a reply is for.
func (sub *subscription) completeWaiters(subscribe bool, revision int, err error) {
	for _, w := range sub.takeWaiters(subscribe, revision) {
		w.complete(err)
	}
}

// supersede ends the waits of earlier, opposite calls: their packets may never be sent.
func (sub *subscription) supersede(subscribe bool) {
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		opposite := w.subscribe != subscribe
		if opposite {
			w.complete(sub.supersededErr())
		}
		return opposite
	})
}

func (sub *subscription) supersededErr() error {
	return fmt.Errorf("mqtt: filter %q: %w", sub.filter, ErrSuperseded)
}

// stopErr returns the error of a wait that the caller has ended.
func (w *waiter) stopErr(cause error, c *Client) error {
	if w.subscribe {
		return &waitError{subscribeTo, w.subscription.filter, c.waitsFor("waits for SUBACK"), cause}
	}
	return &waitError{"unsubscribe from", w.subscription.filter, c.waitsFor("waits for UNSUBACK"), cause}
}

// await blocks until the broker has replied to all waiters. If ctx ends first,
// subscriptions that are not granted are cancelled.
func (c *Client) await(ctx context.Context, waiters []*waiter) error {
	if len(waiters) == 0 {
		return nil
	}
	full := c.flow.beginWait()
	defer c.flow.endWait()
	var failed []error
	var ended error
	for _, w := range waiters {
		err, replied := c.awaitOne(ctx, w, full)
		if replied {
			failed = append(failed, err)
		} else {
			ended = err
		}
	}
	return joinErrors(append(failed, ended)...)
}

// awaitOne waits for one reply. replied is false if the caller has stopped waiting.
func (c *Client) awaitOne(ctx context.Context, w *waiter, full <-chan struct{}) (err error, replied bool) {
	select {
	case err := <-w.result:
		return err, true
	case <-full:
		err = ErrHandlerQueueFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !w.decided.CompareAndSwap(false, true) {
		return <-w.result, true
	}
	c.do(func() { c.cancelWaiter(w) })
	return w.stopErr(err, c), false
}
