//go:build cgo

package mqtt

import (
	"context"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// Token is a message that [Client.PublishAsync] has accepted.
type Token struct {
	client  *Client
	pub     Publication   // its payload is the token's own copy
	size    int           // bytes that count in the queue
	number  uint64        // by acceptance
	ended   chan struct{} // closed at the end; nil for a token of Publish
	wake    chan struct{} // receives one value at the end instead
	outcome func(error)   // of the Publish hooks; nil without
	key     uint64        // in the outbox, if stored
	stored  bool          // the outbox has it
	mid     atomic.Int32

	// Guarded by the queue's mutex until the end.
	phase     phase
	sent      bool    // it was in flight once
	abandoned error   // why the caller waits no longer for a message in flight
	links     [2]link // in the lists of the queue, or of the messages in flight
	code      mosquitto.ReasonCode
	props     Properties
	err       error

	// Owned by the loop while the message is in flight.
	connection *attempt // on which it was submitted first
	sequence   int      // by submission on that connection
	closures   int      // connections that the broker closed when it was the oldest
}

// phase is how far a message has come.
type phase uint8

const (
	pending   phase = iota // in the queue, or not accepted yet
	inFlight               // the library has it
	completed              // acknowledged, or failed
)

// Done returns a channel that is closed when the message was acknowledged or has failed.
func (t *Token) Done() <-chan struct{} { return t.ended }

// isCompleted reports whether the message was acknowledged or has failed.
func (t *Token) isCompleted() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// Err returns why the message failed: nil before that, and when it was acknowledged.
func (t *Token) Err() error {
	if t.isCompleted() {
		return t.err
	}
	return nil
}

// Wait blocks until the message was acknowledged or has failed. If ctx ends first, a
// message that was not sent is cancelled; otherwise the error wraps [ErrAbandoned] too.
// Inside an inline handler it returns [ErrInCallback].
func (t *Token) Wait(ctx context.Context) error {
	if t.isCompleted() {
		return t.err
	}
	if t.client.inInlineHandler() {
		return ErrInCallback
	}
	full := t.client.flow.enter()
	defer t.client.flow.leave()
	return t.wait(ctx, full)
}

// wait blocks until the message has ended. full is closed when the broker's answer is
// behind more messages than a handler's queue may hold.
func (t *Token) wait(ctx context.Context, full <-chan struct{}) error {
	select {
	case <-t.ended:
		return t.err
	case <-t.wake:
		return t.err
	case <-full:
		return t.client.stopWaiting(t, ErrHandlerQueueFull)
	case <-ctx.Done():
		return t.client.stopWaiting(t, ctx.Err())
	}
}

// stopWaiting ends a wait. A message that is still queued is cancelled.
func (c *Client) stopWaiting(t *Token, cause error) error {
	ended, cancelled := c.queue.abandon(t, cause)
	if cancelled {
		c.reportEnd(t)
	}
	if !ended {
		return joinErrors(cause, ErrAbandoned)
	}
	if t.wake != nil {
		<-t.wake // or the next message of this token would end with it
	}
	return t.err
}

// MID returns the packet id, 0 before there is one. Packet ids are used again after
// 65,535 messages.
func (t *Token) MID() int { return int(t.mid.Load()) }

// ReasonCode returns the broker's reason code with MQTT 5, 0 before there is one.
func (t *Token) ReasonCode() mosquitto.ReasonCode {
	if t.isCompleted() {
		return t.code
	}
	return 0
}

// Properties returns the properties of the broker's acknowledgement with MQTT 5.
func (t *Token) Properties() Properties {
	if t.isCompleted() {
		return t.props
	}
	return nil
}

// unsent describes the message for [CloseError].
func (t *Token) unsent(sent bool) Unsent {
	return Unsent{t.pub.Topic, t.pub.QoS, sent, t.stored}
}

// closedErr is the error of a message that ends with the client. A stored message may
// be delivered later.
func (t *Token) closedErr(err error) error {
	if t.stored {
		return joinErrors(err, ErrAbandoned)
	}
	return err
}
