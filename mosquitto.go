//go:build cgo

// Package mosquitto is libmosquitto, the client library of Eclipse Mosquitto, for Go. It
// has every function and every callback of the library, and the library's behaviour.
//
// Most programs should use package mqtt of this module instead. It waits for
// acknowledgements, reconnects and subscribes again. Use this package to port a C
// program, or for functions of the library that package mqtt does not have.
//
// The package needs cgo, and libmosquitto with its headers: on Debian and Ubuntu
// libmosquitto-dev.
//
// # The life of a client
//
// [New] makes a client. [Client.Connect] connects it. A loop sends and receives its
// packets. [Client.Disconnect] disconnects it, and [Client.Close] frees it. Callbacks
// report events. Set them before connecting:
//
//	client, err := mosquitto.New("test-client", true, nil)
//	if err != nil { ... }
//	defer client.Close()
//	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
//		c.Subscribe("my/topic", 1)
//	})
//	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
//		fmt.Println(m.Topic, string(m.Payload))
//	})
//	if err := client.Connect("127.0.0.1", 1883, time.Minute); err != nil { ... }
//	err = client.LoopForever(-1)
//
// A nil error means only that the packet was queued. A callback reports the
// broker's reply.
//
// # Choosing a loop
//
// Use [Client.Run]. It ends with a context, reconnects after every loss, holds no
// thread while idle, and works with any number of clients. The library's own
// loops behave as in C. [Client.LoopStart] starts a thread with a loop, and
// [Client.LoopForever] runs a loop in the calling goroutine. Both reconnect.
// [Client.Loop] is one iteration. These three need file descriptors below 1024.
// [Client.LoopRead], [Client.LoopWrite] and [Client.LoopMisc] are for programs
// with their own poll loop. A client runs one loop at a time: a second loop returns
// [ErrBusy].
//
// # Goroutines
//
// All methods are safe for concurrent use. Publishing, subscribing and disconnecting
// only queue packets. The loop writes them. Loops, connects and settings exclude each
// other: the second call returns [ErrBusy] at once. [Client.Post] runs a function on
// the goroutine of Run. Close may be called at any time.
//
// # Callbacks
//
// Callbacks run on the loop, one at a time, in the order of arrival. Log lines,
// key passwords and OnPreConnect also run on the goroutine that made the call. A
// callback may set callbacks, publish, subscribe, unsubscribe, disconnect, change
// settings and close the client. Loops, LoopStop and Reinitialise return
// [ErrInCallback] inside a callback. A connect is allowed in OnDisconnect, after a loss.
// While a callback runs, its client reads and writes nothing. So a callback must not wait
// for a packet of this client. It must not call [runtime.Goexit], which t.FailNow does. The
// call that runs the loop raises a panic of a callback again, as a [*PanicError]. On
// the thread of LoopStart a panic ends the program.
//
// # Errors
//
// Methods return an [*OpError], which names the C function and unwraps to the
// library's code: errors.Is(err, mosquitto.ErrNoConn). Bad input is refused
// before C sees it, with an error that names the argument. The three kinds of codes have
// three types: [Error], [ConnackCode] and [ReasonCode].
//
// # Versions
//
// The package supports libmosquitto 2.0.11 to 2.1. Functions that the installed
// version lacks return [ErrNotSupported].
package mosquitto

import (
	"crypto/sha256"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of MQTT and of the library.
const (
	MaxPayload     = cMaxPayload // the most bytes in the payload of a published message
	MaxIDLengthV31 = cIDMaxV31   // the most bytes in a client id with MQTT 3.1
)

// stopGrace is how long a connection may stay open after Disconnect before it is
// cut.
const stopGrace = 5 * time.Second

// Client is an MQTT client: struct mosquitto. Its methods are safe for concurrent use.
// [New] makes clients. The methods of a nil or zero Client return errors.
type Client struct {
	c         *cClient // memory of C, from New until the last call after Close has returned
	id        uintptr  // names this client in C
	gate      gate     // counts the calls that may use c
	owner     atomic.Int32
	released  chan struct{} // made by Close; has an element when owner may have changed after Close
	listeners listeners
	userData  atomic.Pointer[any]
	run       atomic.Pointer[runner]  // non-nil while Run or RunOnce runs
	forever   atomic.Pointer[forever] // non-nil while LoopForever runs
	server    server                  // of the last connect; used by the owner of the network side only
	backoff   backoff                 // of ReconnectDelaySet; used by the owner only
	closing   sync.Mutex              // held while Close closes the gate
	done      chan struct{}           // made by Close; closed when c is freed

	logging atomic.Bool        // the log callback is installed
	inLog   atomic.Int32       // OnLog callbacks in progress
	tls     atomic.Bool        // connects will initialise OpenSSL
	hasTLS  atomic.Bool        // TLS was set up
	tlsSum  *[sha256.Size]byte // of the settings of SetTLS, nil if unknown; the owner of the network side uses it
	ownTLS  atomic.Bool        // SetTLS has set TLS up, so other TLS settings have no effect
	single  atomic.Bool        // ThreadedSet(false)
	v5      atomic.Bool        // OptProtocolVersion is MQTT 5
	used    atomic.Bool        // a connect was tried
	leaving atomic.Bool        // Disconnect was called since the last connect
	stale   atomic.Bool        // the library may hold input of the last connection (2.1)
	wanted  atomic.Bool        // OnDisconnect is running because of Disconnect
	props   bool               // a connect may have stored CONNECT properties in the library; used by the owner only

	flood          sync.Mutex // held by the publisher that waits for the end of a flood
	posts          posts
	resumes        atomic.Uint64 // calls of ResumeReading
	deliveries     deliveries
	reinitialising sync.Mutex // held while Reinitialise keeps other calls out
}

// backoff holds the settings of ReconnectDelaySet.
type backoff struct {
	delay, limit time.Duration
	exponential  bool
}

var defaultBackoff = backoff{time.Second, time.Second, false}

// Values of Client.owner: who uses the network side of a client.
const (
	ownerNone        = iota
	ownerCall        // a loop, a connect or a setter, in one goroutine
	ownerThread      // LoopStart
	ownerThreadSetup // a setter or the first connect, while LoopStart's thread waits
)

// New wraps mosquitto_new: it makes a client. If clientID is "", the library or the
// broker chooses an id, and cleanSession must be true. If cleanSession is false, the
// broker keeps the subscriptions and messages of this client id. [Client.UserData]
// returns userData.
//
// The client holds two file descriptors, and a third one while it is connected.
// [Client.Close] frees it.
func New(clientID string, cleanSession bool, userData any) (*Client, error) {
	const op = "new"
	if err := checkClientID(op, clientID, cleanSession); err != nil {
		return nil, err
	}
	libInit()
	c := &Client{backoff: defaultBackoff}
	c.userData.Store(&userData)
	c.id = registerHandle(c) // before the library can call back
	var errno int
	withPairsClosedOnExec(func() *cClient {
		c.c, errno = cNew(clientID, cleanSession, c.id)
		return c.c
	}, func() { cDestroy(c.c) })
	if c.c == nil {
		dropHandle(c.id)
		if errno == 0 {
			return nil, &OpError{Op: op, Err: ErrInval}
		}
		return nil, &OpError{Op: op, Err: ErrErrno, Errno: syscall.Errno(errno)}
	}
	return c, nil
}

func checkClientID(op, clientID string, cleanSession bool) error {
	if clientID == "" && !cleanSession {
		return badArgument(op, ErrInval, "clientID: empty, which needs cleanSession")
	}
	return checkMQTTText(op, "clientID", clientID)
}

// newMutex allows only one client to be made at a time, so that each call finds the pair
// of sockets of its own client. The library calls no callback while it makes a client.
var newMutex sync.Mutex

// pairTries limits how often the library opens its pair of sockets if the pair is not
// found where it was expected, because other file descriptors were closed meanwhile.
const pairTries = 10

// narrowTries is how many tries check only the two lowest free file descriptors. Another
// thread may have taken one of these file descriptors.
const narrowTries = 2

// withPairsClosedOnExec runs f, which makes the library open a pair of sockets. It marks
// the sockets close-on-exec before a child process can inherit them. f returns the client,
// or nil if it failed. If the pair is not found, undo and f run again.
func withPairsClosedOnExec(f func() *cClient, undo func()) {
	newMutex.Lock()
	defer newMutex.Unlock()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for try := 1; ; try++ {
		before := cListPairLike(try > narrowTries)
		if c := f(); c == nil || cCloseOnExecPair(c, &before) >= 2 || try == pairTries {
			return
		}
		undo()
	}
}

// Reinitialise wraps mosquitto_reinitialise: it makes the client new, without its
// settings, callbacks and queued messages. The arguments are those of [New]. It returns
// [ErrBusy] while any other call runs, and [ErrInCallback] inside a callback.
func (c *Client) Reinitialise(clientID string, cleanSession bool, userData any) error {
	const op = "reinitialise"
	if err := checkClientID(op, clientID, cleanSession); err != nil {
		return err
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, 0)
	if err != nil {
		return err
	}
	defer c.disown(back)
	c.reinitialising.Lock()
	defer c.reinitialising.Unlock()
	if !c.gate.alone() {
		return &OpError{Op: op, Err: ErrBusy}
	}
	defer c.gate.together()
	var r result
	withPairsClosedOnExec(func() *cClient {
		if r = cReinitialise(c.c, clientID, cleanSession); r.rc != cSuccess {
			return nil
		}
		return c.c
	}, func() {})
	c.listeners.clear()
	for _, flag := range []*atomic.Bool{&c.logging, &c.tls, &c.hasTLS, &c.ownTLS, &c.single, &c.v5, &c.used, &c.leaving, &c.stale} {
		flag.Store(false)
	}
	c.userData.Store(&userData)
	c.deliveries.drop(c)
	c.server, c.backoff = server{}, defaultBackoff
	return c.finish(op, r)
}

// Close wraps mosquitto_destroy: it ends the connection without a DISCONNECT, so
// that the broker publishes the will, and frees the client. Messages that were
// not acknowledged are lost. For a clean disconnect call Disconnect first, and
// let the loop run until OnDisconnect. Close ends a running loop as Disconnect
// does, because the library has no other way, and cuts a connection that is still
// open after five seconds.
//
// Close may be called at any time, from any goroutine, inside callbacks, and more
// than once. Only the first call has an effect, and later calls return nil at once.
// All other methods then return [ErrClosed], and no callback starts any more.
//
// Close waits until the calls of other goroutines have returned and the client is freed,
// but at most six seconds. If a callback, the resolver or a connect still runs then, Close
// returns an error that wraps [ErrTimeout], and the client is freed when that call
// returns. Inside a callback or a function that [Client.Post] has queued, Close does not
// wait and returns nil.
func (c *Client) Close() error {
	const op = "destroy"
	if !c.made() {
		return badArgument(op, ErrInval, "client: nil or zero, only New makes clients")
	}
	if !c.shut() {
		return nil
	}
	inside := cInside(c.c)
	if c.owner.Load() == ownerNone || inside&evLog != 0 && c.owner.Load() == ownerCall {
		c.end()
	} else {
		go c.stop()
	}
	if inside != 0 {
		return nil
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(stopGrace + time.Second):
		return badArgument(op, ErrTimeout, "a call or a callback of the client still runs; the client is freed when it returns")
	}
}

// shut closes the gate, and reports false if it was closed before.
func (c *Client) shut() bool {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.gate.closed() {
		return false
	}
	c.done, c.released = make(chan struct{}), make(chan struct{}, 1)
	return c.gate.shut()
}

// stop ends the loop that runs, for Close, and leaves the gate.
func (c *Client) stop() {
	defer c.end()
	defer c.requestEnd()()
	for c.owner.Load() != ownerNone {
		if c.owner.CompareAndSwap(ownerThread, ownerCall) {
			c.joinThread()
			return
		}
		<-c.released
	}
}

// made reports whether c is a client that New has made.
func (c *Client) made() bool { return c != nil && c.c != nil }

// begin adds a call. Inside OnLog it returns ErrInCallback: the library would
// deadlock (2.0.11) or overflow the stack.
func (c *Client) begin(op string) error {
	if !c.made() {
		return badArgument(op, ErrInval, "client: nil or zero, only New makes clients")
	}
	if err := c.gate.enter(); err != nil {
		return &OpError{Op: op, Err: err}
	}
	if c.inLog.Load() > 0 && cInside(c.c)&evLog != 0 {
		c.end()
		return &OpError{Op: op, Err: ErrInCallback}
	}
	return nil
}

// end removes a call. The last call after Close destroys the client.
func (c *Client) end() {
	if !c.gate.leave() {
		return
	}
	cDestroy(c.c)
	dropHandle(c.id) // the library may log until then
	c.posts.drop()
	close(c.done)
}

// finish ends a library call: it raises a panic of a callback again, and turns
// the code into an error.
func (c *Client) finish(op string, r result) error {
	if r.panicked != 0 {
		panic(takePanic(int32(r.panicked)))
	}
	return libError(op, r)
}

// own takes the network side of the client, which the library leaves to one
// thread. Inside a callback the caller has it already, and allowed names the
// callbacks that may use it. The result is for disown.
func (c *Client) own(op string, allowed uint32) (back int32, err error) {
	inside := cInside(c.c)
	if inside == evPosted {
		if r := c.run.Load(); allowed == anyCallback && r != nil && !r.connecting {
			return ownerInside, nil
		}
		return 0, &OpError{Op: op, Err: ErrBusy}
	}
	if inside != 0 {
		if inside&^(allowed|evPosted) != 0 {
			return 0, &OpError{Op: op, Err: ErrInCallback}
		}
		return ownerInside, nil
	}
	if c.owner.CompareAndSwap(ownerNone, ownerCall) {
		if c.gate.closed() { // Close may have found no owner to stop
			c.disown(ownerNone)
			return 0, &OpError{Op: op, Err: ErrClosed}
		}
		return ownerNone, nil
	}
	// The thread of LoopStart uses nothing until the first connect.
	if allowed != 0 && !c.used.Load() && c.owner.CompareAndSwap(ownerThread, ownerThreadSetup) {
		return ownerThread, nil
	}
	return 0, &OpError{Op: op, Err: ErrBusy}
}

// ownerInside is the result of own inside a callback. disown(ownerInside) does nothing.
const ownerInside = -1

// disown releases the network side to the owner before. Close may wait for it.
func (c *Client) disown(back int32) {
	if back == ownerInside {
		return
	}
	c.owner.Store(back)
	if c.gate.closed() {
		select {
		case c.released <- struct{}{}:
		default:
		}
	}
}

// anyCallback is the set of callbacks that may change settings.
const anyCallback = math.MaxUint32 &^ evLog

// configure runs a setter of the library. Setters have no locks.
func (c *Client) configure(op string, set func() result) error {
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, anyCallback)
	if err != nil {
		return err
	}
	defer c.disown(back)
	return c.finish(op, set())
}

// inCallback reports whether the calling goroutine is inside a callback.
func (c *Client) inCallback() bool { return cInside(c.c)&^evPosted != 0 }

// InCallback reports whether the calling goroutine is inside a callback of this
// client, where it must not wait for this client. It reports false in goroutines
// that the callback has started, and in functions that [Client.Post] queued.
func (c *Client) InCallback() bool {
	if err := c.begin("in_callback"); err != nil {
		return errors.Is(err, ErrInCallback)
	}
	defer c.end()
	return c.inCallback()
}

// UserData wraps mosquitto_userdata: it returns the value that New, Reinitialise
// or SetUserData was called with.
func (c *Client) UserData() any {
	if !c.made() {
		return nil
	}
	return *c.userData.Load()
}

// SetUserData wraps mosquitto_user_data_set: it sets the value that UserData
// returns.
func (c *Client) SetUserData(userData any) {
	if c.made() {
		c.userData.Store(&userData)
	}
}
