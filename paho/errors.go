package mqtt

import (
	"errors"
	"fmt"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// The errors that programs compare with.
//
//nolint:errname // the names of paho.mqtt.golang
var (
	// ErrNotConnected is the error of calls on a client that is not connected and does not
	// connect by itself.
	ErrNotConnected = errors.New("not Connected")
	// ErrInvalidQos is the error of calls with a QoS above 2.
	ErrInvalidQos = errors.New("invalid QoS")
	// ErrInvalidTopicEmptyString is the error of calls with an empty topic or filter.
	ErrInvalidTopicEmptyString = errors.New("invalid Topic; empty string")
	// ErrInvalidTopicMultilevel is the error of a filter with # before its last level.
	ErrInvalidTopicMultilevel = errors.New("invalid Topic; multi-level wildcard must be last level")
	// TimedOut is the error that [WaitTokenTimeout] returns when the time is over.
	TimedOut = errors.New("context canceled")
)

var (
	errNoServers    = errors.New("paho: connect: no broker: use AddBroker")
	errConnecting   = errors.New("paho: connect: Connect was called before and has not returned yet")
	errConnected    = errors.New("paho: connect: the client is connected already")
	errDisconnected = errors.New("paho: Disconnect was called")
	errLost         = errors.New("paho: the connection was lost")
	errNoResume     = errors.New("paho: not connected, and SetResumeSubs is not set")
	errNoFilter     = errors.New("paho: no filter")
	errPayloadType  = errors.New("paho: the payload is not a string, a []byte or a bytes.Buffer")
	errTooMany      = errors.New("paho: more than 65535 messages wait for the connection")
	errNoReconnect  = errors.New("paho: SetAutoReconnect is false")
	errNoPacketID   = errors.New("paho: the store holds 65535 messages")
)

// optionError is the error of Connect for an option that cannot be used.
func optionError(option, format string, args ...any) error {
	return fmt.Errorf("paho: connect: "+option+": "+format, args...)
}

// publishError translates the error of a message.
func publishError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mqtt.ErrClosed):
		return fmt.Errorf("paho: disconnected before the message was acknowledged: %w", err)
	}
	return err
}

// isAttempt reports whether an attempt to connect has failed. Other errors of Connect are
// about options: they would be the same again.
func isAttempt(err error) bool {
	var failure *mqtt.ConnectError
	return errors.As(err, &failure)
}

// refusal returns the return code of a failed connect, and its error.
func refusal(err error) (code byte, refused error) {
	var connack mqtt.ConnackError
	if !isAttempt(err) {
		return packets.ErrNetworkError, err
	}
	if errors.As(err, &connack) {
		if known, ok := packets.ConnErrors[byte(connack.Code)]; ok && known != nil {
			return byte(connack.Code), known
		}
	}
	return packets.ErrNetworkError, fmt.Errorf("%w : %w", packets.ErrorNetworkError, err)
}
