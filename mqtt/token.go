//go:build cgo

package mqtt

import (
	"context"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// Token is a message that [Client.PublishAsync] has accepted or refused. Its methods are
// safe for concurrent use.
type Token struct {
	client  *Client
	pub     Publication   // with a copy of the payload
	short   *shortPayload // memory of a short payload, reused after the end of the message; nil for a longer payload
	size    int           // bytes that count towards the queue's limit
	number  uint64        // order of acceptance
	wake    chan struct{} // for a token of Publish: receives a value when the message has ended; nil for other tokens
	outcome func(error)   // calls the functions of the Publish hooks; nil without such functions
	key     uint64        // of the message in the outbox, if stored
	stored  bool          // the outbox has the message
	mid     atomic.Int32
	expiry  *expiry     // nil if the message does not expire
	ended   atomic.Bool // the message is acknowledged or has failed: the fields below no longer change

	call *onConnectCall // publishes the message in a function of WithOnConnect; nil for other messages

	// Guarded by the queue's mutex until the end.
	phase     phase
	done      chan struct{} // the channel of Done; nil before the first call of Done
	sent      bool          // the message was in flight at least once
	abandoned error         // why the caller no longer waits for a message in flight
	links     [2]link       // in the lists of the queue; the loop owns them while the message is in flight
	code      mosquitto.ReasonCode
	props     Properties
	err       error

	// Owned by the loop while the message is in flight.
	connection *attempt // the connection on which it was submitted first
	sequence   int      // order of submission on this connection
	closures   int      // connections that the broker closed while it was the oldest in flight
}

// phase is the progress of a message.
type phase uint8

const (
	pending   phase = iota // queued, or not accepted yet
	inFlight               // submitted to the library
	completed              // acknowledged or failed
)

// Done returns a channel that is closed when the message is acknowledged or has failed.
// For QoS 0, that is when the message is written.
func (t *Token) Done() <-chan struct{} {
	if t.client == nil { // a CompletedToken
		return t.done
	}
	t.client.queue.mu.Lock()
	defer t.client.queue.mu.Unlock()
	if t.done == nil { // made on demand: most programs do not need this channel
		t.done = make(chan struct{})
		if t.phase == completed {
			close(t.done)
		}
	}
	return t.done
}

// Err returns why the message has failed. It returns nil before the end, and for an
// acknowledged message.
func (t *Token) Err() error {
	if t.ended.Load() {
		return t.err
	}
	return nil
}

// Wait blocks until the message is acknowledged or has failed. If ctx ends first, a
// queued message is cancelled. A message in flight is not cancelled, and the error wraps
// [ErrAbandoned] too. Inside an inline handler Wait returns [ErrInCallback].
func (t *Token) Wait(ctx context.Context) error {
	if t.ended.Load() {
		return t.err
	}
	if err := t.client.mayBlock("wait for a message", insteadOfWait); err != nil {
		return err
	}
	full := t.client.flow.beginWait()
	defer t.client.flow.endWait()
	return t.wait(ctx, t.Done(), full)
}

// wait blocks until the message has ended: end then delivers a value or is closed. full
// is the channel of flow.beginWait.
func (t *Token) wait(ctx context.Context, end, full <-chan struct{}) error {
	select {
	case <-end:
		return t.err
	case <-full:
		return t.client.stopWaiting(t, end, ErrHandlerQueueFull)
	case <-ctx.Done():
		return t.client.stopWaiting(t, end, ctx.Err())
	}
}

// stopWaiting ends a wait. It cancels the message if it is queued.
func (c *Client) stopWaiting(t *Token, end <-chan struct{}, cause error) error {
	ended, cancelled, err := c.queue.abandon(t, cause, c.waitsFor(""))
	if cancelled {
		c.reportEnd(t)
	}
	if !ended {
		return joinErrors(err, ErrAbandoned)
	}
	<-end // for a token of Publish: the value must not wake its next message
	return t.err
}

// publishTo is the call in the errors of messages.
const publishTo = "publish to"

// stopErr returns the error of a wait for a message that has not ended. offline says why
// there is no connection, or is empty. The caller must hold the queue's mutex.
func (t *Token) stopErr(cause error, offline string) error {
	state := offline
	switch {
	case offline != "":
	case t.phase == pending:
		state = "queued behind other messages"
	case t.pub.QoS == 0:
		state = "waits until it is written"
	case t.pub.QoS == 1:
		state = "waits for PUBACK"
	default:
		state = "waits for PUBREC or PUBCOMP"
	}
	return &waitError{publishTo, t.pub.Topic, state, cause}
}

// MID returns the packet id, or 0 before the message is submitted. Packet ids repeat
// after 65,535 messages.
func (t *Token) MID() int { return int(t.mid.Load()) }

// ReasonCode returns the broker's reason code (MQTT 5), or 0 before the message has
// ended.
func (t *Token) ReasonCode() mosquitto.ReasonCode {
	if t.ended.Load() {
		return t.code
	}
	return 0
}

// Properties returns the properties of the PUBACK, PUBREC or PUBCOMP packet (MQTT 5), or
// nil before the message has ended.
func (t *Token) Properties() Properties {
	if t.ended.Load() {
		return t.props
	}
	return nil
}

// unsent returns the entry for [CloseError].
func (t *Token) unsent(sent bool) Unsent {
	return Unsent{t.pub.Topic, t.pub.QoS, sent, t.stored}
}

// closedErr returns the error of a message that ends with the client. The next process
// may deliver a stored message.
func (t *Token) closedErr(err error) error {
	if t.stored {
		return joinErrors(err, ErrAbandoned)
	}
	return err
}
