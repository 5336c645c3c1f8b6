//go:build cgo

package mqtt

import "context"

// The worker is a goroutine that runs handlers, in the order of arrival.

// clientKey is the key of the client in the context of a worker's handler.
type workerKey struct{}

// startWorker starts the worker's goroutine.
func (c *Client) startWorker() {
	c.worker = newInbox(c.opts.worker, c.opts.overflow, &c.flow)
	c.flow.add(c.worker)
	c.goroutines.Add(1)
	go c.work()
}

// work runs handlers until the queue is closed and empty, or handlerCtx ends.
func (c *Client) work() {
	defer c.goroutines.Done()
	for {
		d, ok := c.worker.pop(c.handlerCtx.Done())
		if !ok {
			c.dropRest()
			return
		}
		if !d.target.ended.Load() { // no handler runs after Unsubscribe has returned
			c.worker.busy.Store(true)
			d.target.handler(context.WithValue(d.ctx, workerKey{}, c), d.message)
			c.worker.busy.Store(false)
		}
		d.ends.done()
	}
}

// dropRest drops the messages that no handler will get.
func (c *Client) dropRest() {
	c.worker.close()
	for d, ok := c.worker.tryPop(); ok; d, ok = c.worker.tryPop() {
		d.ends.done()
	}
}

// inWorkersContext reports whether ctx derives from the context of a running worker's
// handler. Close would wait for that handler.
func (c *Client) inWorkersContext(ctx context.Context) bool {
	return c.worker != nil && c.worker.busy.Load() && ctx.Value(workerKey{}) == c
}
