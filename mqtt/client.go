//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Client is a connection to an MQTT broker that is kept up. Its methods may be
// called from any goroutine.
type Client struct {
	opts    settings
	servers []server
	m       *mosquitto.Client // what speaks MQTT
	files   []*os.File        // that it reads when it connects
	log     journal
	router  *router
	worker  *inbox // nil with inline handlers
	working sync.WaitGroup
	notify  notifier
	count   counters

	life    context.Context // of the handlers
	end     context.CancelFunc
	link    context.Context // of the connections and the pauses between
	cut     context.CancelFunc
	closing chan struct{} // Close was called, or the client has failed
	done    chan struct{} // the client has ended
	up      chan struct{} // it was connected once
	flushed chan struct{} // told when nothing is left to send

	returned *sync.Cond // of mu: told when a call into the library has returned

	mu          sync.Mutex
	state       State
	online      bool   // accepted, and not yet lost
	epoch       uint64 // counts acceptances and losses
	server      string // the one that we are connected to, or try
	lastServer  string // the one that knows our subscriptions
	identifiers bool   // the broker has subscription identifiers
	leaving     bool   // there is to be no other connection
	ended       bool   // nothing is accepted any more
	err         error  // why it ended, nil after Close
	lastErr     error  // why the last connection, or attempt, ended
	unsent      []Unsent
	unread      bool          // the outbox has more
	changed     chan struct{} // closed at the next change of state
	out         outgoing
	backlog     backlog
	subs        subscriptions
	trying      *attempt        // the connection, or the attempt at one
	settled     bool            // StateConnected was announced for this connection
	toTell      []*Token        // ended, and their hooks not told
	untold      []func()        // what the logger and the hooks are to be told
	inboxes     map[*inbox]bool // of consumers, the worker's among them
	requests    requests

	found        []*target // of the message at hand; the loop's, as the next two
	passed       *passing  // of the message at hand, with hooks; the loop's
	foundTopic   string    // whose they are
	foundVersion uint64    // of the router

	protocol   atomic.Int32 // of the connection, or the attempt
	consumers  atomic.Int32 // inboxes
	delivering atomic.Bool  // the loop runs handlers or hooks
}

// Dial makes a client and connects it to the first of the servers that accepts:
// mqtt://host:1883, mqtts://host:8883 (TLS), unix:/path, and with libmosquitto
// 2.1 ws://host:80/path and wss://host:443/path. The port may be left out,
// credentials may be part of the URL, a bare host:port is mqtt. It returns when
// the connection is accepted and the subscriptions of [WithSubscription] are
// granted, or with an error: when ctx ends, or when all servers refuse in a way
// that no retry mends. ctx is for that alone; the client lives until Close.
func Dial(ctx context.Context, servers []string, options ...Option) (*Client, error) {
	c, initial, err := newClient(servers, options)
	if err != nil {
		return nil, err
	}
	go c.manage()
	if c.opts.background {
		return c, nil
	}
	if err := c.firstUp(ctx, initial); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// newClient prepares a client that does not connect yet.
func newClient(servers []string, options []Option) (c *Client, initial []*waiter, err error) {
	c = &Client{
		opts: defaults(), router: newRouter(), inboxes: map[*inbox]bool{},
		closing: make(chan struct{}), done: make(chan struct{}), up: make(chan struct{}), flushed: make(chan struct{}, 1),
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
	c.life, c.end = context.WithCancel(context.Background())
	c.link, c.cut = context.WithCancel(c.life)
	c.returned = sync.NewCond(&c.mu)
	c.log = journal{c.opts.logger}
	c.notify.handler = c.opts.state
	c.out = outgoing{room: c.opts.queue, inflight: c.opts.inflight, inflight2: c.opts.inflight2, byMID: map[int]*Token{}}
	c.subs = subscriptions{byFilter: map[string]*subscription{}, byMID: map[int]*request{}}
	c.server = c.servers[0].name
	if err := c.makeLibraryClient(); err != nil {
		return nil, nil, err
	}
	if err := c.loadOutbox(); err != nil {
		c.free()
		return nil, nil, err
	}
	for _, w := range c.opts.subscriptions {
		initial = append(initial, c.subs.want(c, w))
	}
	if c.opts.worker > 0 {
		c.worker = c.newInbox(c.opts.worker, c.opts.overflow)
		c.working.Add(1)
		go c.work()
	}
	return c, initial, nil
}

// makeLibraryClient makes the client underneath, with all settings but those of
// a connection.
func (c *Client) makeLibraryClient() (err error) {
	s := &c.opts
	if c.m, err = mosquitto.New(s.clientID, !s.keepSession, nil); err != nil {
		return err
	}
	c.protocol.Store(int32(s.protocols[0]))
	steps := []func() error{
		func() error { return c.m.IntOption(mosquitto.OptTCPNodelay, 1) },
		func() error { return c.m.MaxInflightMessagesSet(s.inflight) },
		// Copies of QoS 2 messages that the library keeps after losses use the
		// receive maximum up, and then every connection ends: see docs/reliability.md.
		func() error { return c.m.IntOption(mosquitto.OptReceiveMaximum, math.MaxUint16) },
		c.applyTLS,
		func() error { return c.setProtocol(s.protocols[0]) },
		c.applyWill,
		func() error {
			for _, f := range s.setup {
				if err := f(c.m); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			c.free()
			return fmt.Errorf("mqtt: %w", err)
		}
	}
	c.m.OnConnect(c.onConnect)
	c.m.OnDisconnect(c.onDisconnect)
	c.m.OnPublish(c.onPublish)
	c.m.OnSubscribe(c.onSubscribe)
	c.m.OnUnsubscribe(c.onUnsubscribe)
	c.m.OnMessage(c.onMessage)
	return nil
}

func (c *Client) applyTLS() (err error) {
	if !c.servers[0].tls {
		return nil
	}
	t := c.opts.tls
	if t == nil {
		t = &TLS{}
	}
	c.files, err = t.apply(c.m)
	return err
}

func (c *Client) applyWill() error {
	w := c.opts.will
	switch {
	case w == nil:
		return nil
	case len(w.Properties) == 0 || c.protocolNow() != V5:
		return c.m.WillSet(w.Topic, w.Payload, w.QoS, w.Retain)
	}
	return c.m.WillSetV5(w.Topic, w.Payload, w.QoS, w.Retain, w.Properties)
}

// protocolNow is the version of the connection, or of the attempt.
func (c *Client) protocolNow() Protocol { return Protocol(c.protocol.Load()) }

func (c *Client) setProtocol(p Protocol) error {
	if err := c.m.IntOption(mosquitto.OptProtocolVersion, int(p)); err != nil {
		return err
	}
	c.protocol.Store(int32(p))
	return nil
}

// firstUp waits for the first connection and its subscriptions.
func (c *Client) firstUp(ctx context.Context, initial []*waiter) error {
	select {
	case <-c.up:
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(ctx.Err(), c.lastErr)
	}
	return c.await(ctx, initial)
}

// abort ends the client without a flush.
func (c *Client) abort() {
	c.beginClosing()
	c.end()
	<-c.done
}

// free releases what the client holds outside Go.
func (c *Client) free() {
	c.end()
	c.m.Close()
	closeAll(c.files)
}

// Done is closed when the client has ended: by Close, or by a refusal that no
// retry mends, which [Client.Err] tells.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client has ended: nil before, [ErrClosed] after Close.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.endErr()
	default:
		return nil
	}
}

// endErr is Err for a client that is about to have ended.
func (c *Client) endErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closedErr()
}

// closedErr is what calls return when the client is closing or has ended. mu is
// held.
func (c *Client) closedErr() error {
	if c.err != nil {
		return errors.Join(c.err, ErrClosed)
	}
	return ErrClosed
}

// State is where the client is in its life.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// setState notes a change of state and tells of it. mu is held.
func (c *Client) setState(change StateChange) {
	c.state = change.State
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	c.notify.tell(change)
}

// AwaitConnected waits until the client is connected: nil, or the end of ctx or
// of the client.
func (c *Client) AwaitConnected(ctx context.Context) error {
	ctx, restore, err := c.mayWait(ctx)
	if err != nil {
		return err
	}
	defer restore()
	for {
		connected, changed := c.watchState()
		if connected {
			return nil
		}
		select {
		case <-changed:
		case <-c.link.Done(): // done comes after the worker, which may be waiting here
			return c.endErr()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) watchState() (connected bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.state == StateConnected, c.changed
}

const (
	closePatience = 30 * time.Second // of a Close whose context has no deadline
	endPatience   = time.Second      // for the loop and the handlers to notice that ctx has ended
)

var errStuck = errors.New("mqtt: closing: a handler does not return")

// Close ends the client in peace: nothing new is accepted, what was accepted is
// sent and acknowledged, as long as ctx allows, 30 s if it has no deadline; the
// worker handles what it has; DISCONNECT is sent. A [*CloseError] lists the
// messages that were not acknowledged. Calls that wait return [ErrClosed]. When
// the client has ended already it returns nil. Inside a handler it returns
// [ErrInCallback]: close in a new goroutine there.
func (c *Client) Close(ctx context.Context) error {
	if c.inHandler() {
		return ErrInCallback
	}
	ctx, cancel := closeContext(ctx)
	defer cancel()
	ctx, restore := c.lift(ctx) // in an iterator's loop
	defer restore()
	if c.beginClosing() {
		c.flush(ctx)
		c.leave()
		defer context.AfterFunc(ctx, c.end)()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		select {
		case <-c.done:
		case <-time.After(endPatience):
			return errors.Join(errStuck, ctx.Err())
		}
	}
	return c.takeUnsent()
}

func closeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, closePatience)
}

// takeUnsent tells of what was not acknowledged, once.
func (c *Client) takeUnsent() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	unsent, more := c.unsent, c.unread
	c.unsent, c.unread = nil, false
	if len(unsent) == 0 && !more {
		return nil
	}
	return &CloseError{unsent, more}
}

// beginClosing makes all calls that accept something fail. Only one caller gets
// true.
func (c *Client) beginClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosing() {
		return false
	}
	close(c.closing)
	return true
}

// isClosing tells whether Close was called, or the client has failed.
func (c *Client) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// flush waits until everything that was accepted is acknowledged.
func (c *Client) flush(ctx context.Context) {
	for {
		c.mu.Lock()
		left := c.out.room.messages > 0 || c.out.room.unread
		c.mu.Unlock()
		if !left {
			return
		}
		select {
		case <-c.flushed:
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// leave ends the connection with a DISCONNECT, and there is no other.
func (c *Client) leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	if c.m.Disconnect() != nil { // no connection to end
		c.cut()
	}
}
