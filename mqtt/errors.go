//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"slices"
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
	Text   string // the reason string of the broker's CONNACK
	Detail string // what the library logged about it: OpenSSL's text

	lost bool // the broker had accepted it
}

func (e *ConnectError) Error() string {
	op := "connect "
	if e.lost {
		op = "connection to "
	}
	text := "mqtt: " + op + e.Server + ": " + withoutPrefix(e.Err)
	for _, more := range []string{e.Text, e.Detail} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// withoutPrefix is an error's text for a line that begins with "mqtt: ": without that
// prefix, and without the name of the library's function.
func withoutPrefix(err error) string {
	switch e := err.(type) {
	case *mosquitto.OpError:
		if e.Errno != 0 {
			return e.Errno.Error()
		}
		if e.Detail != "" {
			return e.Detail
		}
		return withoutPrefix(e.Err)
	case mosquitto.Error:
		return strings.TrimSuffix(strings.ToLower(e.Error()[:1])+e.Error()[1:], ".")
	case mosquitto.ConnackError:
		return "refused: " + e.Code.String()
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "mqtt: "), "mosquitto: ")
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// SubscribeError is a broker's refusal of a subscription, or of taking one back.
type SubscribeError struct {
	Filter string
	Code   mosquitto.ReasonCode // 0x80 with MQTT 3.1.1
	Text   string               // the broker's reason string, or what else is known
}

func (e *SubscribeError) Error() string {
	text := fmt.Sprintf("mqtt: subscribe to %q: refused: %v", e.Filter, e.Code)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
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
	text := fmt.Sprintf("mqtt: publish to %q: refused: %v", e.Topic, e.Code)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns the code as a [mosquitto.ReasonError].
func (e *PublishError) Unwrap() error { return e.Code.Err() }

// DeliveryError ends a message that the broker has answered again and again by closing
// the connection: see [WithDeliveryAttempts].
type DeliveryError struct {
	Topic    string
	QoS      QoSLevel
	Attempts int   // connections that ended while the message was the oldest in flight
	Err      error // why the last one ended
}

func (e *DeliveryError) Error() string {
	return fmt.Sprintf("mqtt: publish to %q: given up: the broker has closed the connection %d times while the message was the oldest in flight: %s",
		e.Topic, e.Attempts, withoutPrefix(e.Err))
}

// Unwrap returns Err.
func (e *DeliveryError) Unwrap() error { return e.Err }

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
	const maxTopics = 5
	topics := make([]string, 0, maxTopics+1)
	for i, u := range e.Unsent {
		if i == maxTopics {
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

var errPropertiesNeedV5 = badArgument("properties", "they need MQTT 5")

// badArgument is the refusal of an argument, before anything was done.
func badArgument(argument, format string, args ...any) error {
	return fmt.Errorf("mqtt: %s: %s: %w", argument, fmt.Sprintf(format, args...), mosquitto.ErrInval)
}

// joined is several errors on one line.
type joined []error

func (j joined) Error() string {
	text := make([]string, len(j))
	for i, err := range j {
		text[i] = err.Error()
		if i > 0 {
			text[i] = withoutPrefix(err)
		}
	}
	return strings.Join(text, "; ")
}

// Unwrap returns the errors.
func (j joined) Unwrap() []error { return j }

// joinErrors is errors.Join on one line: nil for none, the error itself for one.
func joinErrors(all ...error) error {
	all = slices.DeleteFunc(slices.Clone(all), func(err error) bool { return err == nil })
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return joined(all)
}

// wrapError says what an error is about.
func wrapError(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }

// withReason adds a broker's reason string to an error.
func withReason(err error, text string) error {
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, text)
}

// setupError is the refusal of a setting by the library.
type setupError struct{ err error }

func (e setupError) Error() string { return "mqtt: " + withoutPrefix(e.err) }

// Unwrap returns the library's error.
func (e setupError) Unwrap() error { return e.err }
