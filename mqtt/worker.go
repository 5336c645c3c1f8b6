//go:build cgo

package mqtt

import "context"

// The worker runs handlers on one goroutine of its own, in the order of arrival.

type clientKey struct{}

// startWorker starts the worker's goroutine.
func (c *Client) startWorker() {
	c.worker = newInbox(c.opts.worker, c.opts.overflow, &c.flow)
	c.flow.add(c.worker)
	c.goroutines.Add(1)
	go c.work()
}

// work runs handlers until the client has ended, and what has come in by then.
func (c *Client) work() {
	defer c.goroutines.Done()
	for {
		d, ok := c.worker.pop(c.handlerCtx.Done())
		if !ok {
			c.dropRest()
			return
		}
		if !d.target.ended.Load() { // or Unsubscribe has returned
			c.worker.busy.Store(true)
			d.target.handler(context.WithValue(d.ctx, clientKey{}, c), d.message)
			c.worker.busy.Store(false)
		}
		d.ends.done()
	}
}

// dropRest removes what nobody will handle any more.
func (c *Client) dropRest() {
	c.worker.close()
	for d, ok := c.worker.tryPop(); ok; d, ok = c.worker.tryPop() {
		d.ends.done()
	}
}

// inWorkersContext reports whether ctx is that of a handler at work on the worker, which
// the end of the client would wait for.
func (c *Client) inWorkersContext(ctx context.Context) bool {
	return c.worker != nil && c.worker.busy.Load() && ctx.Value(clientKey{}) == c
}
