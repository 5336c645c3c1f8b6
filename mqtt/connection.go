//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// manage keeps the client connected until it is to end.
func (c *Client) manage() { c.finishUp(c.stayConnected()) }

// stayConnected goes from connection to connection. It returns nil when Close has
// asked for the end, and otherwise why no retry would help.
func (c *Client) stayConnected() error {
	var failures, refusals, flaps int
	ever := false
	for at := 0; ; {
		s := c.servers[at]
		lasted, err := c.visit(s)
		if c.quitting() {
			return nil
		}
		if lasted > 0 {
			ever, failures, refusals, flaps = true, 0, 0, flaps+1
			if lasted > c.opts.backoff.max {
				flaps = 0
			}
			c.failed(s, err, 0)
			c.pause(flaps - 1) // a broker that accepts and closes at once is one that fails
			continue
		}
		failures++
		if !mendable(err) {
			refusals++
		}
		c.failed(s, err, failures)
		if at = (at + 1) % len(c.servers); failures%len(c.servers) != 0 {
			continue
		}
		if !ever && (refusals == len(c.servers) || c.opts.firstOnce) {
			return err
		}
		refusals = 0
		c.pause(failures / len(c.servers))
	}
}

// mendable tells failures that a retry may mend.
func mendable(err error) bool {
	var refusal mosquitto.ConnackError
	var failure *ConnectError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code.Temporary()
	case errors.Is(err, mosquitto.ErrNotSupported), errors.Is(err, mosquitto.ErrInval), errors.Is(err, mosquitto.ErrNoMem):
		return false
	case errors.As(err, &failure) && failure.Detail != "": // OpenSSL says what is wrong with a certificate
		return !strings.Contains(failure.Detail, "certificate") && !strings.Contains(failure.Detail, "alert")
	}
	return true
}

// quitting tells whether there is to be no other connection.
func (c *Client) quitting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving || c.link.Err() != nil
}

// failed tells of a connection that was lost, or did not come about.
func (c *Client) failed(s server, err error, attempt int) {
	c.log.lost(s.name, err, attempt)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = err
	c.setState(StateChange{State: StateDisconnected, Server: s.name, Err: err, Attempt: attempt})
}

// pause waits before the next round of attempts, 0 being no round yet.
func (c *Client) pause(round int) {
	if round < 1 {
		return
	}
	timer := time.NewTimer(c.opts.backoff.pause(round))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.link.Done():
	}
}

// visit connects to a server, at one of its addresses, and stays until the
// connection ends. lasted is 0 if it did not come about.
func (c *Client) visit(s server) (lasted time.Duration, err error) {
	addresses, err := c.addresses(s)
	if err != nil {
		return 0, &ConnectError{Server: s.name, Err: err}
	}
	for _, at := range addresses {
		var failure error
		for _, version := range c.opts.protocols {
			lasted, failure = c.attempt(s, at, version)
			if lasted > 0 || c.quitting() || !refusesVersion(failure) {
				break
			}
		}
		var refusal mosquitto.ConnackError
		if lasted > 0 || c.quitting() || errors.As(failure, &refusal) {
			return lasted, failure
		}
		err = graver(err, failure)
	}
	return 0, err
}

// graver is what a server's addresses failed with: the first failure that no retry
// mends, or the last one. A host without IPv6 must not hide a bad certificate.
func graver(before, now error) error {
	if before != nil && !mendable(before) {
		return before
	}
	return now
}

// refusesVersion tells whether a lower version of MQTT may do. Brokers that do not
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

// address is one of those that a server's name stands for.
type address struct {
	host string
	bind string // the local address to connect from
}

// addresses are what a server's name stands for. With TLS, and in the request of
// a websocket, the library needs the name, of which it tries one address alone:
// then the local address chooses between IPv6 and IPv4.
func (c *Client) addresses(s server) (all []address, err error) {
	if s.literal() || c.opts.proxied { // a proxy looks names up itself
		return []address{{s.host, c.opts.bind}}, nil
	}
	ctx, cancel := context.WithTimeout(c.link, c.opts.connectTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.host)
	if err != nil {
		return nil, err
	}
	if !s.tls && !s.ws {
		for _, ip := range found {
			all = append(all, address{ip.Unmap().String(), c.opts.bind})
		}
		return all, nil
	}
	is4 := func(ip netip.Addr) bool { return ip.Unmap().Is4() }
	if c.opts.bind != "" || !slices.ContainsFunc(found, is4) || slices.IndexFunc(found, func(ip netip.Addr) bool { return !is4(ip) }) < 0 {
		return []address{{s.host, c.opts.bind}}, nil
	}
	all = []address{{s.host, "::"}, {s.host, "0.0.0.0"}}
	if is4(found[0]) { // the better one by the system's rules
		slices.Reverse(all)
	}
	return all, nil
}

// attempt makes one connection and serves it until it ends.
func (c *Client) attempt(s server, at address, version Protocol) (lasted time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(c.link)
	defer cancel(nil)
	timer := time.AfterFunc(c.opts.connectTimeout, func() { cancel(ErrTimeout) })
	defer timer.Stop()
	a := &attempt{timer: timer}
	if err := c.prepare(ctx, s, version); err != nil {
		return 0, &ConnectError{Server: s.name, Err: err}
	}
	c.mu.Lock()
	c.trying, c.server = a, s.name
	c.mu.Unlock()
	c.listenToLibrary(a, s.tls)
	c.awaitCalls()
	err = c.m.ConnectContext(ctx, at.host, s.port, c.opts.keepalive, at.bind, c.connectProperties(version))
	if err == nil {
		err = c.m.RunOnce(ctx)
	}
	c.lost()
	if a.resent != nil {
		a.resent.Stop()
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
		err = ErrTimeout
	}
	if a.reason != nil {
		err = a.reason
	}
	if err == nil {
		err = mosquitto.ErrConnLost
	}
	if !a.since.IsZero() {
		lasted = max(time.Since(a.since), 1)
	}
	return lasted, &ConnectError{s.name, err, a.detail.String()}
}

// awaitCalls waits until the calls into the library have returned that began when
// there was a connection. What came in between would go before the CONNECT, or
// before what is sent again, or not at all.
func (c *Client) awaitCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out.handing > 0 || c.subs.calling {
		c.returned.Wait()
	}
}

// attempt is what is known of one connection.
type attempt struct {
	timer  *time.Timer // of the connect timeout
	resent *time.Timer // of the library's repetitions, or nil
	since  time.Time   // when it was accepted
	reason error       // of the broker's DISCONNECT
	detail detail
}

// detail collects what the library logs about a failure.
type detail struct {
	mu    sync.Mutex
	lines []string
}

func (d *detail) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) < 5 && !slices.Contains(d.lines, line) {
		d.lines = append(d.lines, line)
	}
}

func (d *detail) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "; ")
}

// prepare makes the settings of one connection.
func (c *Client) prepare(ctx context.Context, s server, version Protocol) error {
	username, password := s.user, s.password
	if c.opts.username != "" || c.opts.password != "" {
		username, password = c.opts.username, c.opts.password
	}
	if f := c.opts.credentials; f != nil {
		var err error
		if username, password, err = f(ctx); err != nil {
			return errors.Join(errors.New("credentials"), err)
		}
	}
	if err := c.m.UsernamePwSet(username, password); err != nil {
		return err
	}
	if version != c.protocolNow() {
		if err := c.setProtocol(version); err != nil {
			return err
		}
		if err := c.applyWill(); err != nil {
			return err
		}
	}
	return c.setTransport(s)
}

func (c *Client) setTransport(s server) error {
	if !slices.ContainsFunc(c.servers, func(s server) bool { return s.ws }) {
		return nil
	}
	transport := mosquitto.TransportTCP
	if s.ws {
		transport = mosquitto.TransportWebsockets
	}
	if err := c.m.IntOption(mosquitto.OptTransport, transport); err != nil || s.path == "" {
		return err
	}
	return c.m.StringOption(mosquitto.OptHTTPPath, s.path)
}

// connectProperties are those of the CONNECT packet.
func (c *Client) connectProperties(version Protocol) Properties {
	if version != V5 {
		return nil
	}
	props := slices.Clone(c.opts.connect)
	if c.opts.keepSession {
		props = append(props, mosquitto.Property{ID: mosquitto.PropSessionExpiryInterval, Number: c.opts.expirySeconds()})
	}
	return props
}

// onConnect is called by the loop with the broker's answer. What the broker does
// not know any more is sent before anything else.
func (c *Client) onConnect(_ *mosquitto.Client, answer mosquitto.Connack) {
	if answer.Code != mosquitto.ConnackAccepted {
		return // RunOnce returns it
	}
	if !c.log.debug() {
		c.m.OnLog(nil)
	}
	c.mu.Lock()
	a := c.trying
	a.timer.Stop()
	a.since = time.Now()
	c.count.connects.Add(1)
	c.online = true
	c.epoch++
	if c.out.resending = c.out.reliable > 0; c.out.resending {
		epoch := c.epoch
		a.resent = time.AfterFunc(resendPatience, func() { c.goOnAfter(epoch) })
	}
	kept := answer.SessionPresent && c.server == c.lastServer // another broker may know an older session
	if c.lastServer == "" {
		kept = answer.SessionPresent
	}
	c.lastServer = c.server
	if !answer.SessionPresent {
		c.out.sessionLost()
	}
	available, said := answer.Properties.Byte(mosquitto.PropSubscriptionIDAvailable)
	c.identifiers = c.protocolNow() == V5 && (!said || available == 1)
	c.settled = false
	server := c.server
	c.subs.accepted(kept, c.protocolNow() == V5) // which can do so without retained messages
	c.reconcile()
	c.settle()
	c.pump()
	c.unlock()
	c.log.connected(server, answer.SessionPresent, c.protocolNow())
}

// settle announces the connection when all subscriptions are back. mu is held.
func (c *Client) settle() {
	if !c.online || c.settled || c.subs.restoring > 0 {
		return
	}
	c.settled = true
	c.setState(StateChange{State: StateConnected, Server: c.server})
	select {
	case <-c.up:
	default:
		close(c.up)
	}
}

// onDisconnect is called by the loop when a connection has ended.
func (c *Client) onDisconnect(_ *mosquitto.Client, d mosquitto.Disconnection) {
	var reason mosquitto.ReasonError
	if errors.As(d.Err, &reason) {
		c.mu.Lock()
		c.trying.reason = reason
		c.mu.Unlock()
	}
	c.lost()
}

// lost notes the end of a connection: what it took with it fails, the rest waits
// for the next one.
func (c *Client) lost() {
	c.mu.Lock()
	c.online = false
	c.epoch++
	c.loseQoS0()
	c.subs.lost()
	c.unlock()
}

// finishUp ends the client: every wait ends, everything is given back.
func (c *Client) finishUp(why error) {
	c.mu.Lock()
	if why == nil {
		why = c.backlog.err
	}
	c.online, c.ended, c.err = false, true, why
	c.state = StateClosed // of which is told when the worker has ended
	c.cut()               // ends the reader of the outbox, and waits for the broker
	c.epoch++
	if !c.isClosing() {
		close(c.closing)
	}
	c.unread = c.out.room.unread
	c.failAll()
	c.subs.endAll(c.closedErr())
	inboxes := c.inboxes
	c.inboxes = nil
	c.unlock()
	for b := range inboxes {
		b.close()
	}
	c.working.Wait()
	c.free()
	c.mu.Lock()
	c.setState(StateChange{State: StateClosed, Server: c.server, Err: why})
	c.mu.Unlock()
	c.log.closed(why)
	close(c.done)
}
