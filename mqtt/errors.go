//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

var (
	// ErrClosed ends every wait when the client ends. [Client.Err] says why.
	ErrClosed = mosquitto.ErrClosed
	// ErrInCallback is returned at once by calls that would wait for the
	// handler that makes them.
	ErrInCallback = mosquitto.ErrInCallback
	// ErrNotSupported is returned for what the installed library, or the
	// protocol version of the connection, lacks.
	ErrNotSupported error = mosquitto.ErrNotSupported
	// ErrConnectionLost ends the wait for a QoS 0 message that was handed to a
	// connection which then ended: it may or may not have been sent.
	ErrConnectionLost = errors.New("connection lost before the message was sent")
	// ErrAbandoned stands beside the error of a context that ended when the
	// message had been handed over, and beside the end of any wait for a message
	// that stays in the outbox: it may still be delivered.
	ErrAbandoned = errors.New("the message may still be delivered")
	// ErrQueueFull is the refusal of a message for which the queue has no room.
	ErrQueueFull = errors.New("queue is full")
	// ErrHandlerQueueFull ends a wait inside a handler, or an iterator's loop, whose
	// queue is at 64 times its bound: the answer is behind still more messages.
	// Publish with a token, or a longer queue, is the remedy.
	ErrHandlerQueueFull = errors.New("queue of the handler that waits is full")
	// ErrDropped ends the wait for a QoS 0 message that made room for another.
	ErrDropped = errors.New("dropped to make room in the queue")
	// ErrOvertaken ends Subscribe, Unsubscribe or Messages when another call for
	// the same filter wants the contrary.
	ErrOvertaken = errors.New("overtaken by another call for the same filter")
	// ErrTimeout is the end of an attempt to connect that took longer than
	// [WithConnectTimeout] allows.
	ErrTimeout = errors.New("no answer in time")
)

// ConnectError says why a connection did not come about or ended. Err is a
// [mosquitto.ConnackError] when the broker refused.
type ConnectError struct {
	Server string // without credentials
	Err    error
	Detail string // what the library logged about it: OpenSSL's text
}

func (e *ConnectError) Error() string {
	text := "mqtt: " + e.Server + ": " + e.Err.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// SubscribeError is a broker's refusal of a subscription, or of taking one back.
type SubscribeError struct {
	Filter string
	Code   mosquitto.ReasonCode // 0x80 with MQTT 3.1.1
}

func (e *SubscribeError) Error() string {
	return fmt.Sprintf("mqtt: subscription %q refused: %v", e.Filter, e.Code)
}

// Unwrap returns the code as a [mosquitto.ReasonError].
func (e *SubscribeError) Unwrap() error { return e.Code.Err() }

// PublishError is a broker's refusal of a message (MQTT 5).
type PublishError struct {
	Topic string
	Code  mosquitto.ReasonCode
	Text  string // the broker's reason string
}

func (e *PublishError) Error() string {
	text := fmt.Sprintf("mqtt: message on %q refused: %v", e.Topic, e.Code)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns the code as a [mosquitto.ReasonError].
func (e *PublishError) Unwrap() error { return e.Code.Err() }

// Unsent is a message that was accepted and not acknowledged.
type Unsent struct {
	Topic string
	QoS   mosquitto.QoS
	Sent  bool // it was handed to a connection: it may have been delivered
	Kept  bool // the outbox keeps it
}

// CloseError lists what [Client.Close] could not flush. A message of the outbox
// is in it too, though it is kept there.
type CloseError struct {
	Unsent []Unsent
	Unread bool // the outbox has more, from an earlier process
}

func (e *CloseError) Error() string {
	const most = 5
	topics := make([]string, 0, most+1)
	for i, u := range e.Unsent {
		if i == most {
			topics = append(topics, "...")
			break
		}
		topics = append(topics, fmt.Sprintf("%q", u.Topic))
	}
	text := fmt.Sprintf("mqtt: closed with %d messages not acknowledged: %s", len(e.Unsent), strings.Join(topics, ", "))
	if e.Unread {
		text += "; the outbox has more"
	}
	return text
}

// badArgument is the refusal of an argument, before anything was done.
func badArgument(argument, format string, args ...any) error {
	return fmt.Errorf("mqtt: %s: %s: %w", argument, fmt.Sprintf(format, args...), mosquitto.ErrInval)
}
