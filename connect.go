//go:build cgo

package mosquitto

import (
	"context"
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// Connects and Disconnect. This file has the server of the last connect, which only the
// owner of the network side uses, and the connects that wait in the resolver or in
// connect(2).

// server is the address of the last connect.
type server struct {
	host      string
	port      int
	bind      string
	proxy     string // host of the SOCKS5 proxy, "" without one
	keepalive time.Duration
}

// Connect wraps mosquitto_connect: it connects to host and queues a CONNECT. It
// blocks until the TCP connection is made, or every address of the host was
// tried; the resolver and the kernel decide how long that takes. OnConnect
// reports the CONNACK, in the loop. With port 0 host is the path of a unix
// socket. keepalive is in whole seconds: 0 (off), or 5 s to 65,535 s.
//
// Connect returns [ErrBusy] while a loop is running, except before the first
// connect with [Client.LoopStart]. Inside OnDisconnect it is allowed after a
// loss; inside other callbacks it returns [ErrInCallback].
func (c *Client) Connect(host string, port int, keepalive time.Duration) error {
	to := server{host: host, port: port, keepalive: keepalive}
	return c.connectTo("connect", to, cReconnect, func(seconds int) result {
		return cConnect(c.c, host, port, seconds)
	})
}

// ConnectBind wraps mosquitto_connect_bind: it is [Client.Connect] from the local
// address bind, which applies to later connects too.
func (c *Client) ConnectBind(host string, port int, keepalive time.Duration, bind string) error {
	to := server{host: host, port: port, bind: bind, keepalive: keepalive}
	return c.connectTo("connect_bind", to, cReconnect, func(seconds int) result {
		return cConnectBind(c.c, host, port, seconds, bind)
	})
}

// ConnectBindV5 wraps mosquitto_connect_bind_v5: it is [Client.ConnectBind] with
// CONNECT properties, which apply to reconnects and to ConnectAsync too. Without
// MQTT 5 ([OptProtocolVersion]) it returns an error that wraps [ErrNotSupported].
func (c *Client) ConnectBindV5(host string, port int, keepalive time.Duration, bind string, props Properties) error {
	const op = "connect_bind_v5"
	encoded, err := encodeProperties(op, props, true)
	if err != nil {
		return err
	}
	to := server{host: host, port: port, bind: bind, keepalive: keepalive}
	return c.connectTo(op, to, cReconnect, func(seconds int) result {
		c.props = true
		return cConnectBindV5(c.c, host, port, seconds, bind, encoded)
	})
}

// ConnectAsync wraps mosquitto_connect_async: it starts a TCP connection, which
// the loop completes. The resolver still blocks, and only one address of the
// host is tried. With LoopStart, call ConnectAsync after it.
func (c *Client) ConnectAsync(host string, port int, keepalive time.Duration) error {
	to := server{host: host, port: port, keepalive: keepalive}
	return c.connectTo("connect_async", to, cReconnectAsync, func(seconds int) result {
		return cConnectAsync(c.c, host, port, seconds)
	})
}

// ConnectBindAsync wraps mosquitto_connect_bind_async: it is
// [Client.ConnectAsync] from the local address bind.
func (c *Client) ConnectBindAsync(host string, port int, keepalive time.Duration, bind string) error {
	to := server{host: host, port: port, bind: bind, keepalive: keepalive}
	return c.connectTo("connect_bind_async", to, cReconnectAsync, func(seconds int) result {
		return cConnectBindAsync(c.c, host, port, seconds, bind)
	})
}

// portOfSRV is the port of a server that DNS names, for checkServer.
const portOfSRV = math.MinInt

// ConnectSRV wraps mosquitto_connect_srv: it looks the broker up in DNS, in _mqtt._tcp
// of host. It returns [ErrNotSupported] if the library was built without it, as in
// Debian. Use [net.LookupSRV] and [Client.Connect] then.
func (c *Client) ConnectSRV(host string, keepalive time.Duration, bind string) error {
	to := server{host: host, port: portOfSRV, bind: bind, keepalive: keepalive}
	return c.connectTo("connect_srv", to, cReconnect, func(seconds int) result {
		return cConnectSRV(c.c, host, seconds, bind)
	})
}

// Reconnect wraps mosquitto_reconnect: it repeats the last connect, and blocks as
// Connect does. Without an earlier connect it returns an error that wraps
// [ErrInval]. The library drops queued QoS 0 messages, subscribes and
// unsubscribes; it sends QoS 1 and 2 messages again. Inside OnDisconnect it is
// allowed after a loss, not after Disconnect ([ErrInCallback]). Run, LoopForever
// and LoopStart reconnect by themselves.
//
// On 2.1 the library may hold input of the last connection, which it would parse
// as the new connection's. All connects get rid of it: they connect once more
// for each packet of it, and the broker sees connections without a CONNECT.
func (c *Client) Reconnect() error {
	return c.connect("reconnect", cReconnect, func() result { return cReconnect(c.c) })
}

// ReconnectAsync wraps mosquitto_reconnect_async: it repeats the last connect as
// [Client.ConnectAsync] does.
func (c *Client) ReconnectAsync() error {
	return c.connect("reconnect_async", cReconnectAsync, func() result { return cReconnectAsync(c.c) })
}

// ConnectAsyncContext wraps mosquitto_connect_bind_async with the properties of
// [Client.ConnectBindV5], and ends with ctx. It is for programs that choose a
// server for each connection, with [Client.RunOnce]. The loop completes the TCP
// connection, to one address of the host. When ctx ends, a blocked resolver is
// left behind: calls that need the network side return [ErrBusy] until it has
// returned. An IP address or a unix socket never blocks.
//
// props may be nil. Properties need MQTT 5: otherwise ConnectAsyncContext returns an error
// that wraps [ErrNotSupported]. It returns [ErrInCallback] inside a callback, and [ErrBusy]
// while a loop runs.
func (c *Client) ConnectAsyncContext(ctx context.Context, host string, port int, keepalive time.Duration, bind string, props Properties) error {
	const op = "connect_bind_async"
	to := server{host: host, port: port, bind: bind, keepalive: keepalive}
	seconds, err := to.check(op)
	if err != nil {
		return err
	}
	encoded, err := encodeProperties(op, props, true)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.begin(op); err != nil {
		return err
	}
	if _, err := c.own(op, 0); err != nil {
		c.end()
		return err
	}
	if rc := c.connectProperties(host, encoded); rc.rc != cSuccess {
		c.disown(ownerNone)
		c.end()
		return libError(op, rc)
	}
	c.setServer(to)
	c.noteConnect()
	connect := func() result {
		return c.withoutOldInput(cReconnectAsync, func() result { return cConnectBindAsync(c.c, host, port, seconds, bind) })
	}
	if c.server.literal() {
		defer c.end()
		defer c.disown(ownerNone)
		return c.finish(op, connect())
	}
	return c.connectWithin(ctx, op, connect)
}

// connectProperties stores the properties for the connects to come. The library
// accepts them in its blocking connect only; it stores them before it refuses
// the port.
func (c *Client) connectProperties(host string, encoded []byte) result {
	if encoded != nil && !c.v5.Load() {
		return result{rc: int(ErrNotSupported)}
	}
	if encoded == nil && !c.props { // the library has none either
		return result{}
	}
	c.props = true
	const noPort = -1
	r := cConnectBindV5(c.c, host, noPort, 0, "", encoded)
	if Error(r.rc) == ErrInval {
		r.rc = cPropertyCheckAll(CmdConnect, encoded)
	}
	return r
}

// check checks the arguments of a connect, and returns keepalive in seconds.
func (s server) check(op string) (seconds int, err error) {
	if err := checkName(op, "host", s.host); err != nil {
		return 0, err
	}
	if err := checkText(op, "bind", s.bind); err != nil {
		return 0, err
	}
	if s.port != portOfSRV && (s.port < 0 || s.port > 65535) {
		return 0, badArgument(op, ErrInval, "port: %d is not between 0 and 65535", s.port)
	}
	if s.keepalive != 0 && (s.keepalive < 5*time.Second || s.keepalive > 65535*time.Second) {
		return 0, badArgument(op, ErrInval, "keepalive: %v is neither 0 nor between 5 s and 65535 s", s.keepalive)
	}
	return int(s.keepalive / time.Second), nil
}

// literal reports whether a connect needs no resolver. Then there is one address
// only, and an asynchronous connect is as good as a blocking one.
func (s server) literal() bool {
	if s.port == 0 { // a unix socket
		return true
	}
	host := s.host
	if s.proxy != "" {
		host = s.proxy
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// connectTo is the common part of the connects to a new server. again repeats the
// connect.
func (c *Client) connectTo(op string, to server, again func(*cClient) result, call func(seconds int) result) error {
	seconds, err := to.check(op)
	if err != nil {
		return err
	}
	return c.connect(op, again, func() result {
		c.setServer(to)
		return call(seconds)
	})
}

// setServer keeps the server of a connect. The proxy is a setting and stays.
func (c *Client) setServer(to server) {
	to.proxy = c.server.proxy
	c.server = to
}

// noteConnect notes that a connect begins.
func (c *Client) noteConnect() {
	c.setLeaving(false)
	c.used.Store(true)
}

// connect makes a connect in the calling goroutine.
func (c *Client) connect(op string, again func(*cClient) result, call func() result) error {
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
	c.noteConnect()
	err = c.finish(op, c.withoutOldInput(again, call))
	if err == nil && back == ownerThread {
		err = c.selectable(op) // or LoopStart's thread has ended
	}
	return err
}

// withoutOldInput connects, and repeats that as long as the library still holds
// input of the last connection (2.1). Each attempt removes one packet of it.
func (c *Client) withoutOldInput(again func(*cClient) result, connect func() result) result {
	r := c.inOpensslTurn(connect)
	for r.rc <= cSuccess && r.panicked == 0 && c.stale.Load() {
		rc := cReadSilently(c.c)
		c.stale.Store(rc > cSuccess && !isSocketError(Error(rc)) && cSocket(c.c) < 0)
		r = c.inOpensslTurn(func() result { return again(c.c) })
	}
	return r
}

// noteOldInput notes that a connection ended while the library may have held
// more input than it had parsed.
func (c *Client) noteOldInput(r result) {
	if !has21 {
		return
	}
	if r.panicked != 0 || r.rc != cSuccess && !isSocketError(Error(r.rc)) {
		c.stale.Store(true)
	}
}

// isSocketError reports whether code came from the socket, after all input,
// rather than from parsing input.
func isSocketError(code Error) bool {
	switch code {
	case ErrConnLost, ErrErrno, ErrNoConn, ErrTLS, ErrEAI, ErrKeepalive:
		return true
	}
	return false
}

// connectSlots limits the threads of this process that wait in the resolver or
// in connect(2) for a Run or a ConnectAsyncContext.
var connectSlots = make(chan struct{}, 64)

// blockingConnect is a connect that runs in its own goroutine, so that the caller
// can return before the connect does.
type blockingConnect struct {
	c     *Client
	done  chan result
	taken atomic.Bool // one side has taken charge of the result
}

// startBlocking runs connect in a new goroutine. The caller has taken a slot, has
// entered the gate for the goroutine, and owns the network side.
func (c *Client) startBlocking(connect func() result) *blockingConnect {
	b := &blockingConnect{c: c, done: make(chan result, 1)}
	go b.run(connect)
	return b
}

// run reports the result. If the caller has left, run closes the connection and
// releases the network side.
func (b *blockingConnect) run(connect func() result) {
	defer b.c.end()
	attempt := connect()
	<-connectSlots
	if b.taken.CompareAndSwap(false, true) {
		b.done <- attempt
		return
	}
	cAbandon(b.c.c)
	b.c.disown(ownerNone)
	if attempt.panicked != 0 {
		panic(takePanic(int32(attempt.panicked)))
	}
}

// abandon leaves the connect to its goroutine, which then closes the connection and releases
// the network side. It reports false if the connect has already returned: then done has its
// result.
func (b *blockingConnect) abandon() bool { return b.taken.CompareAndSwap(false, true) }

// connectWithin calls connect, which may block. It does not wait for connect after ctx
// has ended.
func (c *Client) connectWithin(ctx context.Context, op string, connect func() result) error {
	select {
	case connectSlots <- struct{}{}:
	case <-ctx.Done():
		c.disown(ownerNone)
		c.end()
		return ctx.Err()
	}
	b := c.startBlocking(connect)
	select {
	case r := <-b.done:
		defer c.disown(ownerNone)
		return c.finish(op, r)
	case <-ctx.Done():
		if b.abandon() {
			return ctx.Err()
		}
		defer c.disown(ownerNone)
		return c.finish(op, <-b.done)
	}
}

// Disconnect wraps mosquitto_disconnect: it queues a DISCONNECT and ends the
// loop of Run, LoopForever or LoopStart, which sends it. OnDisconnect is called
// when it was sent, on 2.1 when the broker has closed. It may be called from any
// goroutine and inside callbacks. Call it when OnPublish has reported the last message:
// before 2.1 the library closes directly after the DISCONNECT, and the broker may lose
// messages that it has not acknowledged.
//
// Without a connection it returns an error that wraps [ErrNoConn], also when
// LoopStart's thread was faster (2.0.21 and later). The loop ends all the same.
//
// In the library's own loops a packet that arrives before the DISCONNECT was
// sent ends the connection without it, and the broker publishes the will. On 2.1
// this happens at every Disconnect inside a message callback while more messages
// are unread. Run sends the DISCONNECT before it reads on.
func (c *Client) Disconnect() error {
	const op = "disconnect"
	if err := c.begin(op); err != nil {
		return err
	}
	defer c.end()
	if r := c.run.Load(); r != nil {
		return r.disconnect(op, disconnect{})
	}
	c.noteDisconnect()
	return c.finish(op, cDisconnect(c.c))
}

// DisconnectV5 wraps mosquitto_disconnect_v5: it is [Client.Disconnect] with a
// reason code, which only an MQTT 5 connection sends, and properties, which need
// MQTT 5 ([ErrNotSupported]).
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
		return r.disconnect(op, disconnect{int(reason), encoded})
	}
	r := cDisconnectV5(c.c, int(reason), encoded)
	if r.rc == cSuccess || Error(r.rc) == ErrNoConn {
		c.noteDisconnect()
	}
	return c.finish(op, r)
}

// noteDisconnect notes a Disconnect outside Run. Beside a loop the library may
// then drop input (2.1), and forget the Disconnect.
func (c *Client) noteDisconnect() {
	c.setLeaving(true)
	if has21 && c.owner.Load() != ownerNone {
		c.stale.Store(true)
	}
	if f := c.forever.Load(); f != nil && !f.repeating.Swap(true) {
		go c.repeatDisconnect(f)
	}
}

// setLeaving notes for the loops in Go and in C whether Disconnect was called
// since the last connect.
func (c *Client) setLeaving(leaving bool) {
	c.leaving.Store(leaving)
	cLeavingSet(c.c, leaving)
}

// ExtAuthContinue wraps mosquitto_ext_auth_continue: it queues the next AUTH
// packet of an extended authentication, inside [Client.OnExtAuth]. It returns
// [ErrNotSupported] before 2.1.
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
