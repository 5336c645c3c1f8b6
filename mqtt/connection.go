//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// attempt is a connection, or an attempt to make a connection. Owned by the loop, except
// life and detail.
type attempt struct {
	server       *server
	life         lifetime        // ends with the connect timeout and with the attempt
	ctx          context.Context // life, or a context for functions of the program that ends with life
	timer        *time.Timer     // connect timeout; nil after CONNACK
	link         *atEnd          // ends life when the client ends
	accepted     time.Time       // zero before CONNACK
	online       bool            // accepted and not lost
	announced    bool            // StateConnected was announced
	useful       bool            // the broker has sent a packet after CONNACK
	renewed      bool            // Reconnect has ended the connection
	restarted    bool            // the client reconnects at once with another topic alias maximum
	discarded    bool            // acknowledgements are ignored: the client replaces the library client
	aliasMaximum uint16          // topic alias maximum of CONNECT
	sequence     int             // packets submitted so far
	resent       int             // sequence at the moment when the library sent its in-flight messages again
	reason       error           // the reason of the DISCONNECT that the broker sent
	failure      error           // why the client has cut the connection: its exchange failed
	auth         *authentication // nil without WithAuth
	connack      *Connack        // nil before CONNACK
	detail       detail          // lines that the library logged
	relay        *relay          // nil if the library connects to the server itself

	call *onConnectCall // nil without functions of WithOnConnect
}

// ending describes how an attempt ended.
type ending struct {
	err       error
	accepted  bool
	useful    bool          // the broker has sent a packet after CONNACK
	retryNow  bool          // the next attempt needs no delay
	planned   bool          // the client disconnected on purpose, to connect again at once
	lasted    time.Duration // since CONNACK
	reference string        // the server that the broker named when it refused the client
}

// lastConnection is the state that the loop keeps between connections.
type lastConnection struct {
	server        string              // the last server that accepted the client
	connack       *Connack            // the last CONNACK that the library client received; nil for a new library client
	versions      map[string]Protocol // versions that servers have accepted, if the client may lower the version
	aliasLimits   map[string]int      // topic aliases that servers may use, if fewer than WithTopicAliasMaximum allows
	noIdentifiers map[string]bool     // servers that sent several subscription identifiers in one packet
	noReconnect   bool                // the loop must not reconnect
}

// noteVersion notes the version that a server has accepted. Only clients that may lower
// the version need it.
func (c *Client) noteVersion(server string) {
	if len(c.opts.protocols) == 1 {
		return
	}
	if c.last.versions == nil {
		c.last.versions = map[string]Protocol{}
	}
	c.last.versions[server] = c.protocolNow()
}

// isOnline reports whether a connection is accepted and not lost.
func (c *Client) isOnline() bool { return c.conn != nil && c.conn.online }

// connect tries the addresses of a server one after the other. It returns when the
// connection has ended, or when all addresses have failed. The functions from run to
// RunOnce have small frames, because they are on the stack of every idle client: see
// TestScale_ThousandClientsNeedNoThreads.
func (c *Client) connect(s *server) *ending {
	if c.needsNoResolver(s) {
		return c.tryVersions(s, &address{s.host, c.opts.bind})
	}
	return c.tryAddresses(s)
}

func (c *Client) tryAddresses(s *server) *ending {
	addresses, err := c.resolve(s)
	if err != nil {
		return &ending{err: &ConnectError{Server: s.name, Err: err}}
	}
	all := &ending{}
	for _, at := range addresses {
		e := c.tryVersions(s, &at)
		if e.accepted || c.isStopping() || isRefused(e.err) {
			return e
		}
		all = preferPermanent(all, e)
	}
	return all
}

func (c *Client) tryVersions(s *server, at *address) (e *ending) {
	for i := range c.opts.protocols {
		e = c.attempt(s, at, c.opts.protocols[i])
		if e.accepted || c.isStopping() || !c.mayLowerVersion(s, c.opts.protocols[i], e.err) {
			break
		}
	}
	return e
}

// isRefused reports whether the broker has refused the client.
func isRefused(err error) bool {
	var refusal mosquitto.ConnackError
	return errors.As(err, &refusal)
}

// needsNoResolver reports whether a server is an address, or a proxy or a dialer resolves
// its name.
func (c *Client) needsNoResolver(s *server) bool {
	return s.isLiteral() || c.opts.proxied || c.opts.isRelayed()
}

// resolve looks up the addresses of a server.
func (c *Client) resolve(s *server) (all []address, err error) {
	err = c.runInBackground(func() (err error) {
		all, err = c.addresses(s)
		return err
	})
	return all, err
}

// preferPermanent chooses which failure of two addresses is reported: a permanent error
// if there is one, else the last error. Otherwise a host without IPv6 would hide a bad
// certificate.
func preferPermanent(before, now *ending) *ending {
	if before.err != nil && isPermanent(before.err) {
		return before
	}
	return now
}

// attempt makes one connection and serves it until it ends.
func (c *Client) attempt(s *server, at *address, version Protocol) *ending {
	a := c.newAttempt(s)
	err := c.open(a, at, version)
	if err == nil {
		c.turn()
		err = c.library.Load().RunOnce(&a.life)
	}
	return c.ended(a, a.end(err))
}

// newAttempt starts the connect timeout of an attempt.
func (c *Client) newAttempt(s *server) *attempt {
	a := &attempt{server: s, life: lifetime{client: c}}
	a.ctx = &a.life
	if c.opts.callsProgram() {
		a.ctx = a.life.full()
	}
	a.link = c.connectCtx.add(func() { a.life.end(context.Canceled) })
	a.timer = time.AfterFunc(c.opts.connectTimeout, func() { a.life.end(ErrConnectTimeout) })
	c.conn = a
	return a
}

// callsProgram reports whether an attempt calls functions of the program with its context.
func (s *settings) callsProgram() bool {
	return s.credentials != nil || s.willFunc != nil || s.auth != nil || s.isRelayed() || s.tls != nil || s.tlsFunc != nil
}

// end ends the context of an attempt. err is the error of the attempt, and end returns the
// error to report.
func (a *attempt) end(err error) error {
	a.life.client.connectCtx.remove(a.link)
	if a.timer != nil {
		a.timer.Stop()
	}
	a.life.end(context.Canceled)
	if errors.Is(a.life.cause(), ErrConnectTimeout) {
		return ErrConnectTimeout
	}
	return err
}

// open sets the library up for one connection, and sends CONNECT.
func (c *Client) open(a *attempt, at *address, version Protocol) error {
	if c.replace {
		if err := c.replaceLibrary(); err != nil {
			return err
		}
	}
	if err := c.prepare(a.ctx, a.server, version); err != nil {
		return err
	}
	if err := c.startAuth(a); err != nil {
		return err
	}
	c.status.use(a.server.name)
	c.watchLibraryLog(a)
	props := c.connectProperties(a, version)
	if c.opts.isRelayed() {
		return c.openRelay(a.ctx, a, props)
	}
	connect := func() error {
		return c.library.Load().ConnectAsyncContext(&a.life, at.host, a.server.port, c.opts.keepalive, at.bind, props)
	}
	if a.server.isLiteral() {
		return connect()
	}
	return c.runInBackground(connect)
}

// prepare sets credentials, TLS, protocol version, will and transport of one connection.
func (c *Client) prepare(ctx context.Context, s *server, version Protocol) error {
	m := c.library.Load()
	username, password, err := c.credentials(ctx, s)
	if err != nil {
		return err
	}
	will, err := c.will(ctx)
	if err != nil {
		return err
	}
	if username != "" || password != "" || c.hasUser || len(c.opts.setup) > 0 {
		c.hasUser = true
		if err := m.UsernamePwSet(username, password); err != nil {
			return named("credentials", err)
		}
	}
	if err := c.setTLS(ctx); err != nil {
		return err
	}
	if version != c.protocolNow() {
		if err := c.setProtocol(m, version); err != nil {
			return err
		}
	}
	if err := c.setWill(m, will); err != nil {
		return setupError{err}
	}
	return c.setTransport(m, s)
}

// credentials returns the credentials of an attempt. The function of WithCredentialsFunc
// runs in its own goroutine. If ctx ends first, the loop does not wait for the function.
func (c *Client) credentials(ctx context.Context, s *server) (username, password string, err error) {
	f := c.opts.credentials
	switch {
	case f != nil:
		both, err := valueInBackground(ctx, c, func() ([2]string, error) {
			username, password, err := f(ctx)
			return [2]string{username, password}, err
		})
		if err != nil {
			return "", "", wrapError("credentials", err)
		}
		return both[0], both[1], nil
	case c.opts.username != "" || c.opts.password != "":
		return c.opts.username, c.opts.password, nil
	}
	return s.user, s.password, nil
}

// connectProperties returns the properties of the CONNECT packet.
func (c *Client) connectProperties(a *attempt, version Protocol) Properties {
	if version != V5 {
		return nil
	}
	props := append(c.opts.connect.Clone(), c.authProperties(a)...)
	props = append(props, c.aliasProperty(a)...)
	if c.opts.keepSession {
		props = append(props, mosquitto.Property{ID: mosquitto.PropSessionExpiryInterval, Number: c.opts.expirySeconds()})
	}
	if _, given := props.Byte(PropRequestResponseInformation); c.opts.responseInformation && !given {
		props = append(props, mosquitto.Property{ID: PropRequestResponseInformation, Number: 1})
	}
	return props
}

// onConnect is the library's callback for CONNACK. It sends missing subscriptions first.
// The library then sends its in-flight messages again, and queued messages follow.
func (c *Client) onConnect(_ *mosquitto.Client, connack mosquitto.Connack) {
	a := c.conn
	if a.failure != nil {
		return
	}
	k := newConnack(connack, c.protocolNow())
	if connack.Code != mosquitto.ConnackAccepted {
		a.connack = k
		return // RunOnce returns the refusal
	}
	if err := c.finishAuth(a, k.Properties); err != nil {
		c.fail(a, err)
		return
	}
	a.connack = k
	a.timer.Stop()
	a.timer = nil
	a.accepted = time.Now()
	c.count.connects.Add(1)
	if !c.log.debug() {
		c.library.Load().OnLog(nil)
	}
	// Another server may have an older session of this client, with other subscriptions.
	kept := connack.SessionPresent && (c.last.server == "" || a.server.name == c.last.server)
	c.last.server = a.server.name
	c.trustSession(connack.SessionPresent)
	c.subs.connectionAccepted(kept, connack.SessionPresent, c.renewsSubscriptions(a.server.name))
	c.endRemoved()
	restart := c.limitAliases(a, k)
	if c.needsNewLibrary(k) {
		c.reconnectWithNewLibrary(a)
		return
	}
	c.last.connack = k
	if restart {
		a.restarted = true
		_ = c.library.Load().Disconnect()
		return
	}
	c.goOnline(a, k)
}

// goOnline starts submitting on an accepted connection: first missing subscriptions, then
// queued messages.
func (c *Client) goOnline(a *attempt, k *Connack) {
	a.online = true
	c.noteVersion(a.server.name)
	c.inflight.window.reset(k.ReceiveMaximum)
	c.aliases.reset(k)
	c.connack.Store(k)
	c.responses.accepted(k.ResponseInformation)
	c.log.connected(a.server.name, k.SessionPresent, c.protocolNow())
	c.holdQueue(a)
	c.reconcile()
	a.resent = a.sequence
	c.announceConnected()
	c.wake()
}

// needsNewLibrary reports whether the library client cannot serve an accepted connection.
// If the broker has lost the session, the library would complete QoS 2 messages in flight
// without delivering them. If the broker no longer has a limit, the library still applies
// the old limit.
func (c *Client) needsNewLibrary(k *Connack) bool {
	return !k.SessionPresent && c.inflight.countQoS2 > 0 || c.last.connack.outlives(k) && !c.exactlyOnce()
}

// reconnectWithNewLibrary ends a connection that the library client cannot serve. The new
// library client submits the messages in flight again.
func (c *Client) reconnectWithNewLibrary(a *attempt) {
	a.discarded = true
	c.replace = true
	_ = c.library.Load().Disconnect()
}

// announceConnected reports StateConnected when all subscriptions are restored and the
// functions of WithOnConnect have returned.
func (c *Client) announceConnected() {
	a := c.conn
	if !c.isOnline() || a.announced || c.subs.missing > 0 {
		return
	}
	c.subs.oneByOne = false
	if c.awaitsOnConnect() {
		return
	}
	a.announced = true
	c.setState(StateChange{State: StateConnected, Server: a.server.name, Connack: a.connack})
	if c.first != nil {
		close(c.first)
		c.first = nil
	}
}

// onDisconnect is the library's callback for the end of a connection.
func (c *Client) onDisconnect(_ *mosquitto.Client, d mosquitto.Disconnection) {
	var reason mosquitto.ReasonError
	if errors.As(d.Err, &reason) {
		text, _ := d.Properties.Text(mosquitto.PropReasonString)
		c.conn.reason = withReason(reason, text)
	}
	c.goOffline()
}

// goOffline stops submitting and clears the CONNACK. It ends the call of the WithOnConnect
// functions, and no longer waits for a packet id. It fails QoS 0 messages that may not have
// been written, and queued messages that need a connection.
func (c *Client) goOffline() {
	c.conn.online = false
	c.connack.Store(nil)
	c.endOnConnect(c.conn.call)
	c.inflight.waitsForID, c.subs.waitsForID = false, false
	c.failUnwritten()
	for _, t := range c.queue.removeOnlineOnly() {
		c.reportRemoved(t)
	}
}

// ended updates the state after an attempt has ended. If the broker has closed the
// connection, ended counts this against the oldest packet in flight.
func (c *Client) ended(a *attempt, err error) *ending {
	c.goOffline()
	err = a.endError(c.endRelay(a, err))
	e := &ending{
		err:      a.connectError(err),
		accepted: !a.accepted.IsZero(), useful: a.useful, planned: a.discarded || a.restarted,
	}
	if e.accepted {
		e.lasted = time.Since(a.accepted)
	} else if a.connack != nil {
		e.reference = a.connack.ServerReference
	}
	request, message := c.subs.oldestRequest(), c.inflight.oldest()
	c.subs.connectionLost()
	switch {
	case a.renewed:
		e.retryNow = true
	case !e.accepted || e.planned:
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
		c.replace = true // the broker discards the state of these messages with the session
	}
	return e
}

// endError returns why an attempt has ended. err is the error of the library or of the
// relay.
func (a *attempt) endError(err error) error {
	switch {
	case a.failure != nil:
		return a.failure
	case a.reason != nil:
		return a.reason
	case err == nil && a.renewed:
		return errReconnect
	case err == nil:
		return mosquitto.ErrConnLost
	}
	return err
}

// connectError returns the error of an attempt, or of a lost connection.
func (a *attempt) connectError(err error) *ConnectError {
	e := &ConnectError{Server: a.server.name, Err: err, Detail: a.detail.String(), lost: !a.accepted.IsZero()}
	if a.connack != nil && !e.lost {
		e.Connack, e.Text = a.connack, a.connack.ReasonString
	}
	return e
}

// sequenceOf returns when a message was sent on this connection. The library sends
// messages of earlier connections again, after the first SUBSCRIBE packets.
func (a *attempt) sequenceOf(t *Token) int {
	if t.connection != a {
		return a.resent
	}
	return t.sequence
}

// otherReasons are reasons of a DISCONNECT that no packet of the client has caused.
var otherReasons = []ReasonCode{
	RCServerBusy, RCServerShuttingDown, RCKeepAliveTimeout, RCSessionTakenOver, RCAdministrativeAction,
	RCUseAnotherServer, RCServerMoved, RCConnectionRateExceeded, RCMaximumConnectTime,
}

// closedByBroker reports whether the broker may have closed the connection because of a
// packet, as far as the error shows. A timeout, or an error of the client or of the
// library, does not count.
func closedByBroker(a *attempt, err error) bool {
	var reason ReasonError
	if errors.As(a.reason, &reason) {
		return !slices.Contains(otherReasons, reason.Code)
	}
	if isClosedByServer(err) {
		return true
	}
	for _, end := range []error{mosquitto.ErrConnLost, mosquitto.ErrProtocol, mosquitto.ErrTLS, syscall.ECONNRESET, syscall.EPIPE, syscall.EPROTO} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// usesIdentifiers reports whether the client sends subscription identifiers to a server.
func (c *Client) usesIdentifiers(server string) bool {
	return c.protocolNow() == V5 && c.opts.identifiers && !c.last.noIdentifiers[server]
}

// stopIdentifiers turns subscription identifiers off for a server. The library cannot
// parse a PUBLISH packet that has several of them.
func (c *Client) stopIdentifiers(server string) {
	if c.last.noIdentifiers == nil {
		c.last.noIdentifiers = map[string]bool{}
	}
	c.last.noIdentifiers[server] = true
	c.log.identifiersOff(server)
}

// mayLowerVersion reports whether a lower version is worth an attempt. If the server has
// accepted this version before, only an explicit refusal counts: a connection that is lost
// during CONNECT must not make messages fail that need MQTT 5.
func (c *Client) mayLowerVersion(s *server, version Protocol, err error) bool {
	if c.last.versions[s.name] == version && !isRefused(err) {
		return false
	}
	return refusesVersion(err)
}

// refusesVersion reports whether the client should try its next MQTT version. A broker
// that does not support a version may send any of these codes, or close the connection.
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

// isPermanent reports whether err is permanent: the next attempt would fail in the same
// way.
func isPermanent(err error) bool {
	var refusal mosquitto.ConnackError
	var failure *ConnectError
	switch {
	case errors.As(err, &refusal):
		return !refusal.Code.Temporary()
	case errors.Is(err, mosquitto.ErrNotSupported), errors.Is(err, mosquitto.ErrInval), errors.Is(err, mosquitto.ErrNoMem):
		return true
	case isPermanentGoTLS(err):
		return true
	}
	return errors.As(err, &failure) && isPermanentTLS(failure.Detail)
}
