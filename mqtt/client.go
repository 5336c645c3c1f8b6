//go:build cgo

package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Client is an MQTT client that keeps a connection to a broker. It reconnects after
// every connection loss. Its methods are safe for concurrent use. [Dial] makes clients. The
// methods of a nil or zero Client return errors.
type Client struct {
	// A client has three kinds of state. State that only the loop goroutine touches needs
	// no lock. Shared state has its own mutex or is atomic: no callback and no code of the
	// program runs while the mutex is held. All other state is set before the loop starts.

	// Immutable once the loop has started.
	opts        settings
	servers     []server
	log         clientLog
	handlerCtx  handlerContext     // the context of handlers
	endHandlers context.CancelFunc // ends handlerCtx only
	turnFunc    func()             // c.turn as a func value, made once to avoid allocations

	// Shared.
	connectCtx     lifetime                         // the context of connections and of the delays between them
	library        atomic.Pointer[mosquitto.Client] // the loop replaces it; loop.go lists the calls of other goroutines
	queue          queue
	mail           mailbox
	flow           flow
	status         status
	closer         closer
	responses      responses
	count          counters
	stateCalls     serial                  // calls of the state handler
	onConnectCalls serial                  // calls of the functions of WithOnConnect
	hookCalls      serial                  // calls of hooks outside callbacks of the library
	worker         *inbox                  // nil with inline handlers
	goroutines     sync.WaitGroup          // the worker, the reader of the outbox, and relays that end
	turnDue        atomic.Bool             // a turn of the loop is requested and has not begun
	wakeup         chan struct{}           // wakes the loop while it is not connected
	connack        atomic.Pointer[Connack] // of the connection; nil while offline
	protocol       atomic.Int32            // version of the connection, or of the attempt
	userCode       atomic.Bool             // the loop is running a handler, a hook or the logger
	done           chan struct{}           // closed when the client has ended

	// Owned by the loop.
	conn        *attempt      // the connection, or the current attempt
	first       chan struct{} // closed when StateConnected is reported for the first time; nil after that
	last        lastConnection
	inflight    inflight
	aliases     *topicAliases
	subs        subscriptions
	router      *router
	match       lastMatch
	requests    map[uint64]chan Message // pending Requests, by correlation data
	backlog     backlog
	skipBackoff bool // the next attempt is made at once
	retries     retries
	replace     bool // the library client is replaced before the next attempt
	hasUser     bool // the library client may have credentials
	tlsReady    bool // Dial has set the TLS settings of the first attempt
	setupTLS    bool // a function of WithLibrarySetup has set TLS up
}

// Dial makes a client and connects it to the first server that accepts it. A server is
// one of these:
//
//	mqtt://host:1883        tcp:// means the same
//	mqtts://host:8883       with TLS; ssl://, tls://, tcps:// and mqtt+ssl:// mean the same
//	unix:/path              a unix socket
//	ws://host:80/path       a websocket: needs libmosquitto 2.1
//	wss://host:443/path     a websocket with TLS: needs libmosquitto 2.1
//
// The URL may contain credentials. The ports above are the defaults. A bare host:port
// means mqtt. TLS is for all servers or for none.
//
// Dial returns when the broker has accepted the connection and granted the
// subscriptions of [WithSubscription], and the functions of [WithOnConnect] have
// returned. It returns an error if ctx ends, if all servers refuse permanently, or if a
// subscription is refused. Dial ends the client before it returns an error. ctx limits
// Dial only: the client lives until Close.
func Dial(ctx context.Context, servers []string, options ...Option) (*Client, error) {
	c, initial, err := newClient(ctx, servers, options)
	if err != nil {
		return nil, err
	}
	connected := c.first
	go c.run()
	if c.opts.background {
		return c, nil
	}
	if err := c.firstConnection(ctx, connected, initial); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

type clientKey struct{}

// handlerContext adds the client to a context. It is a part of the client: context.WithValue
// would allocate.
type handlerContext struct {
	context.Context
	client *Client
}

// Value implements context.Context, for FromContext.
func (h *handlerContext) Value(key any) any {
	if key == (clientKey{}) {
		return h.client
	}
	return h.Context.Value(key)
}

func (h *handlerContext) String() string { return "mqtt.Client's context of handlers" }

// FromContext returns the client whose handler was called with ctx, or with a context
// that ctx is derived from. It returns nil for other contexts. Handlers that run before
// Dial has returned the client use it.
func FromContext(ctx context.Context) *Client {
	c, _ := ctx.Value(clientKey{}).(*Client)
	return c
}

// newClient makes a client whose loop has not started. initial are the waiters of
// WithSubscription. ctx limits the call of KeyPassword.
func newClient(ctx context.Context, servers []string, options []Option) (c *Client, initial []*waiter, err error) {
	c = &Client{
		opts: defaults(), router: &router{},
		wakeup: make(chan struct{}, 1), first: make(chan struct{}), done: make(chan struct{}),
	}
	if err := c.opts.read(options); err != nil {
		return nil, nil, err
	}
	if c.servers, err = parseServers(servers); err != nil {
		return nil, nil, err
	}
	if err := c.checkTransport(); err != nil {
		return nil, nil, err
	}
	if err := c.checkAuth(); err != nil {
		return nil, nil, err
	}
	if err := c.checkAliases(); err != nil {
		return nil, nil, err
	}
	handlers, end := context.WithCancel(context.Background())
	c.handlerCtx, c.endHandlers = handlerContext{handlers, c}, end
	c.connectCtx.client = c
	c.turnFunc = c.turn
	c.log.logger = c.opts.logger
	c.queue.init(c.opts.queue)
	c.inflight = newInflight(&c.opts)
	if c.opts.assignAliases {
		c.aliases = &topicAliases{}
	}
	c.subs = newSubscriptions(c.opts.filtersPerPacket, c.closureLimit())
	c.status.server = c.servers[0].name
	if err := c.makeLibrary(); err != nil {
		c.cancelHandlers()
		return nil, nil, err
	}
	if err := c.tryTLS(ctx); err != nil {
		c.free()
		return nil, nil, err
	}
	if err := c.loadOutbox(); err != nil {
		c.free()
		return nil, nil, err
	}
	for _, s := range c.opts.subscriptions {
		w := c.addSubscription(s)
		initial = append(initial, w)
		if c.opts.background { // no call waits: a refusal is reported as at a reconnect
			w.subscription.waiters = nil
		}
	}
	if c.opts.trustSession {
		c.subs.trustSubscriptions()
	}
	if c.opts.worker > 0 {
		c.startWorker()
	}
	return c, initial, nil
}

// firstConnection blocks until the first connection has its subscriptions.
func (c *Client) firstConnection(ctx context.Context, connected <-chan struct{}, initial []*waiter) error {
	select {
	case <-connected:
	case <-c.done:
		return c.status.cause()
	case <-ctx.Done():
		return c.firstConnectionErr(ctx.Err())
	}
	return c.await(ctx, initial)
}

// firstConnectionErr returns the error of a Dial whose context has ended. If an attempt
// failed before, the error has its cause.
func (c *Client) firstConnectionErr(cause error) error {
	lastErr, accepted := c.status.lastError(), c.connack.Load() != nil
	if lastErr != nil && !accepted {
		return joinErrors(lastErr, cause)
	}
	state := "no CONNACK yet"
	if accepted {
		state = "accepted, " + c.missingForConnected()
	}
	return joinErrors(lastErr, &waitError{"connect " + c.status.currentServer(), "", state, cause})
}

// missingForConnected says what an accepted connection lacks for StateConnected.
func (c *Client) missingForConnected() string {
	if len(c.opts.onConnect) == 0 {
		return "waits for SUBACK"
	}
	return "waits for SUBACK, or for the functions of WithOnConnect"
}

// waitsFor says what a call waits for: for the connection, or what accepted says.
func (c *Client) waitsFor(accepted string) string {
	if c.connack.Load() != nil {
		return accepted
	}
	if err := c.status.lastError(); err != nil {
		return "not connected (" + withoutPrefix(err) + ")"
	}
	return "not connected"
}

// abort ends a client that Dial does not return. It waits at most abortPatience for
// handlers.
func (c *Client) abort() {
	c.closer.begin()
	c.cancelHandlers()
	select {
	case <-c.done:
	case <-time.After(abortPatience):
	}
}

// cancelHandlers ends the context of handlers, and all connections.
func (c *Client) cancelHandlers() {
	c.endHandlers()
	c.cancelConnect()
}

// cancelConnect ends the connection, and the attempts to make one.
func (c *Client) cancelConnect() { c.connectCtx.end(context.Canceled) }

// free releases the library client and the contexts.
func (c *Client) free() {
	c.cancelHandlers()
	c.library.Load().Close()
}

// Done returns a channel that is closed when the client has ended. Close ends a client. A
// permanent error before the first accepted connection also ends it. [Client.Err] returns
// the cause.
func (c *Client) Done() <-chan struct{} {
	if !c.made() {
		return closedChannel
	}
	return c.done
}

// Err returns why the client has ended: nil before the end, [ErrClosed] after Close.
// After a permanent error it returns that error joined with ErrClosed.
func (c *Client) Err() error {
	if err := c.check("err"); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.closedErr()
	default:
		return nil
	}
}

// closedErr returns the error of calls on a client that is closing or has ended.
func (c *Client) closedErr() error { return joinErrors(c.status.cause(), errClosed) }

// closedChannel is the channel of Done for a client that Dial has not made.
var closedChannel = func() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// made reports whether Dial has made the client: c is neither nil nor zero.
func (c *Client) made() bool { return c != nil && c.done != nil }

// check returns an error for a client that Dial has not made. op is the call.
func (c *Client) check(op string) error {
	if c.made() {
		return nil
	}
	return badArgument(op, "client: nil or zero, only Dial makes clients")
}

// Advice in the error of a call that must not block where it is.
const (
	insteadOfPublish = "use PublishAsync, another goroutine or WithHandlerMode(mqtt.Worker(...))"
	insteadOfWait    = "use Done in another goroutine, or WithHandlerMode(mqtt.Worker(...))"
	insteadOfBlock   = "use another goroutine or WithHandlerMode(mqtt.Worker(...))"
	insteadOfClose   = "use another goroutine and another context"
)

// mayBlock returns an error for a call that must not block here: Dial has not made the
// client, or an inline handler, a hook or the logger makes the call.
func (c *Client) mayBlock(op, instead string) error {
	if err := c.check(op); err != nil {
		return err
	}
	if c.inInlineHandler() {
		return &callbackError{op, "waits for the broker, which an inline handler or a hook must not do", instead}
	}
	return nil
}

// mayBlockFor is mayBlock for a call that waits for the functions of WithOnConnect.
func (c *Client) mayBlockFor(ctx context.Context, op, instead string) error {
	if err := c.mayBlock(op, instead); err != nil {
		return err
	}
	if c.onConnectCall(ctx) != nil {
		return &callbackError{op, "waits for the function of WithOnConnect that calls it", insteadOfClose}
	}
	return nil
}

// inInlineHandler reports whether the calling goroutine is the loop and is running a
// handler, a hook or the logger.
func (c *Client) inInlineHandler() bool {
	return c.userCode.Load() && c.library.Load().InCallback()
}

// runUserCode runs f on the loop, inside a callback of the library. Calls of f on the
// client can then be recognised, and return ErrInCallback instead of blocking the loop.
func (c *Client) runUserCode(f func()) {
	outer := c.userCode.Swap(true)
	defer c.userCode.Store(outer)
	f()
}

// runHook runs a hook. Outside a callback of the library, the loop must not run the
// program's code: inInlineHandler cannot recognise its calls, so they would block the
// loop.
func (c *Client) runHook(f func()) {
	if c.library.Load().InCallback() {
		c.runUserCode(f)
		return
	}
	c.hookCalls.add(f)
}
