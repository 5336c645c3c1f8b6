//go:build cgo

package mosquitto

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ConnectContext is mosquitto_connect_bind_async with the properties of
// [Client.ConnectBindV5], and it ends with ctx: for programs that choose a
// server for each connection, with [Client.RunOnce]. The TCP connection is made
// in the loop, to one address of the host. What blocks in the resolver is left
// behind when ctx ends, and calls that need the network side return [ErrBusy]
// until it is back; an IP address or a unix socket never blocks. props may be
// nil; others need a client of MQTT 5, or it wraps [ErrNotSupported]. Not inside
// a callback ([ErrInCallback]), not beside a loop ([ErrBusy]).
func (c *Client) ConnectContext(ctx context.Context, host string, port int, keepalive time.Duration, bind string, props Properties) error {
	const op = "connect_bind_async"
	seconds, err := checkServer(op, host, port, keepalive, bind)
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
	c.setLeaving(false)
	c.used.Store(true)
	c.server = server{host: host, port: port, proxy: c.server.proxy, keepalive: keepalive}
	connect := func() result {
		return c.cleanly(
			func() result { return cConnectBindAsync(c.c, host, port, seconds, bind) },
			func() result { return cReconnectAsync(c.c) })
	}
	if c.server.literal() {
		defer c.end()
		defer c.disown(ownerNone)
		return c.finish(op, connect())
	}
	return c.connectBeside(ctx, op, connect)
}

// connectProperties stores the properties for the connects to come. The library
// takes them in its blocking connect alone, before it refuses the port.
func (c *Client) connectProperties(host string, encoded []byte) result {
	if encoded != nil && !c.v5.Load() {
		return result{rc: int(ErrNotSupported)}
	}
	const noPort = -1
	r := cConnectBindV5(c.c, host, noPort, 0, "", encoded)
	if Error(r.rc) == ErrInval {
		r.rc = cPropertyCheckAll(CmdConnect, encoded)
	}
	return r
}

// connectBeside runs a connect that may block in a goroutine of its own, which
// keeps the network side until it is back.
func (c *Client) connectBeside(ctx context.Context, op string, connect func() result) error {
	select {
	case connectSlots <- struct{}{}:
	case <-ctx.Done():
		c.disown(ownerNone)
		c.end()
		return ctx.Err()
	}
	var taken atomic.Bool // by the side that deals with the outcome
	done := make(chan result, 1)
	go c.connectFor(connect, done, &taken)
	select {
	case r := <-done:
		defer c.disown(ownerNone)
		return c.finish(op, r)
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		defer c.disown(ownerNone)
		return c.finish(op, <-done)
	}
}

// RunOnce is [Client.Run] for one connection: it serves the one that
// [Client.ConnectContext] or another connect has begun, and when that is lost,
// or does not come about, it returns why, instead of connecting again: an
// [*OpError], or a [ConnackError] for any refusal. The reason that a broker gave
// in its DISCONNECT is told to OnDisconnect. Otherwise it ends as Run does: with
// nil after Disconnect, ctx.Err() within 100 ms, [ErrClosed] after Close.
func (c *Client) RunOnce(ctx context.Context) error { return c.runFor(ctx, true) }

// InCallback tells whether the calling goroutine is inside a callback of this
// client, where waiting for the network would wait for itself. Goroutines that
// the callback has started are not.
func (c *Client) InCallback() bool {
	if err := c.begin("in_callback"); err != nil {
		return errors.Is(err, ErrInCallback)
	}
	defer c.end()
	return cInside(c.c)&^evPosted != 0
}
