//go:build cgo

package mqtt

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Client is a connection to an MQTT broker that is kept up. Its methods are safe
// for concurrent use.
//
// A client has three kinds of state. What only the loop goroutine touches needs no
// lock. What goroutines share has a mutex of its own, under which nothing is called.
// The rest is set before the loop starts.
type Client struct {
	// Immutable once the loop has started.
	opts           settings
	servers        []server
	log            clientLog
	handlerCtx     context.Context    // of the handlers
	cancelHandlers context.CancelFunc // ends life
	connectCtx     context.Context    // of the connections and the pauses between them
	cancelConnect  context.CancelFunc // ends link
	turnFunc       func()             // turn, as a value that is made once

	// Shared.
	library        atomic.Pointer[mosquitto.Client] // the loop replaces it; others only ask it for InCallback and Post
	queue          queue
	mail           mailbox
	flow           flow
	status         status
	closer         closer
	responses      responses
	count          counters
	stateCalls     serial // calls of the state handler
	hookCalls      serial // calls of hooks that no callback of the library makes
	worker         *inbox // nil with inline handlers
	goroutines     sync.WaitGroup
	turnDue        atomic.Bool            // a turn of the loop is due
	wakeup         chan struct{}          // wakes the loop while it is not connected
	brokerLimits   atomic.Pointer[limits] // of the connection; nil without one
	protocol       atomic.Int32           // of the connection, or the attempt
	userCode       atomic.Bool            // the loop runs a handler, a hook or the logger
	firstConnected chan struct{}          // closed at the first connection with all its subscriptions
	done           chan struct{}          // closed when the client has ended

	// Owned by the loop.
	files    []*os.File // that the library reads when it connects
	conn     *attempt   // the connection, or the attempt at one
	last     lastConnection
	inflight inflight
	subs     subscriptions
	router   *router
	match    lastMatch
	requests map[uint64]chan Message // by correlation data
	backlog  backlog
	replace  bool // the library client is replaced before the next attempt
}

// Dial makes a client and connects it to the first of the servers that accepts:
// mqtt://host:1883, mqtts://host:8883 (TLS), unix:/path, and with libmosquitto
// 2.1 ws://host:80/path and wss://host:443/path. The port may be left out,
// credentials may be part of the URL, a bare host:port means mqtt. Dial returns
// when the connection is accepted and the subscriptions of [WithSubscription] are
// granted. It returns an error when ctx ends, or when all servers refuse
// permanently. ctx bounds Dial alone; the client lives until Close.
func Dial(ctx context.Context, servers []string, options ...Option) (*Client, error) {
	c, initial, err := newClient(servers, options)
	if err != nil {
		return nil, err
	}
	go c.run()
	if c.opts.background {
		return c, nil
	}
	if err := c.firstConnection(ctx, initial); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// newClient prepares a client whose loop has not started.
func newClient(servers []string, options []Option) (c *Client, initial []*waiter, err error) {
	c = &Client{
		opts: defaults(), router: newRouter(), requests: map[uint64]chan Message{},
		wakeup: make(chan struct{}, 1), firstConnected: make(chan struct{}), done: make(chan struct{}),
	}
	if err := c.opts.read(options); err != nil {
		return nil, nil, err
	}
	if c.servers, err = parseServers(servers); err != nil {
		return nil, nil, err
	}
	if c.opts.tls != nil && !c.servers[0].tls {
		return nil, nil, errNoTLS
	}
	c.handlerCtx, c.cancelHandlers = context.WithCancel(context.Background())
	c.connectCtx, c.cancelConnect = context.WithCancel(c.handlerCtx)
	c.turnFunc = c.turn
	c.log.logger = c.opts.logger
	c.queue.init(c.opts.queue)
	c.closer.init()
	c.inflight = newInflight(&c.opts)
	c.subs = newSubscriptions(&c.opts)
	c.status.server = c.servers[0].name
	if err := c.makeLibrary(); err != nil {
		c.cancelHandlers()
		return nil, nil, err
	}
	if err := c.loadOutbox(); err != nil {
		c.free()
		return nil, nil, err
	}
	for _, s := range c.opts.subscriptions {
		initial = append(initial, c.addSubscription(s))
	}
	if c.opts.worker > 0 {
		c.startWorker()
	}
	return c, initial, nil
}

// firstConnection waits for the first connection and its subscriptions.
func (c *Client) firstConnection(ctx context.Context, initial []*waiter) error {
	select {
	case <-c.firstConnected:
	case <-c.done:
		return c.status.cause()
	case <-ctx.Done():
		return joinErrors(c.status.lastError(), ctx.Err())
	}
	return c.await(ctx, initial)
}

// abort ends a client that Dial does not return. A handler that does not return
// does not hold it up.
func (c *Client) abort() {
	c.closer.begin()
	c.cancelHandlers()
	select {
	case <-c.done:
	case <-time.After(endPatience):
	}
}

// free releases what the client holds outside Go.
func (c *Client) free() {
	c.cancelHandlers()
	c.library.Load().Close()
	closeAll(c.files)
}

// Done returns a channel that is closed when the client has ended: by Close, or by a
// permanent error of its first connection, which [Client.Err] returns.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended: nil before the end, [ErrClosed] after Close.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.closedErr()
	default:
		return nil
	}
}

// closedErr is what calls return when the client is closing or has ended.
func (c *Client) closedErr() error { return joinErrors(c.status.cause(), ErrClosed) }

// inInlineHandler reports whether the calling goroutine is the loop, in a handler, a
// hook or the logger.
func (c *Client) inInlineHandler() bool {
	return c.userCode.Load() && c.library.Load().InCallback()
}

// runUserCode runs f on the loop, inside a callback of the library: what f calls on the
// client is recognised by that.
func (c *Client) runUserCode(f func()) {
	outer := c.userCode.Swap(true)
	defer c.userCode.Store(outer)
	f()
}

// runHook runs a hook of the program's. Outside a callback of the library the loop
// must not run the program's code: a call in it that waits would wait for the loop.
func (c *Client) runHook(f func()) {
	if c.library.Load().InCallback() {
		c.runUserCode(f)
		return
	}
	c.hookCalls.add(f)
}
