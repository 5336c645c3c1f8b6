//go:build cgo

package mqtt

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

var (
	// ErrClosed is returned by every call that waits when the client ends, and by every
	// later call. [Client.Err] returns the cause.
	ErrClosed = mosquitto.ErrClosed
	// ErrInCallback is returned by calls that would block inside an inline handler, a
	// hook or the logger. They return it at once. It is also returned by calls inside a
	// function of [WithOnConnect] that would wait for the end of this function.
	ErrInCallback = mosquitto.ErrInCallback
	// ErrNotSupported is returned for features that the installed library or the
	// protocol version of the connection does not have.
	ErrNotSupported error = mosquitto.ErrNotSupported
	// ErrConnectionLost is returned for a QoS 0 message if the connection was lost and
	// the message may not have been written. The broker may or may not have received it.
	ErrConnectionLost = errors.New("mqtt: connection lost before the message was sent")
	// ErrAbandoned is returned with the error of a context that ended while the message
	// was in flight. It is also returned when the wait for a message of the outbox ends
	// early. The message may still be delivered.
	ErrAbandoned = errors.New("mqtt: the message may still be delivered")
	// ErrQueueFull is returned for a message that exceeds the limits of [WithQueue].
	ErrQueueFull = errors.New("mqtt: queue is full")
	// ErrHandlerQueueFull is returned by calls that wait for the broker while the queues
	// of handlers and iterators are full. More than 16 MiB of messages are queued, and
	// no handler has taken a message for 1 s. The broker's reply is behind still more
	// messages. Use [Client.PublishAsync] inside such handlers, or faster handlers.
	ErrHandlerQueueFull = errors.New("mqtt: the handlers' queues are full")
	// ErrMessageExpired is returned for a message that was not sent before its
	// [WithMessageExpiry] had passed.
	ErrMessageExpired = errors.New("mqtt: the message expired before it was sent")
	// ErrNotConnected is returned for a message with [WithOnlineOnly] while there is no
	// connection.
	ErrNotConnected = errors.New("mqtt: not connected")
	// ErrDropped is returned for a QoS 0 message that was dropped to free capacity for
	// another message in the queue: see [DropOldestQoS0].
	ErrDropped = errors.New("mqtt: dropped to free capacity in the queue")
	// ErrSuperseded is returned by Subscribe, Unsubscribe or Messages when a later,
	// opposite call for the same filter supersedes the call.
	ErrSuperseded = errors.New("mqtt: superseded by another call for the same filter")
	// ErrConnectTimeout is returned for an attempt to connect that exceeds the limit of
	// [WithConnectTimeout].
	ErrConnectTimeout error = &timeoutError{"mqtt: connect timeout"}
)

var errReconnect = errors.New("mqtt: Reconnect was called")

// errClosed is ErrClosed as calls return it.
var errClosed = fmt.Errorf("mqtt: %w", ErrClosed)

// callbackError reports a call that must not block where it is.
type callbackError struct{ op, why, instead string }

func (e *callbackError) Error() string { return "mqtt: " + e.op + ": " + e.why + ": " + e.instead }

// Unwrap returns ErrInCallback.
func (e *callbackError) Unwrap() error { return ErrInCallback }

// waitError reports that a call has stopped waiting, because its context ended or because of
// ErrHandlerQueueFull.
type waitError struct {
	op, subject string // the call; subject is a topic, a filter, or empty
	state       string // what the call waited for
	err         error
}

func (e *waitError) Error() string {
	text := "mqtt: " + e.op
	if e.subject != "" {
		text += fmt.Sprintf(" %.100q", e.subject)
	}
	return text + ": " + e.state + ": " + withoutPrefix(e.err)
}

// Unwrap returns why the call has stopped waiting.
func (e *waitError) Unwrap() error { return e.err }

// timeoutError is a timeout, also for errors.Is with os.ErrDeadlineExceeded.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }

// Unwrap returns os.ErrDeadlineExceeded.
func (e *timeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// Timeout reports true.
func (e *timeoutError) Timeout() bool { return true }

// ConnectError reports that an attempt to connect failed, or that a connection was lost.
// Err is a [mosquitto.ConnackError] if the broker refused the connection.
type ConnectError struct {
	Server string // the URL of the server, without credentials
	Err    error  // the reason
	Text   string // the reason string of CONNACK
	Detail string // what the library logged about the failure, such as OpenSSL's error text

	// Connack is the CONNACK packet if the broker refused the connection, nil otherwise.
	Connack *Connack

	lost bool // the broker had accepted the connection
}

func (e *ConnectError) Error() string {
	op := "connect "
	if e.lost {
		op = "connection to "
	}
	text := "mqtt: " + op + e.Server + ": " + withoutPrefix(e.Err)
	parts := slices.DeleteFunc([]string{text, e.Text, e.Detail}, func(part string) bool { return part == "" })
	return strings.Join(parts, ": ")
}

// withoutPrefix returns the text of err without a leading "mqtt: " or "mosquitto: ", and
// without the name of a C function. The caller writes it behind its own prefix.
func withoutPrefix(err error) string {
	switch e := any(err).(type) { // not errors.As: a wrapping error has more to say
	case *mosquitto.OpError:
		if e.Detail != "" {
			return e.Detail
		}
		if e.Errno != 0 {
			return e.Errno.Error()
		}
		return withoutPrefix(e.Err)
	case mosquitto.ConnackError:
		text := strings.TrimPrefix(e.Error(), "mosquitto: connect: ")
		return "refused: " + strings.TrimPrefix(text, "connection refused: ")
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "mqtt: "), "mosquitto: ")
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// SubscribeError reports that the broker refused to subscribe to a filter or to
// unsubscribe from it.
type SubscribeError struct {
	Filter string               // the topic filter
	Code   mosquitto.ReasonCode // 0x80 with MQTT 3.1.1
	Text   string               // the broker's reason string, or another explanation
}

func (e *SubscribeError) Error() string {
	text := fmt.Sprintf("mqtt: subscribe to %q: refused: %v", e.Filter, e.Code)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns Code as a [mosquitto.ReasonError].
func (e *SubscribeError) Unwrap() error { return e.Code.Err() }

// PublishError reports that the broker refused a message (MQTT 5).
type PublishError struct {
	Topic string               // the topic of the message
	Code  mosquitto.ReasonCode // 128 or above
	Text  string               // the broker's reason string
}

func (e *PublishError) Error() string {
	text := fmt.Sprintf("mqtt: publish to %q: refused: %v", e.Topic, e.Code)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns Code as a [mosquitto.ReasonError].
func (e *PublishError) Unwrap() error { return e.Code.Err() }

// DeliveryError reports that a message failed because the broker repeatedly closed the
// connection for it: see [WithDeliveryAttempts].
type DeliveryError struct {
	Topic    string // the topic of the message
	Size     int    // bytes of the payload
	QoS      QoS    // the QoS of the message
	Attempts int    // connections that the broker closed while the message was the oldest in flight
	Err      error  // why the last of these connections ended
}

func (e *DeliveryError) Error() string {
	return fmt.Sprintf("mqtt: publish to %q (%d bytes): given up: the broker has closed the connection %d times while the message was the oldest in flight "+
		"(brokers do this for a message that is too large or not allowed): %s", e.Topic, e.Size, e.Attempts, withoutPrefix(e.Err))
}

// Unwrap returns Err.
func (e *DeliveryError) Unwrap() error { return e.Err }

// Unsent describes a message that was accepted and not acknowledged.
type Unsent struct {
	Topic  string        // the topic of the message
	QoS    mosquitto.QoS // the QoS of the message
	Sent   bool          // the message was submitted to a connection: it may have been delivered
	Stored bool          // the outbox keeps the message for the next process
}

// CloseError lists the messages that were not acknowledged when [Client.Close] ended.
// The list includes messages that the outbox keeps.
type CloseError struct {
	Unsent       []Unsent // the messages, in the order of the calls
	MoreInOutbox bool     // the outbox has more messages of an earlier process, which are not listed
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
	if e.MoreInOutbox {
		text += "; the outbox has more messages"
	}
	return text
}

var errPropertiesNeedV5 = badArgument("properties", "they need MQTT 5")

// badArgument returns the error for an invalid argument. It wraps mosquitto.ErrInval.
func badArgument(argument, format string, args ...any) error {
	return fmt.Errorf("mqtt: %s: %s: %w", argument, fmt.Sprintf(format, args...), mosquitto.ErrInval)
}

// argumentError reports an invalid argument, with a text of its own.
type argumentError struct {
	text string // without "mqtt: "
	err  error
}

func (e *argumentError) Error() string { return "mqtt: " + e.text }

// Unwrap returns the reason.
func (e *argumentError) Unwrap() error { return e.err }

// named adds the name of the option to an error about its arguments. It returns nil for nil.
func named(option string, err error) error {
	if err == nil {
		return nil
	}
	return &argumentError{option + ": " + withoutPrefix(err), err}
}

// joined is a list of errors whose text is one line.
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

// joinErrors is errors.Join with a text of one line. It returns nil for no error, and
// the error itself for a single error.
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

// wrapError prefixes the text of err with its subject.
func wrapError(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }

// withReason appends the broker's reason string to err.
func withReason(err error, text string) error {
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, text)
}

// setupError reports that the library refused a setting.
type setupError struct{ err error }

func (e setupError) Error() string { return "mqtt: " + withoutPrefix(e.err) }

// Unwrap returns the library's error.
func (e setupError) Unwrap() error { return e.err }
