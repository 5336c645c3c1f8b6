//go:build cgo

package mosquitto

import (
	"slices"
	"strings"
)

// QoS is MQTT's quality of service: 0 at most once, 1 at least once, 2 exactly once.
// The untyped constants 0, 1 and 2 are converted to QoS implicitly.
type QoS byte

// Message is a received message: struct mosquitto_message. Topic and payload are Go
// memory, and the program may keep them. There is nothing to free, so
// mosquitto_message_free and mosquitto_message_free_contents have no counterpart.
//
// Short messages that Run delivers together share memory. A message that is kept can
// keep up to 1.5 KiB alive. [Message.Clone] returns a copy of its own.
type Message struct {
	MID        int        // message id; 0 for QoS 0
	Topic      string     // the topic that the message was published on
	Payload    []byte     // nil when empty; its length is payloadlen in C
	QoS        QoS        // the lower of the message's and the subscription's QoS
	Retain     bool       // true if the broker has stored the message for new subscribers
	Properties Properties // of MQTT 5, nil otherwise
}

// Clone wraps mosquitto_message_copy: it returns a copy that shares no memory with m.
func (m Message) Clone() Message {
	m.Topic = strings.Clone(m.Topic)
	m.Payload = slices.Clone(m.Payload)
	m.Properties = m.Properties.Clone()
	return m
}

// Connack is the CONNACK packet that [Client.OnConnect] reports.
type Connack struct {
	Code           ConnackCode // 0: the connection was accepted
	SessionPresent bool        // the broker has kept the session of this client id
	Properties     Properties  // of MQTT 5, nil otherwise
}

// Err returns nil if the broker accepted the connection.
func (a Connack) Err() error { return a.Code.Err() }

// Disconnection is the end of a connection that [Client.OnDisconnect] reports.
type Disconnection struct {
	// Code is 0 after Disconnect, a library code below 128, or the reason code of the
	// broker's DISCONNECT. A broker's DISCONNECT with reason 0 cannot be distinguished
	// from Disconnect.
	Code int
	// Err is nil if Code is 0. Otherwise it is an [*OpError], or a [ReasonError] for a
	// reason code.
	Err error
	// Properties are the properties of the DISCONNECT packet of the broker. No version of
	// the library has reported them so far.
	Properties Properties
}
