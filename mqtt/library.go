//go:build cgo

package mqtt

import (
	"errors"
	"math"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// This file makes, sets up and replaces the library client. Only the loop does so.

// makeLibrary makes the library client, with all settings that do not change between
// connections. prepare makes the other settings.
func (c *Client) makeLibrary() error {
	s := &c.opts
	m, err := mosquitto.New(s.clientID, !s.keepSession, nil)
	if errors.Is(err, mosquitto.ErrErrno) {
		return setupError{err}
	}
	if err != nil {
		return named("WithClientID", err)
	}
	if err := c.configure(m); err != nil {
		m.Close()
		return setupError{err}
	}
	if err := c.checkSetupTLS(m); err != nil {
		m.Close()
		return err
	}
	m.OnConnect(c.onConnect)
	m.OnDisconnect(c.onDisconnect)
	m.OnPublish(c.onPublish)
	m.OnSubscribe(c.onSubscribe)
	m.OnUnsubscribe(c.onUnsubscribe)
	m.OnMessage(func(_ *mosquitto.Client, message Message) { c.onMessage(&message) })
	if s.auth != nil {
		_ = m.OnExtAuth(c.onExtAuth) // checkAuth has checked that the library supports it
	}
	if old := c.library.Swap(m); old != nil {
		old.Close()
	}
	c.tlsReady, c.hasUser = false, false
	c.inflight.lastID = 0
	c.last.connack = nil
	c.flow.attach(m)
	return nil
}

// configure makes the settings that do not change between connections.
func (c *Client) configure(m *mosquitto.Client) error {
	s := &c.opts
	steps := []func() error{
		func() error { return m.IntOption(mosquitto.OptTCPNodelay, 1) },
		func() error { return m.IntOption(mosquitto.OptSendMaximum, s.inflight) },
		// After a connection loss the library keeps copies of incoming QoS 2 messages,
		// which count against the receive maximum. A small maximum would be exhausted,
		// and then every connection would end: see docs/testing.md.
		func() error { return m.IntOption(mosquitto.OptReceiveMaximum, math.MaxUint16) },
		func() error { return c.setProtocol(m, s.protocols[0]) },
		func() error { return c.setWill(m, s.will) },
		func() error { return s.setCredentials(m) },
	}
	for _, f := range s.setup {
		steps = append(steps, func() error { return f(m) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// setCredentials sets the credentials of WithCredentials, so that Dial returns an error about
// them at once. prepare sets the credentials of each connection.
func (s *settings) setCredentials(m *mosquitto.Client) error {
	if s.credentials != nil || s.username == "" && s.password == "" {
		return nil
	}
	return named("WithCredentials", m.UsernamePwSet(s.username, s.password))
}

func (c *Client) setProtocol(m *mosquitto.Client, p Protocol) error {
	if err := m.IntOption(mosquitto.OptProtocolVersion, int(p)); err != nil {
		return err
	}
	c.protocol.Store(int32(p))
	return nil
}

// setTransport sets TCP or websockets, if any server uses websockets.
func (c *Client) setTransport(m *mosquitto.Client, s *server) error {
	if !slices.ContainsFunc(c.servers, func(s server) bool { return s.ws }) {
		return nil
	}
	transport := mosquitto.TransportTCP
	if s.ws {
		transport = mosquitto.TransportWebsockets
	}
	if err := m.IntOption(mosquitto.OptTransport, transport); err != nil || s.path == "" {
		return err
	}
	return m.StringOption(mosquitto.OptHTTPPath, s.path)
}

// isLibrary21 reports whether the installed library is 2.1 or later.
func isLibrary21() bool {
	major, minor, _ := mosquitto.LibVersion()
	return major > 2 || major == 2 && minor >= 1
}

// protocolNow returns the protocol version of the connection, or of the attempt.
func (c *Client) protocolNow() Protocol { return Protocol(c.protocol.Load()) }

// replaceLibrary makes a new library client and queues the messages in flight again. The
// library can only discard all of its messages, not a single message. With a kept
// session, new packet ids follow the ids that the broker may still hold.
func (c *Client) replaceLibrary() error {
	last := c.inflight.lastID
	if err := c.makeLibrary(); err != nil {
		return err
	}
	c.requeueInFlight()
	if c.opts.keepSession {
		c.skipIDsTo(last)
	}
	c.replace = false
	return nil
}
