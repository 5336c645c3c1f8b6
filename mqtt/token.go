//go:build cgo

package mqtt

import (
	"context"
	"errors"

	"github.com/mosquitto-go/mosquitto"
)

// Token is a message on its way to the broker.
type Token struct {
	client *Client
	pub    Publication   // its payload until the library has it
	size   int           // bytes that count in the queue
	number uint64        // by acceptance
	ended  chan struct{} // closed at the end; nil for a token of Publish
	wake   chan struct{} // told at the end instead
	tell   func(error)   // of the Publish hooks
	key    uint64        // in the outbox, if stored
	stored bool          // the outbox has it

	// Guarded by the client's mu until ended is closed.
	phase    phase
	mid      int
	doubtful bool // an answer to its id was taken for another's
	again    bool // its acknowledgement will be worth nothing
	code     mosquitto.ReasonCode
	props    Properties
	err      error
	next     *Token // in the queue, or with the same mid
}

// phase is how far a message has come.
type phase uint8

const (
	waiting phase = iota // in the queue
	handing              // on its way into the library
	handed               // the library has it
	over                 // acknowledged, or failed
)

// Done is closed when the message has come to its end: acknowledged, or failed.
func (t *Token) Done() <-chan struct{} { return t.ended }

// isOver tells whether the message has come to its end.
func (t *Token) isOver() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// Err is nil as long as the message is on its way, and when it was acknowledged.
func (t *Token) Err() error {
	if t.isOver() {
		return t.err
	}
	return nil
}

// Wait waits for the end of the message, or of ctx: then the message is taken
// back if it was not sent, and otherwise the error wraps [ErrAbandoned] too.
// Inside an inline handler it returns [ErrInCallback].
func (t *Token) Wait(ctx context.Context) error {
	if t.isOver() {
		return t.err
	}
	ctx, restore, err := t.client.mayWait(ctx)
	if err != nil {
		return err
	}
	defer restore()
	return t.wait(ctx)
}

func (t *Token) wait(ctx context.Context) error {
	select {
	case <-t.ended:
		return t.err
	case <-t.wake:
		return t.err
	case <-ctx.Done():
		return t.client.giveUp(t, ctx.Err())
	}
}

// giveUp ends a wait whose context has ended.
func (c *Client) giveUp(t *Token, cause error) error {
	c.mu.Lock()
	if t.phase == waiting && !t.stored {
		c.out.remove(t)
		c.finish(t, ack{}, cause)
	}
	ended, err := t.phase == over, t.err // meanwhile, or just now
	c.unlock()
	if !ended {
		return errors.Join(cause, ErrAbandoned)
	}
	if t.wake != nil {
		<-t.wake // or the next message of this token would end with it
	}
	return err
}

// MID is the message id, 0 before the library has given one. Ids are used again
// after 65,535 messages.
func (t *Token) MID() int {
	if t.isOver() {
		return t.mid
	}
	t.client.mu.Lock()
	defer t.client.mu.Unlock()
	return t.mid
}

// ReasonCode is the broker's answer with MQTT 5, 0 before there is one.
func (t *Token) ReasonCode() mosquitto.ReasonCode {
	if t.isOver() {
		return t.code
	}
	return 0
}

// Properties are those of the broker's answer with MQTT 5.
func (t *Token) Properties() Properties {
	if t.isOver() {
		return t.props
	}
	return nil
}
