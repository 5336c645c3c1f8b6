//go:build cgo

package mqtt

import (
	"context"

	"github.com/mosquitto-go/mosquitto"
)

// This file has the content of DISCONNECT packets, and Reconnect.

// CloseOption is a setting for [Client.Close]. The zero value changes nothing.
type CloseOption struct{ apply func(*disconnectPacket) }

// disconnectPacket is the content of a DISCONNECT of MQTT 5.
type disconnectPacket struct {
	reason ReasonCode
	props  Properties
}

// WithDisconnectReason sets the reason code of DISCONNECT. [RCDisconnectWithWillMsg] makes
// the broker publish the will. With MQTT 3 it has no effect.
func WithDisconnectReason(reason ReasonCode) CloseOption {
	return CloseOption{func(d *disconnectPacket) { d.reason = reason }}
}

// WithDisconnectProperties adds properties to DISCONNECT, such as a session expiry. With
// MQTT 3 it has no effect.
func WithDisconnectProperties(props Properties) CloseOption {
	return CloseOption{func(d *disconnectPacket) { d.props = append(d.props, props...) }}
}

func (d *disconnectPacket) check() error {
	if d.reason < 0 || d.reason > 255 {
		return badArgument("WithDisconnectReason", "%d is not between 0 and 255", int(d.reason))
	}
	if len(d.props) == 0 {
		return nil
	}
	return named("WithDisconnectProperties", checkProperties(mosquitto.CmdDisconnect, "DISCONNECT", d.props))
}

// sendDisconnect sends a DISCONNECT. Only the loop calls it.
func (c *Client) sendDisconnect(d disconnectPacket) error {
	m := c.library.Load()
	if c.protocolNow() != V5 || d.reason == 0 && len(d.props) == 0 {
		return m.Disconnect()
	}
	return m.DisconnectV5(d.reason, d.props)
}

// Reconnect ends the connection with a DISCONNECT and connects again, with the settings
// that functions such as that of [WithCredentialsFunc] return then. It blocks until the
// new connection stands and the subscriptions are restored, or ctx ends; the client
// reconnects all the same. Without a connection it makes the next attempt at once.
// Messages in flight are sent again. Inside an inline handler it returns [ErrInCallback],
// and inside a function of [WithOnConnect] if ctx derives from the function's context.
func (c *Client) Reconnect(ctx context.Context) error {
	if err := c.mayBlockFor(ctx, "reconnect", insteadOfBlock); err != nil {
		return err
	}
	if c.isClosing() {
		return c.closedErr()
	}
	begun := make(chan struct{})
	if !c.do(func() {
		c.reconnect()
		close(begun)
	}) {
		return c.closedErr()
	}
	select {
	case <-begun:
	case <-ctx.Done():
		return &waitError{"reconnect", "", waitsForLoop, ctx.Err()}
	}
	return c.AwaitConnected(ctx)
}

// reconnect ends the connection, or the delay before the next attempt.
func (c *Client) reconnect() {
	if c.isOnline() {
		c.conn.renewed = true
		c.goOffline()
		c.status.set(StateDisconnected)
		_ = c.library.Load().Disconnect()
		return
	}
	c.skipBackoff = true
}
