//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"

	"github.com/mosquitto-go/mosquitto"
)

// This file runs extended authentication (MQTT 5): the option, the steps of an exchange,
// and what ends a connection whose exchange fails. The loop owns the state of an exchange.

// AuthExchange is one run of an authentication method, such as SCRAM-SHA-256. It begins
// before CONNECT and ends with the broker's CONNACK. The client calls one method at a
// time, each on a separate goroutine. The methods may block. ctx ends with the connect
// timeout, and with the client; then the client does not wait for the method. An error
// ends the attempt with a [*ConnectError] that wraps it. The error is logged, so it must
// not contain secrets.
//
// Authentication data has at most 65,535 bytes. Empty data is sent as no data.
type AuthExchange interface {
	// Start returns the authentication data of the CONNECT packet.
	Start(ctx context.Context) (data []byte, err error)
	// Continue returns the response to a challenge: to an AUTH packet of the broker.
	Continue(ctx context.Context, challenge []byte) (response []byte, err error)
	// Finish checks the authentication data of the CONNACK packet with which the broker has
	// accepted the client. data is nil if the packet has none. Finish must return an error
	// if the method authenticates the broker too, and the exchange is not complete. Until
	// Finish has returned nil, the client sends nothing and delivers no message.
	Finish(ctx context.Context, data []byte) error
}

// WithAuth makes the client authenticate with a method of MQTT 5's extended
// authentication (AUTH packets). The client calls begin for every attempt to connect, on
// a separate goroutine, and runs the exchange that it returns: see [AuthExchange].
//
// It needs libmosquitto 2.1: with an older library Dial returns an error that wraps
// [ErrNotSupported]. It needs WithProtocol(V5) without another version, because MQTT 3
// would connect without authentication. libmosquitto sends no authentication method
// through [WithProxy] or to servers with ws:// and wss://: use [WithDialer] for these.
//
// The connection fails if the broker names another method, or sends AUTH at another time.
//
// libmosquitto cannot authenticate again on an established connection: it sends AUTH only
// with the reason code 0x18 (continue authentication), never with 0x19
// (re-authenticate), and does not report the reason code of a received AUTH. Use
// [Client.Reconnect], which begins a new exchange.
func WithAuth(method string, begin func() AuthExchange) Option {
	return Option{func(s *settings) error {
		switch {
		case method == "" || len(method) > math.MaxUint16 || mosquitto.ValidateUTF8([]byte(method)) != nil:
			return badArgument("WithAuth", "method: %.100q is not a valid method", method)
		case begin == nil:
			return badArgument("WithAuth", "begin is nil")
		}
		s.authMethod, s.auth = method, begin
		return nil
	}}
}

// checkAuth checks that the options and servers allow extended authentication.
func (c *Client) checkAuth() error {
	s := &c.opts
	if s.auth == nil {
		return nil
	}
	for _, id := range []PropertyID{PropAuthenticationMethod, PropAuthenticationData} {
		if slices.ContainsFunc(s.connect, func(q Property) bool { return q.ID == id }) {
			return badArgument("WithConnectProperties", "WithAuth sets the authentication method and data")
		}
	}
	if !slices.Equal(s.protocols, []Protocol{V5}) {
		return badArgument("WithAuth", "needs WithProtocol(V5) without another version")
	}
	return c.checkConnectProperty("WithAuth")
}

// checkConnectProperty checks that the library sends the CONNECT property of an option
// that needs libmosquitto 2.1.
func (c *Client) checkConnectProperty(option string) error {
	switch {
	case !isLibrary21():
		return fmt.Errorf("mqtt: %s needs libmosquitto 2.1: %w", option, ErrNotSupported)
	case c.opts.proxied:
		return badArgument(option, "not with WithProxy, which drops the properties of CONNECT: dial the proxy with WithDialer")
	case slices.ContainsFunc(c.servers, func(s server) bool { return s.ws }):
		return badArgument(option, "not with ws:// and wss://, where libmosquitto drops the properties of CONNECT: "+
			"use mqtt:// with the dialer of package mqtt/websocket")
	}
	return nil
}

// authentication is the exchange of an attempt. Owned by the loop.
type authentication struct {
	exchange  AuthExchange
	data      []byte // of CONNECT
	answering bool   // Continue runs
}

var (
	errNoExchange   = errors.New("the function of WithAuth returned nil")
	errAuthLate     = errors.New("the broker sent AUTH on an established connection")
	errAuthTwice    = errors.New("the broker sent AUTH before it had the response to its challenge")
	errAuthTooEarly = errors.New("the broker accepted the connection before it had the response to its challenge")
)

// authError reports that an exchange failed.
type authError struct{ err error }

func (e *authError) Error() string { return "authentication: " + withoutPrefix(e.err) }

// Unwrap returns the error of the exchange.
func (e *authError) Unwrap() error { return e.err }

// startAuth begins the exchange of an attempt.
func (c *Client) startAuth(a *attempt) error {
	begin := c.opts.auth
	if begin == nil {
		return nil
	}
	auth, err := valueInBackground(a.ctx, c, func() (*authentication, error) {
		exchange := begin()
		if exchange == nil {
			return nil, errNoExchange
		}
		data, err := exchange.Start(a.ctx)
		return &authentication{exchange: exchange, data: data}, err
	})
	if err == nil {
		a.auth = auth
		err = checkAuthData("Start", a.auth.data)
	}
	if err != nil {
		return &authError{err}
	}
	return nil
}

func checkAuthData(method string, data []byte) error {
	if len(data) > math.MaxUint16 {
		return fmt.Errorf("%s returned %d bytes, more than %d", method, len(data), math.MaxUint16)
	}
	return nil
}

// authProperties returns the properties of CONNECT for the exchange.
func (c *Client) authProperties(a *attempt) (props Properties) {
	if a.auth == nil {
		return nil
	}
	props = append(props, Property{ID: PropAuthenticationMethod, Text: c.opts.authMethod})
	if len(a.auth.data) > 0 {
		props = append(props, Property{ID: PropAuthenticationData, Data: a.auth.data})
	}
	return props
}

// onExtAuth is the library's callback for AUTH. Continue runs in its own goroutine; the
// loop does not wait for it.
func (c *Client) onExtAuth(_ *mosquitto.Client, method string, challenge []byte, _ Properties) error {
	c.onChallenge(c.conn, method, challenge)
	return nil
}

func (c *Client) onChallenge(a *attempt, method string, challenge []byte) {
	switch {
	case a.failure != nil: // the connection is already cut
	case !a.accepted.IsZero():
		c.fail(a, errAuthLate)
	case a.auth.answering:
		c.fail(a, errAuthTwice)
	case method != c.opts.authMethod:
		c.fail(a, c.methodError(method))
	default:
		a.auth.answering = true
		go c.continueAuth(a, challenge)
	}
}

func (c *Client) methodError(method string) error {
	return fmt.Errorf("the broker answered with the method %.100q instead of %q", method, c.opts.authMethod)
}

// continueAuth runs Continue and lets the loop send the response.
func (c *Client) continueAuth(a *attempt, challenge []byte) {
	response, err := a.auth.exchange.Continue(a.ctx, challenge)
	c.do(func() { c.respond(a, response, err) })
}

// respond sends the response to a challenge, unless the attempt has ended.
func (c *Client) respond(a *attempt, response []byte, err error) {
	if a.ctx.Err() != nil || a.failure != nil {
		return
	}
	a.auth.answering = false
	if err == nil {
		err = checkAuthData("Continue", response)
	}
	if err == nil {
		err = c.library.Load().ExtAuthContinue(c.opts.authMethod, response, nil)
	}
	if err != nil {
		c.fail(a, err)
	}
}

// finishAuth checks the CONNACK with which the broker has accepted the client. It blocks
// the loop inside the callback: when the callback has returned, the library sends its
// messages in flight again, so the broker must have been authenticated.
func (c *Client) finishAuth(a *attempt, props Properties) error {
	if a.auth == nil {
		return nil
	}
	method, found := props.Text(PropAuthenticationMethod)
	switch {
	case a.auth.answering:
		return errAuthTooEarly
	case found && method != c.opts.authMethod:
		return c.methodError(method)
	}
	data, _ := props.Binary(PropAuthenticationData)
	return c.runInBackgroundUntil(a.ctx, func() error { return a.auth.exchange.Finish(a.ctx, data) })
}

// fail ends the connection because of its exchange. It cuts the connection, because a
// DISCONNECT would leave behind packets that the library has queued.
func (c *Client) fail(a *attempt, err error) {
	a.failure = &authError{err}
	if fd := c.library.Load().Socket(); fd >= 0 {
		_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
	}
}
