package mqtt

import (
	"context"
	"sync"
	"time"
)

// lazyTimeout is a context that ends some time after Done was called first. Publish uses
// it, because most calls do not wait: they need no timer. Only one goroutine may use it.
type lazyTimeout struct {
	context.Context
	limit  time.Duration
	cancel context.CancelFunc // nil before Done was called
}

var lazyTimeouts = sync.Pool{New: func() any { return &lazyTimeout{Context: context.Background()} }}

func newLazyTimeout(limit time.Duration) *lazyTimeout {
	c := lazyTimeouts.Get().(*lazyTimeout)
	c.limit = limit
	return c
}

// Done returns a channel that is closed at the end.
func (c *lazyTimeout) Done() <-chan struct{} {
	if c.cancel == nil {
		c.Context, c.cancel = context.WithTimeout(c.Context, c.limit)
	}
	return c.Context.Done()
}

// release ends the context. If it has no timer, it can be used again.
func (c *lazyTimeout) release() {
	if c.cancel == nil {
		lazyTimeouts.Put(c)
		return
	}
	c.cancel()
}
