//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// attempt is a connection, or the attempt at one. Owned by the loop, but for detail.
type attempt struct {
	server    server
	timer     *time.Timer // of the connect timeout
	accepted  time.Time   // zero before CONNACK
	online    bool        // accepted, and not lost
	announced bool        // StateConnected was announced
	useful    bool        // the broker has sent more than CONNACK
	discarded bool        // acknowledgements count for nothing: the broker has lost the session
	sequence  int         // packets submitted so far
	resent    int         // sequence when the library sent its own messages again
	reason    error       // of the broker's DISCONNECT
	text      string      // CONNACK's reason string
	detail    detail      // what the library logged
}

// ending is how an attempt ended.
type ending struct {
	err       error
	accepted  bool
	useful    bool          // the broker has sent more than CONNACK
	retryNow  bool          // the next attempt needs no pause
	discarded bool          // the client has ended it at once, to connect again
	lasted    time.Duration // since it was accepted
}

// lastConnection is what the loop remembers between connections.
type lastConnection struct {
	server        string          // that accepted the client last
	limits        *limits         // the last ones that the library client knows; nil for a new client
	noIdentifiers map[string]bool // servers that send several subscription identifiers in one packet
	noReconnect   bool            // there is to be no other connection
}

// isOnline reports whether there is a connection that the broker has accepted.
func (c *Client) isOnline() bool { return c.conn != nil && c.conn.online }

// connect tries one server, at each of its addresses, and stays until the connection
// has ended.
func (c *Client) connect(s server) ending {
	addresses, err := c.resolve(s)
	if err != nil {
		return ending{err: &ConnectError{Server: s.name, Err: err}}
	}
	var all ending
	for _, at := range addresses {
		var e ending
		for _, version := range c.opts.protocols {
			e = c.attempt(s, at, version)
			if e.accepted || c.isStopping() || !refusesVersion(e.err) {
				break
			}
		}
		var refusal mosquitto.ConnackError
		if e.accepted || c.isStopping() || errors.As(e.err, &refusal) {
			return e
		}
		all = preferPermanent(all, e)
	}
	return all
}

// resolve looks up the addresses of a server.
func (c *Client) resolve(s server) (all []address, err error) {
	if s.isLiteral() || c.opts.proxied { // a proxy looks names up itself
		return []address{{s.host, c.opts.bind}}, nil
	}
	err = c.runInBackground(func() (err error) {
		all, err = c.addresses(s)
		return err
	})
	return all, err
}

// preferPermanent chooses between the failures of two addresses of a server: a permanent
// one, or the last. A host without IPv6 must not hide a bad certificate.
func preferPermanent(before, now ending) ending {
	if before.err != nil && isPermanent(before.err) {
		return before
	}
	return now
}

// attempt makes one connection and serves it until it ends.
func (c *Client) attempt(s server, at address, version Protocol) ending {
	ctx, cancel := context.WithCancelCause(c.connectCtx)
	defer cancel(nil)
	a := &attempt{server: s, timer: time.AfterFunc(c.opts.connectTimeout, func() { cancel(ErrTimeout) })}
	defer a.timer.Stop()
	c.conn = a
	err := c.open(ctx, a, at, version)
	if err == nil {
		c.turn()
		err = c.library.Load().RunOnce(ctx)
	}
	if errors.Is(context.Cause(ctx), ErrTimeout) {
		err = ErrTimeout
	}
	return c.ended(a, err)
}

// open prepares a connection and begins it.
func (c *Client) open(ctx context.Context, a *attempt, at address, version Protocol) error {
	if c.replace {
		if err := c.replaceLibrary(); err != nil {
			return err
		}
	}
	if err := c.prepare(ctx, a.server, version); err != nil {
		return err
	}
	c.status.use(a.server.name)
	c.watchLibraryLog(a)
	connect := func() error {
		return c.library.Load().ConnectContext(ctx, at.host, a.server.port, c.opts.keepalive, at.bind, c.connectProperties(version))
	}
	if a.server.isLiteral() {
		return connect()
	}
	return c.runInBackground(connect)
}

// prepare makes the settings of one connection.
func (c *Client) prepare(ctx context.Context, s server, version Protocol) error {
	m := c.library.Load()
	username, password, err := c.credentials(ctx, s)
	if err != nil {
		return err
	}
	if err := m.UsernamePwSet(username, password); err != nil {
		return err
	}
	if version != c.protocolNow() {
		if err := c.setProtocol(m, version); err != nil {
			return err
		}
		if err := c.setWill(m); err != nil {
			return err
		}
	}
	return c.setTransport(m, s)
}

// credentials returns those of an attempt. A function of the program's runs beside the
// loop, and is left behind when ctx ends.
func (c *Client) credentials(ctx context.Context, s server) (username, password string, err error) {
	f := c.opts.credentials
	switch {
	case f != nil:
		answer := make(chan [2]string, 1)
		err = c.runInBackgroundUntil(ctx, func() error {
			username, password, err := f(ctx)
			answer <- [2]string{username, password}
			return err
		})
		if err != nil {
			return "", "", wrapError("credentials", err)
		}
		both := <-answer
		return both[0], both[1], nil
	case c.opts.username != "" || c.opts.password != "":
		return c.opts.username, c.opts.password, nil
	}
	return s.user, s.password, nil
}

// connectProperties are those of the CONNECT packet.
func (c *Client) connectProperties(version Protocol) Properties {
	if version != V5 {
		return nil
	}
	props := c.opts.connect.Clone()
	if c.opts.keepSession {
		props = append(props, mosquitto.Property{ID: mosquitto.PropSessionExpiryInterval, Number: c.opts.expirySeconds()})
	}
	return props
}

// onConnect is called by the library with the broker's CONNACK. Subscriptions that the
// broker does not know are sent before anything else: the library repeats its own
// messages next, and queued messages follow.
func (c *Client) onConnect(_ *mosquitto.Client, connack mosquitto.Connack) {
	a := c.conn
	a.text, _ = connack.Properties.Text(mosquitto.PropReasonString)
	if connack.Code != mosquitto.ConnackAccepted {
		return // RunOnce returns it
	}
	a.timer.Stop()
	a.accepted = time.Now()
	c.count.connects.Add(1)
	if !c.log.debug() {
		c.library.Load().OnLog(nil)
	}
	kept := connack.SessionPresent && (c.last.server == "" || a.server.name == c.last.server) // another broker may know an older session
	c.last.server = a.server.name
	l := limitsOf(connack.Properties, c.protocolNow())
	if !connack.SessionPresent && c.inflight.countQoS2 > 0 || c.last.limits.outlives(l) && !c.exactlyOnce() {
		c.reconnectWithNewLibrary(a)
		return
	}
	a.online = true
	c.last.limits = l
	c.inflight.window.reset(l.receiveMaximum)
	c.brokerLimits.Store(l)
	c.log.connected(a.server.name, connack.SessionPresent, c.protocolNow())
	c.subs.connectionAccepted(kept, c.protocolNow() == V5) // MQTT 5 can subscribe again without retained messages
	c.endRemoved()
	c.reconcile()
	a.resent = a.sequence
	c.announceConnected()
	c.wake()
}

// reconnectWithNewLibrary ends a connection that the library client is not fit for. If the broker has
// lost the session of QoS 2 messages in flight, the library would complete them without
// delivering them; if the broker has fewer limits than before, the library goes on with
// the old ones. A new library client submits the messages again.
func (c *Client) reconnectWithNewLibrary(a *attempt) {
	a.discarded = true
	c.replace = true
	_ = c.library.Load().Disconnect()
}

// settle announces the connection when all subscriptions are back.
func (c *Client) announceConnected() {
	a := c.conn
	if !c.isOnline() || a.announced || c.subs.missing > 0 {
		return
	}
	a.announced = true
	c.setState(StateChange{State: StateConnected, Server: a.server.name})
	select {
	case <-c.firstConnected:
	default:
		close(c.firstConnected)
	}
}

// onDisconnect is called by the library when a connection has ended.
func (c *Client) onDisconnect(_ *mosquitto.Client, d mosquitto.Disconnection) {
	var reason mosquitto.ReasonError
	if errors.As(d.Err, &reason) {
		text, _ := d.Properties.Text(mosquitto.PropReasonString)
		c.conn.reason = withReason(reason, text)
	}
	c.goOffline()
}

// goOffline stops submitting. QoS 0 messages that may not have been written end.
func (c *Client) goOffline() {
	c.conn.online = false
	c.brokerLimits.Store(nil)
	c.failUnwritten()
}

// ended draws the conclusions from the end of an attempt.
func (c *Client) ended(a *attempt, err error) ending {
	c.goOffline()
	if a.reason != nil {
		err = a.reason
	}
	if err == nil {
		err = mosquitto.ErrConnLost
	}
	e := ending{
		err:      &ConnectError{a.server.name, err, a.text, a.detail.String(), !a.accepted.IsZero()},
		accepted: !a.accepted.IsZero(), useful: a.useful, discarded: a.discarded,
	}
	if e.accepted {
		e.lasted = time.Since(a.accepted)
	}
	request, message := c.subs.oldestRequest(), c.inflight.oldest()
	c.subs.connectionLost()
	switch {
	case !e.accepted || a.discarded:
	case errors.Is(err, mosquitto.ErrDuplicateProperty) && c.usesIdentifiers(a.server.name):
		c.stopIdentifiers(a.server.name)
		e.retryNow = true
	case !closedByBroker(a, err):
	case request != nil && (message == nil || request.sequence < a.sequenceOf(message)):
		c.countRequestClosure(request, err)
	case message != nil:
		c.countMessageClosure(message, err)
	}
	if !c.opts.keepSession && c.inflight.countQoS2 > 0 {
		c.replace = true // the broker forgets them with the session
	}
	return e
}

// sequenceOf is when a message was sent on this connection: those of earlier ones are
// sent again after the first SUBSCRIBE packets.
func (a *attempt) sequenceOf(t *Token) int {
	if t.connection != a {
		return a.resent
	}
	return t.sequence
}

// closedByBroker reports whether the broker has ended a connection, rather than the
// network, the client or the library.
func closedByBroker(a *attempt, err error) bool {
	if a.reason != nil {
		return true
	}
	for _, end := range []error{mosquitto.ErrConnLost, mosquitto.ErrTLS, syscall.ECONNRESET, syscall.EPIPE, syscall.EPROTO} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// usesIdentifiers reports whether subscription identifiers are sent to a server.
func (c *Client) usesIdentifiers(server string) bool {
	return c.protocolNow() == V5 && c.opts.identifiers && !c.last.noIdentifiers[server]
}

// stopIdentifiers goes on without subscription identifiers: the library cannot read a
// PUBLISH packet that has several.
func (c *Client) stopIdentifiers(server string) {
	if c.last.noIdentifiers == nil {
		c.last.noIdentifiers = map[string]bool{}
	}
	c.last.noIdentifiers[server] = true
	c.log.identifiersOff(server)
}

// refusesVersion reports whether a lower version of MQTT may do. Brokers that do not
// know a version answer in the oddest ways, or not at all.
func refusesVersion(err error) bool {
	var refusal mosquitto.ConnackError
	if errors.As(err, &refusal) {
		return refusal.Code == mosquitto.ConnackRefusedProtocolVersion ||
			refusal.Code == mosquitto.ConnackCode(mosquitto.RCUnsupportedProtocolVersion) ||
			refusal.Code == mosquitto.ConnackCode(mosquitto.RCProtocolError) ||
			refusal.Code == mosquitto.ConnackCode(mosquitto.RCMalformedPacket)
	}
	return errors.Is(err, mosquitto.ErrConnLost) || errors.Is(err, mosquitto.ErrMalformedPacket) || errors.Is(err, mosquitto.ErrProtocol)
}

// isPermanent reports whether the next attempt would fail in the same way.
func isPermanent(err error) bool {
	var refusal mosquitto.ConnackError
	var failure *ConnectError
	switch {
	case errors.As(err, &refusal):
		return !refusal.Code.Temporary()
	case errors.Is(err, mosquitto.ErrNotSupported), errors.Is(err, mosquitto.ErrInval), errors.Is(err, mosquitto.ErrNoMem):
		return true
	}
	return errors.As(err, &failure) && isPermanentTLS(failure.Detail)
}
