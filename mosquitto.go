//go:build cgo

// Package mosquitto is Eclipse Mosquitto's client library, libmosquitto, for
// Go: every function, every callback, and the behaviour exactly the library's.
//
// # A client's life
//
// [New] makes a client, [Client.Connect] connects it, a loop moves its packets,
// [Client.Disconnect] says goodbye, [Client.Close] frees it. What is to be
// heard is heard in callbacks, set before connecting:
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
// That a call returned nil means that the packet was accepted and queued. What
// the broker made of it comes to the callback.
//
// # Choosing a loop
//
// [Client.Run] is the one to use: it ends with a context, reconnects whatever
// ended the connection, holds no thread while idle, and works with any number
// of clients. The library's own loops behave as in C: [Client.LoopStart] runs
// one on a thread of the library's, [Client.LoopForever] in the calling
// goroutine; both reconnect. [Client.Loop] is one turn. These three need
// descriptors below 1024. [Client.LoopRead], [Client.LoopWrite] and
// [Client.LoopMisc] are for programs with a poll loop of their own. One loop at
// a time: another one is refused with [ErrBusy].
//
// # Goroutines
//
// A client may be used from any number of goroutines. Publishing, subscribing
// and disconnecting only queue; the loop writes. Loops, connects and settings
// exclude each other: while one is on in another goroutine the call returns
// [ErrBusy] at once. Close may be called at any time.
//
// # Callbacks
//
// Callbacks run on the loop, one at a time, in the order of arrival; log lines,
// key passwords and OnPreConnect also on the goroutine that made the call. A
// callback may set callbacks, publish, subscribe, unsubscribe, disconnect,
// change settings and close the client. It may not run a loop, LoopStop or
// Reinitialise ([ErrInCallback]); connecting is for OnDisconnect, after a loss.
// While it runs, its client's network stands still, so it should not wait for
// anything that needs this client. It must not call [runtime.Goexit], which
// t.FailNow does. A panic is raised again, as a [*PanicError], by the call that
// runs the loop; on LoopStart's thread it ends the program.
//
// # Errors
//
// Methods return an [*OpError], which names the C function, and which unwraps
// to the library's code: errors.Is(err, mosquitto.ErrNoConn). Bad input is
// refused before C sees it, with an error that names the argument. Three kinds
// of numbers have three types: [Error], [ConnackCode] and [ReasonCode].
//
// # Versions
//
// libmosquitto 2.0.11 to 2.1. What the installed version lacks returns
// [ErrNotSupported].
package mosquitto

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of MQTT and of the library.
const (
	MaxPayload     = cMaxPayload // bytes of a published message
	MaxIDLengthV31 = cIDMaxV31   // bytes of a client id with MQTT 3.1
)

// stopGrace is how long a connection may take to say goodbye before it is cut.
const stopGrace = 5 * time.Second

// LibVersion is mosquitto_lib_version: the version of the library that is
// loaded. 2.1.0, 2.1.1 and 2.1.2 all say 2.1.0.
func LibVersion() (major, minor, revision int) { return cLibVersion() }

// libInit is the package's own mosquitto_lib_init: before the first client,
// since it chooses the clock, and never undone, since cleaning up takes
// OpenSSL's modules from the whole process.
var libInit = sync.OnceFunc(func() { cLibInit() })

// userInits counts the callers' own calls; mosquitto_lib_init is not safe for
// threads.
var userInits struct {
	sync.Mutex
	n int
}

// LibInit is mosquitto_lib_init. Calling it is not needed: New does.
func LibInit() error {
	libInit()
	userInits.Lock()
	defer userInits.Unlock()
	userInits.n++
	return libError("lib_init", result{rc: cLibInit()})
}

// LibCleanup is mosquitto_lib_cleanup: it undoes one [LibInit], and does
// nothing without one. The package's own stays, so clients go on.
func LibCleanup() error {
	userInits.Lock()
	defer userInits.Unlock()
	if userInits.n == 0 {
		return nil
	}
	userInits.n--
	return libError("lib_cleanup", result{rc: cLibCleanup()})
}

// Client is an MQTT client: struct mosquitto. Its methods may be called from
// any goroutine.
type Client struct {
	c         *cClient // C's, from New until the last call after Close is out
	id        uintptr  // the library's name for this client
	gate      gate     // counts the calls that may use c
	owner     atomic.Int32
	listeners listeners
	userData  atomic.Pointer[any]
	run       atomic.Pointer[runner] // Run is on
	server    server                 // of the last connect; the owner's
	backoff   backoff                // of ReconnectDelaySet; the owner's
	done      chan struct{}          // closed when c is free

	logging atomic.Bool // the log callback is installed
	tls     atomic.Bool // connects will set OpenSSL up
	single  atomic.Bool // ThreadedSet(false)
	v5      atomic.Bool // OptProtocolVersion is MQTT 5
	used    atomic.Bool // a connect was tried
	leaving atomic.Bool // Disconnect was called since the last connect
	stale   atomic.Bool // the library may hold input of a connection that is gone (2.1)
	wanted  atomic.Bool // OnDisconnect is running, and Disconnect had asked for it

	flood sync.Mutex // one publisher waits for the end of a flood, the others for it

	posts      posts
	deliveries deliveries
	inLog      atomic.Int32 // OnLog callbacks in progress

	reinitialising sync.Mutex // held while Reinitialise keeps other calls out
}

// server is where the last connect went.
type server struct {
	host      string
	port      int
	proxy     string // the SOCKS5 proxy's host, "" without one
	keepalive time.Duration
}

// backoff is what ReconnectDelaySet was told.
type backoff struct {
	delay, limit time.Duration
	exponential  bool
}

var defaultBackoff = backoff{time.Second, time.Second, false}

// Who runs the network side of a client: values of Client.owner.
const (
	ownerNone        = iota
	ownerCall        // a loop, a connect or a setting, in some goroutine
	ownerThread      // LoopStart
	ownerThreadSetup // a setting or the first connect, beside LoopStart's waiting thread
)

// New is mosquitto_new. clientID "" lets the library or the broker choose one,
// which needs cleanSession. cleanSession false asks the broker to keep the
// subscriptions and messages of this client id. userData is for [Client.UserData].
// The client holds two descriptors, and a third when connected. Close frees it.
func New(clientID string, cleanSession bool, userData any) (*Client, error) {
	const op = "new"
	if err := checkClientID(op, clientID, cleanSession); err != nil {
		return nil, err
	}
	libInit()
	c := &Client{done: make(chan struct{}), backoff: defaultBackoff}
	c.userData.Store(&userData)
	c.id = registerHandle(c) // before the library can call back
	var errno int
	withPairsClosedOnExec(func() { c.c, errno = cNew(clientID, cleanSession, c.id) })
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

// newMutex keeps the making of clients apart, so that each finds its own pair
// of sockets. The library calls nothing back from there.
var newMutex sync.Mutex

// withPairsClosedOnExec runs f, which makes the library open a pair of sockets,
// and marks them close-on-exec before any child can be born.
func withPairsClosedOnExec(f func()) {
	newMutex.Lock()
	defer newMutex.Unlock()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	from := cFreeDescriptor()
	f()
	if from >= 0 && cCloseOnExecPairs(from, from+64) < 2 { // descriptors below became free meanwhile
		cCloseOnExecPairs(3, from)
	}
}

// Reinitialise is mosquitto_reinitialise: the client as New would make it, all
// settings, callbacks and queued messages gone. [ErrBusy] while any other call
// is on, [ErrInCallback] inside a callback.
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
	withPairsClosedOnExec(func() { r = cReinitialise(c.c, clientID, cleanSession) })
	c.listeners.clear()
	for _, flag := range []*atomic.Bool{&c.logging, &c.tls, &c.single, &c.v5, &c.used, &c.leaving, &c.stale} {
		flag.Store(false)
	}
	c.userData.Store(&userData)
	c.deliveries.drop(c)
	c.server, c.backoff = server{}, defaultBackoff
	return c.finish(op, r)
}

// Close is mosquitto_destroy: it ends the connection without a DISCONNECT, so
// that the broker publishes the will, and frees the client; messages that were
// not acknowledged are gone. Disconnect first, and let the loop run until
// OnDisconnect, to leave in peace. A running loop is first ended the way
// Disconnect ends it, since the library has no other; a connection that takes
// longer than five seconds for that is cut.
//
// Close may be called at any time, beside other calls and inside callbacks, and
// more than once. Calls after it return [ErrClosed], and no callback starts any
// more. It waits for calls of other goroutines to return, but not inside a
// callback, and not longer than a few seconds: what hangs in the resolver or in
// a connect to a silent address keeps the client's memory until it returns.
func (c *Client) Close() error {
	if !c.made() {
		return badArgument("destroy", ErrInval, "client: nil or zero, only New makes clients")
	}
	if !c.gate.shut() {
		return nil
	}
	inside := cInside(c.c)
	if c.owner.Load() == ownerNone || inside&evLog != 0 && c.owner.Load() == ownerCall {
		c.end()
	} else {
		go c.stop()
	}
	if inside == 0 {
		select {
		case <-c.done:
		case <-time.After(stopGrace + time.Second):
		}
	}
	return nil
}

// stop ends whatever loop runs, for Close, and leaves the gate.
func (c *Client) stop() {
	defer c.end()
	defer c.insist()()
	for ; ; time.Sleep(time.Millisecond) {
		switch c.owner.Load() {
		case ownerNone:
			return
		case ownerThread:
			if c.owner.CompareAndSwap(ownerThread, ownerCall) {
				c.joinThread()
				return
			}
		}
	}
}

// nagging is how often a loop that is to end is told so: the library forgets it
// while it reconnects.
const nagging = 200 * time.Millisecond

// insist asks the library to end the connection and its loop until stop is
// called, and cuts a connection that takes too long to say goodbye.
func (c *Client) insist() (stop func()) {
	c.quit()
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for patience := time.Now().Add(stopGrace); ; {
			select {
			case <-done:
				return
			case <-time.After(nagging):
			}
			c.quit()
			if time.Now().After(patience) {
				cCut(c.c)
				patience = time.Now().Add(stopGrace)
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// quit asks the library to end the connection and its loop.
func (c *Client) quit() {
	if r := c.run.Load(); r != nil {
		r.wake() // it looks at the gate
		return
	}
	c.setLeaving(true)
	cDisconnect(c.c)
}

// setLeaving notes a Disconnect, or a connect after it, for the loops in Go and in C.
func (c *Client) setLeaving(leaving bool) {
	c.leaving.Store(leaving)
	cLeavingSet(c.c, leaving)
}

// begin adds a call. Inside the client's log callback there is none: the
// library would deadlock (2.0.11) or overflow the stack.
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

// made reports whether c is a client that New has made.
func (c *Client) made() bool { return c != nil && c.c != nil }

// end removes a call. The last one out after Close destroys.
func (c *Client) end() {
	if !c.gate.leave() {
		return
	}
	cDestroy(c.c)
	dropHandle(c.id) // the library may log until then
	c.posts.drop()
	close(c.done)
}

// finish is the end of a library call: a panic of its callbacks is raised
// again, its code becomes an error.
func (c *Client) finish(op string, r result) error {
	if r.panicked != 0 {
		panic(takePanic(int32(r.panicked)))
	}
	return libError(op, r)
}

// own takes the network side of the client, which the library leaves to one
// thread. Inside a callback of the client it is the caller's already, and
// allowed names the callbacks that may use it. back is for disown.
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
			c.owner.Store(ownerNone)
			return 0, &OpError{Op: op, Err: ErrClosed}
		}
		return ownerNone, nil
	}
	// LoopStart's thread looks at nothing until the first connect.
	if allowed != 0 && !c.used.Load() && c.owner.CompareAndSwap(ownerThread, ownerThreadSetup) {
		return ownerThread, nil
	}
	return 0, &OpError{Op: op, Err: ErrBusy}
}

// ownerInside is what own returns inside a callback: nothing to give back.
const ownerInside = -1

func (c *Client) disown(back int32) {
	if back != ownerInside {
		c.owner.Store(back)
	}
}

// anyCallback are the callbacks in which settings may be changed.
const anyCallback = math.MaxUint32 &^ evLog

// configure runs a setter of the library's, which have no locks.
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

// UserData is mosquitto_userdata: what New, Reinitialise or SetUserData was given.
func (c *Client) UserData() any {
	if !c.made() {
		return nil
	}
	return *c.userData.Load()
}

// SetUserData is mosquitto_user_data_set.
func (c *Client) SetUserData(userData any) {
	if c.made() {
		c.userData.Store(&userData)
	}
}

// Connect is mosquitto_connect. It blocks until the TCP connection stands, or
// every address of the host was tried: the resolver and the kernel decide how
// long that takes. The broker's answer comes to OnConnect, in the loop. With
// port 0 host is the path of a unix socket. keepalive is in whole seconds: 0
// (off), or 5 s to 65,535 s; [ErrBusy] while a loop is running, except before
// the first connect with [Client.LoopStart].
func (c *Client) Connect(host string, port int, keepalive time.Duration) error {
	const op = "connect"
	seconds, err := checkServer(op, host, port, keepalive, "")
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: port, keepalive: keepalive}, func() result { return cConnect(c.c, host, port, seconds) })
}

// ConnectBind is mosquitto_connect_bind: [Client.Connect] from the local
// address bind, which stays for later connects.
func (c *Client) ConnectBind(host string, port int, keepalive time.Duration, bind string) error {
	const op = "connect_bind"
	seconds, err := checkServer(op, host, port, keepalive, bind)
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: port, keepalive: keepalive}, func() result { return cConnectBind(c.c, host, port, seconds, bind) })
}

// ConnectBindV5 is mosquitto_connect_bind_v5: with properties of the CONNECT,
// which stay for reconnects and for ConnectAsync. The client must be one of
// MQTT 5 ([OptProtocolVersion]), or it wraps [ErrNotSupported].
func (c *Client) ConnectBindV5(host string, port int, keepalive time.Duration, bind string, props Properties) error {
	const op = "connect_bind_v5"
	seconds, err := checkServer(op, host, port, keepalive, bind)
	if err != nil {
		return err
	}
	encoded, err := encodeProperties(op, props, true)
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: port, keepalive: keepalive}, func() result { return cConnectBindV5(c.c, host, port, seconds, bind, encoded) })
}

// ConnectAsync is mosquitto_connect_async: the TCP connection is made in the
// loop. The resolver still blocks, and only one address of the host is tried.
// Call it after LoopStart.
func (c *Client) ConnectAsync(host string, port int, keepalive time.Duration) error {
	const op = "connect_async"
	seconds, err := checkServer(op, host, port, keepalive, "")
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: port, keepalive: keepalive}, func() result { return cConnectAsync(c.c, host, port, seconds) })
}

// ConnectBindAsync is mosquitto_connect_bind_async.
func (c *Client) ConnectBindAsync(host string, port int, keepalive time.Duration, bind string) error {
	const op = "connect_bind_async"
	seconds, err := checkServer(op, host, port, keepalive, bind)
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: port, keepalive: keepalive}, func() result { return cConnectBindAsync(c.c, host, port, seconds, bind) })
}

// ConnectSRV is mosquitto_connect_srv: the broker is looked up in DNS, in
// _mqtt._tcp of host. Most builds of the library, Debian's too, lack it:
// [ErrNotSupported]; net.LookupSRV does the same.
func (c *Client) ConnectSRV(host string, keepalive time.Duration, bind string) error {
	const op = "connect_srv"
	seconds, err := checkServer(op, host, 0, keepalive, bind)
	if err != nil {
		return err
	}
	return c.connectTo(op, server{host: host, port: -1, keepalive: keepalive}, func() result { return cConnectSRV(c.c, host, seconds, bind) })
}

// Reconnect is mosquitto_reconnect: the last connect once more, blocking as
// Connect does. It wraps [ErrInval] when there was none. Queued QoS 0 messages,
// subscribes and unsubscribes are dropped by the library, QoS 1 and 2 messages
// are sent again. Inside OnDisconnect it is allowed after a loss, not after
// Disconnect ([ErrInCallback]); Run, LoopForever and LoopStart reconnect by
// themselves.
//
// On 2.1 the library may hold input of the last connection, which it would take
// for the new one's. This and the other connects get rid of it by connecting
// once more for each packet of it; the broker sees connections that say nothing.
func (c *Client) Reconnect() error {
	return c.connect("reconnect", func() result { return cReconnect(c.c) })
}

// ReconnectAsync is mosquitto_reconnect_async: [Client.Reconnect] as
// [Client.ConnectAsync] connects.
func (c *Client) ReconnectAsync() error {
	return c.connect("reconnect_async", func() result { return cReconnectAsync(c.c) })
}

// checkServer checks what all connects take, and returns keepalive in seconds.
func checkServer(op, host string, port int, keepalive time.Duration, bind string) (seconds int, err error) {
	if err := checkName(op, "host", host); err != nil {
		return 0, err
	}
	if err := checkText(op, "bind", bind); err != nil {
		return 0, err
	}
	if port < 0 || port > 65535 {
		return 0, badArgument(op, ErrInval, "port: %d is not between 0 and 65535", port)
	}
	if keepalive != 0 && (keepalive < 5*time.Second || keepalive > 65535*time.Second) {
		return 0, badArgument(op, ErrInval, "keepalive: %v is neither 0 nor between 5 s and 65535 s", keepalive)
	}
	return int(keepalive / time.Second), nil
}

func (c *Client) connectTo(op string, to server, call func() result) error {
	return c.connect(op, func() result {
		to.proxy = c.server.proxy
		c.server = to
		return call()
	})
}

func (c *Client) connect(op string, call func() result) error {
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, evDisconnect)
	if err != nil {
		return err
	}
	defer c.disown(back)
	if back == ownerInside && c.wanted.Load() { // 2.0 deadlocks here
		return &OpError{Op: op, Err: ErrInCallback}
	}
	c.setLeaving(false)
	c.used.Store(true)
	again := cReconnect
	if strings.HasSuffix(op, "async") {
		again = cReconnectAsync
	}
	err = c.finish(op, c.cleanly(call, func() result { return again(c.c) }))
	if err == nil && back == ownerThread {
		err = c.watchable(op) // or LoopStart's thread has ended without a word
	}
	return err
}

// cleanly connects, and again as long as the library still holds input of the
// last connection and takes it for the new one's (2.1): each attempt costs it a
// packet of that.
func (c *Client) cleanly(connect, again func() result) result {
	r := c.inOpensslTurn(connect)
	for r.rc <= cSuccess && r.panicked == 0 && c.stale.Load() {
		rc := cReadMuted(c.c)
		c.stale.Store(rc > cSuccess && !ofTheSocket(Error(rc)) && cSocket(c.c) < 0)
		r = c.inOpensslTurn(again)
	}
	return r
}

// leftInput notes that a connection ended while the library may have held more
// of its input than it had handled.
func (c *Client) leftInput(r result) {
	if !has21 {
		return
	}
	if r.panicked != 0 || r.rc != cSuccess && !ofTheSocket(Error(r.rc)) {
		c.stale.Store(true)
	}
}

// ofTheSocket tells the errors that the socket gives, after all input, from those
// that are found in the input.
func ofTheSocket(code Error) bool {
	switch code {
	case ErrConnLost, ErrErrno, ErrNoConn, ErrTLS, ErrEAI, ErrKeepalive:
		return true
	}
	return false
}

// openssl serialises the connects that may be the process's first with TLS: the
// library sets OpenSSL up without a lock. Once one has passed, nobody waits.
var openssl = struct {
	ready atomic.Bool
	turn  chan struct{}
}{turn: make(chan struct{}, 1)}

// inOpensslTurn runs a connect after the others, though it does not wait for
// ever: one that hangs in connect(2) has not come to OpenSSL yet.
func (c *Client) inOpensslTurn(call func() result) result {
	if openssl.ready.Load() || !has21 && !c.tls.Load() { // 2.1 sets it up in every connect
		return call()
	}
	select {
	case openssl.turn <- struct{}{}:
		defer func() { <-openssl.turn }()
	case <-time.After(stopGrace):
	}
	r := call()
	if r.rc == cSuccess {
		openssl.ready.Store(true)
	}
	return r
}

// Disconnect is mosquitto_disconnect: it queues a DISCONNECT, and ends Run,
// LoopForever and LoopStart's loop, which send it. OnDisconnect comes when it
// is sent, on 2.1 when the broker has closed. It wraps [ErrNoConn] without a
// connection, also when LoopStart's thread was faster (2.0.21 and later); the
// loop ends all the same.
//
// In the library's own loops a packet that arrives before the DISCONNECT has
// left ends the connection without it, and the broker publishes the will; on
// 2.1 that is every Disconnect inside a message callback with more messages
// waiting. Run sends it before it reads on.
func (c *Client) Disconnect() error {
	const op = "disconnect"
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if r := c.run.Load(); r != nil {
		return r.disconnect(op, farewell{})
	}
	c.noteLeaving()
	return c.finish(op, cDisconnect(c.c))
}

// noteLeaving is for a DISCONNECT beside a loop, which on 2.1 may drop input.
func (c *Client) noteLeaving() {
	c.setLeaving(true)
	if has21 && c.owner.Load() != ownerNone {
		c.stale.Store(true)
	}
}

// DisconnectV5 is mosquitto_disconnect_v5: with a reason code, which only an
// MQTT 5 connection sends, and properties, which need one ([ErrNotSupported]).
func (c *Client) DisconnectV5(reason ReasonCode, props Properties) error {
	const op = "disconnect_v5"
	if reason < 0 || reason > 255 {
		return badArgument(op, ErrInval, "reason: %d is not between 0 and 255", int(reason))
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return err
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if r := c.run.Load(); r != nil {
		if encoded != nil && !c.v5.Load() {
			return &OpError{Op: op, Err: ErrNotSupported}
		}
		if rc := cPropertyCheckAll(CmdDisconnect, encoded); rc != cSuccess {
			return libError(op, result{rc: rc})
		}
		return r.disconnect(op, farewell{int(reason), encoded})
	}
	r := cDisconnectV5(c.c, int(reason), encoded)
	if r.rc == cSuccess || Error(r.rc) == ErrNoConn {
		c.noteLeaving()
	}
	return c.finish(op, r)
}

// ExtAuthContinue is mosquitto_ext_auth_continue: the next AUTH packet of an
// extended authentication, from inside [Client.OnExtAuth]. [ErrNotSupported]
// before 2.1.
func (c *Client) ExtAuthContinue(method string, data []byte, props Properties) error {
	const op = "ext_auth_continue"
	if err := checkName(op, "method", method); err != nil {
		return err
	}
	if len(data) > maxText {
		return badArgument(op, ErrInval, "data: %d bytes, more than %d", len(data), maxText)
	}
	encoded, err := encodeProperties(op, props, true)
	if err != nil {
		return err
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	defer c.wakeRun()
	return c.finish(op, cExtAuthContinue(c.c, method, data, encoded))
}

// Publish is mosquitto_publish. Nil means queued: OnPublish is told when the
// message mid is sent (QoS 0) or acknowledged. topic and payload are copied;
// a nil payload is a message of no bytes. The payload may have 268,435,455
// bytes.
//
// Without a connection it wraps [ErrNoConn]. A QoS 0 message is then lost. A
// QoS 1 or 2 message is not: it is queued, will be sent after the next connect,
// and has the mid returned beside the error, so do not publish it again. Before
// the first connect of a client the library drops the retain flag of both.
//
// Message ids wrap after 65,535 and are used again even if the old one is still
// in flight. Beside Run it pauses, for some 10 ms at most, while more than 16,384
// messages of QoS 0 wait behind the one that is being written.
func (c *Client) Publish(topic string, payload []byte, qos QoS, retain bool) (mid int, err error) {
	const op = "publish"
	if err := checkPublish(op, topic, payload, qos); err != nil {
		return 0, err
	}
	if topic == "" {
		return 0, badArgument(op, ErrInval, "topic: empty")
	}
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	c.giveWay()
	return c.published(op, qos, cPublish(c.c, topic, payload, qos, retain))
}

// PublishV5 is mosquitto_publish_v5: [Client.Publish] with properties, which
// need MQTT 5 ([ErrNotSupported]). The topic may be empty if a topic alias says
// it.
func (c *Client) PublishV5(topic string, payload []byte, qos QoS, retain bool, props Properties) (mid int, err error) {
	const op = "publish_v5"
	if err := checkPublish(op, topic, payload, qos); err != nil {
		return 0, err
	}
	if _, alias := props.Int16(PropTopicAlias); topic == "" && !alias {
		return 0, badArgument(op, ErrInval, "topic: empty, without a topic alias")
	}
	encoded, err := encodeProperties(op, props, qos > 0)
	if err != nil {
		return 0, err
	}
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	c.giveWay()
	return c.published(op, qos, cPublishV5(c.c, topic, payload, qos, retain, encoded))
}

func checkPublish(op, topic string, payload []byte, qos QoS) error {
	if err := checkText(op, "topic", topic); err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return badArgument(op, ErrPayloadSize, "payload: %d bytes, more than %d", len(payload), MaxPayload)
	}
	return checkQoS(op, qos)
}

// published keeps the mid of a message that the library has queued although it
// reports ErrNoConn.
func (c *Client) published(op string, qos QoS, r result) (mid int, err error) {
	c.wakeRun()
	err = c.finish(op, r)
	switch {
	case err == nil, Error(r.rc) == ErrNoConn && qos > 0:
		return r.mid, err
	case Error(r.rc) == ErrInval:
		return 0, badArgument(op, ErrInval, "topic: not one to publish on")
	case Error(r.rc) == ErrMalformedUTF8:
		return 0, badArgument(op, ErrMalformedUTF8, "topic: %s", discouragedFault)
	}
	return 0, err
}

// Subscribe is mosquitto_subscribe. Nil means queued: OnSubscribe is told what
// the broker granted, with this mid. Without a connection it wraps [ErrNoConn]
// and nothing is kept.
func (c *Client) Subscribe(filter string, qos QoS) (mid int, err error) {
	const op = "subscribe"
	if err := checkFilters(op, qos, filter); err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribe(c.c, filter, qos) })
}

// SubscribeOptions are the subscription options of MQTT 5; they combine.
type SubscribeOptions int

// The subscription options. Without one of the last two, retained messages are
// sent at every subscribe.
const (
	SubNoLocal           SubscribeOptions = cSubNoLocal           // not the client's own messages
	SubRetainAsPublished SubscribeOptions = cSubRetainAsPublished // keep the retain flag
	SubSendRetainNew     SubscribeOptions = cSubSendRetainNew     // retained messages for a new subscription only
	SubSendRetainNever   SubscribeOptions = cSubSendRetainNever   // no retained messages
)

// SubscribeV5 is mosquitto_subscribe_v5: [Client.Subscribe] with options and
// properties, for MQTT 5.
func (c *Client) SubscribeV5(filter string, qos QoS, options SubscribeOptions, props Properties) (mid int, err error) {
	const op = "subscribe_v5"
	if err := checkFilters(op, qos, filter); err != nil {
		return 0, err
	}
	encoded, err := encodeSubscribe(op, options, props)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribeV5(c.c, filter, qos, int(options), encoded) })
}

// SubscribeMultiple is mosquitto_subscribe_multiple: several filters in one
// packet, with one QoS and the same options for all.
func (c *Client) SubscribeMultiple(filters []string, qos QoS, options SubscribeOptions, props Properties) (mid int, err error) {
	const op = "subscribe_multiple"
	if err := checkFilters(op, qos, filters...); err != nil {
		return 0, err
	}
	encoded, err := encodeSubscribe(op, options, props)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribeMultiple(c.c, filters, qos, int(options), encoded) })
}

// Unsubscribe is mosquitto_unsubscribe. Nil means queued: OnUnsubscribe is told
// of the broker's answer.
func (c *Client) Unsubscribe(filter string) (mid int, err error) {
	const op = "unsubscribe"
	if err := checkFilters(op, 0, filter); err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribe(c.c, filter) })
}

// UnsubscribeV5 is mosquitto_unsubscribe_v5: [Client.Unsubscribe] with
// properties, for MQTT 5.
func (c *Client) UnsubscribeV5(filter string, props Properties) (mid int, err error) {
	const op = "unsubscribe_v5"
	if err := checkFilters(op, 0, filter); err != nil {
		return 0, err
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribeV5(c.c, filter, encoded) })
}

// UnsubscribeMultiple is mosquitto_unsubscribe_multiple: several filters in one
// packet.
func (c *Client) UnsubscribeMultiple(filters []string, props Properties) (mid int, err error) {
	const op = "unsubscribe_multiple"
	if err := checkFilters(op, 0, filters...); err != nil {
		return 0, err
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribeMultiple(c.c, filters, encoded) })
}

func checkFilters(op string, qos QoS, filters ...string) error {
	if len(filters) == 0 {
		return badArgument(op, ErrInval, "filters: none")
	}
	for _, filter := range filters {
		if err := checkName(op, "filter", filter); err != nil {
			return err
		}
		if err := checkMQTTText(op, "filter", filter); err != nil {
			return err
		}
		if cSubTopicCheck(filter) != cSuccess { // the library looks for a connection first
			return badArgument(op, ErrInval, "filter: not one to subscribe to")
		}
	}
	return checkQoS(op, qos)
}

func encodeSubscribe(op string, options SubscribeOptions, props Properties) ([]byte, error) {
	const all = SubNoLocal | SubRetainAsPublished | SubSendRetainNew | SubSendRetainNever
	if options&^all != 0 || options&SubSendRetainNew != 0 && options&SubSendRetainNever != 0 {
		return nil, badArgument(op, ErrInval, "options: %#x is no combination of the subscription options", int(options))
	}
	return encodeProperties(op, props, false)
}

// request is what subscribes and unsubscribes have in common.
func (c *Client) request(op string, call func() result) (mid int, err error) {
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	r := call()
	c.wakeRun()
	if err := c.finish(op, r); err != nil {
		if Error(r.rc) == ErrInval {
			err = badArgument(op, ErrInval, "filter: not one to subscribe to")
		}
		return 0, err
	}
	return r.mid, nil
}

// Loop is mosquitto_loop: it waits up to timeout for the network (negative: one
// second), reads and writes what there is, runs callbacks, and keeps the
// connection alive. An error means that the connection is gone, except
// [ErrInval] for a descriptor above 1023, which select(2) cannot watch.
func (c *Client) Loop(timeout time.Duration) error {
	return c.loop("loop", func() result { return cLoop(c.c, milliseconds(timeout)) })
}

// LoopForever is mosquitto_loop_forever: [Client.Loop] until Disconnect, which
// makes it return nil, reconnecting in between with the pauses of
// ReconnectDelaySet. It gives up, as the library does, on errors that it takes
// for fatal: among them a refusal by an MQTT 5 broker, and a TLS peer that went
// away without a word. Credentials that an MQTT 3 broker refuses are tried for
// ever; Disconnect in OnConnect ends that. Before 2.0.15 a DISCONNECT from an
// MQTT 5 broker ends it too, with nil. Before any connect it returns
// [ErrNoConn].
func (c *Client) LoopForever(timeout time.Duration) error {
	const op = "loop_forever"
	if c.made() && !c.used.Load() { // the library would try to connect to nowhere for ever
		return c.loop(op, func() result { return result{rc: cErrNoConn} })
	}
	return c.loop(op, func() result { return cLoopForever(c.c, milliseconds(timeout)) })
}

// LoopRead is mosquitto_loop_read, for a loop of one's own: call it when the
// socket is readable. It reads one packet at least if there is one.
func (c *Client) LoopRead() error {
	return c.loop("loop_read", func() result { return cLoopRead(c.c) })
}

// LoopWrite is mosquitto_loop_write, for a loop of one's own: call it when
// WantWrite says so and the socket is writable, and after publishing.
func (c *Client) LoopWrite() error {
	return c.loop("loop_write", func() result { return cLoopWrite(c.c) })
}

// LoopMisc is mosquitto_loop_misc, for a loop of one's own: call it once a
// second, it keeps the connection alive.
func (c *Client) LoopMisc() error {
	return c.loop("loop_misc", func() result { return cLoopMisc(c.c) })
}

func (c *Client) loop(op string, turn func() result) error {
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	back, err := c.own(op, 0)
	if err != nil {
		return err
	}
	defer c.disown(back)
	r := turn()
	c.leftInput(r)
	if err := c.watchable(op); err != nil && Error(r.rc) == ErrInval && r.panicked == 0 {
		return err
	}
	return c.finish(op, r)
}

const maxSelect = 1023 // the last descriptor of the library's select(2)

// watchable is an error when the library's own loops cannot watch the connection.
func (c *Client) watchable(op string) error {
	if fd := cSocket(c.c); fd > maxSelect {
		return badArgument(op, ErrInval, "descriptor %d: the library's select ends at %d", fd, maxSelect)
	}
	return nil
}

func milliseconds(timeout time.Duration) int {
	if timeout < 0 {
		return -1
	}
	return int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// Socket is mosquitto_socket: the connection's descriptor, -1 without one. It
// is the library's: watch it, do not close it.
func (c *Client) Socket() int {
	if c.begin("socket") != nil {
		return -1
	}
	defer c.end()
	return cSocket(c.c)
}

// WantWrite is mosquitto_want_write: whether there is something to write. On
// 2.0.16 and later it is true throughout a TLS handshake, on 2.1 also from
// Disconnect until the broker has closed.
func (c *Client) WantWrite() bool {
	if c.begin("want_write") != nil {
		return false
	}
	defer c.end()
	return cWantWrite(c.c)
}

// LoopStart is mosquitto_loop_start: [Client.LoopForever] on a thread of the
// library's, until Disconnect or LoopStop. Call it before or after connecting,
// and LoopStop in the end. Signals are kept off that thread. It needs
// descriptors below 1024, or it, or the first connect after it, wraps
// [ErrInval]. What makes LoopForever give up ends the thread without a word.
func (c *Client) LoopStart() error {
	const op = "loop_start"
	if err := c.begin(op); err != nil {
		return err
	}
	back, err := c.own(op, 0)
	if err != nil {
		c.end()
		return err
	}
	if err := c.watchable(op); err != nil {
		c.disown(back)
		c.end()
		return err
	}
	r := cLoopStart(c.c)
	if r.rc != cSuccess || r.panicked != 0 {
		cThreadedSet(c.c, !c.single.Load())
		c.disown(back)
		c.end()
		return c.finish(op, r)
	}
	c.owner.Store(ownerThread) // and its call goes on until LoopStop
	return nil
}

// LoopStop is mosquitto_loop_stop: it waits until LoopStart's thread has ended.
// If Disconnect was not called, it is now: the library would wait for ever. A
// connection that takes longer than five seconds to end is cut; a reconnect in
// progress is waited for. force, which would kill the thread with its locks
// held, is refused: [ErrNotSupported]. It wraps [ErrInval] when no thread was
// started.
func (c *Client) LoopStop(force bool) error {
	const op = "loop_stop"
	if force {
		return badArgument(op, ErrNotSupported, "force: cancelling a thread leaves its locks held")
	}
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if cInside(c.c)&^evPosted != 0 {
		return &OpError{Op: op, Err: ErrInCallback}
	}
	if !c.owner.CompareAndSwap(ownerThread, ownerCall) {
		if c.owner.Load() == ownerNone {
			return badArgument(op, ErrInval, "LoopStart was not called")
		}
		return &OpError{Op: op, Err: ErrBusy}
	}
	stop := c.insist()
	r := c.joinThread()
	stop()
	return c.finish(op, r)
}

// joinThread waits for LoopStart's thread, gives the network side back and
// leaves the gate for it.
func (c *Client) joinThread() result {
	defer c.end()
	c.awaitGoodbye()
	r := cLoopStop(c.c, !c.single.Load())
	c.owner.Store(ownerNone)
	return r
}

// awaitGoodbye waits, a little longer than it takes to cut, for the end of the
// connection: 2.1's loop_stop ends the loop where it stands, before the
// DISCONNECT is sent, and the broker would publish the will.
func (c *Client) awaitGoodbye() {
	deadline := time.Now().Add(stopGrace + stopGrace/10)
	for has21 && cSocket(c.c) >= 0 && c.watchable("") == nil && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
}
