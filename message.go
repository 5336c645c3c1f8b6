//go:build cgo

package mosquitto

import (
	"slices"
	"strings"
)

// QoS is MQTT's quality of service: 0 at most once, 1 at least once, 2 exactly
// once. The untyped constants 0, 1 and 2 convert by themselves.
type QoS byte

// Message is struct mosquitto_message: a received message. Topic and payload are in
// memory of Go and may be kept. There is nothing to free, so mosquitto_message_free and
// mosquitto_message_free_contents have no counterpart. Short messages that Run delivers
// together share memory: a message that is kept keeps up to 512 bytes. Its Clone does
// not.
type Message struct {
	MID        int    // message id; 0 for QoS 0
	Topic      string // where it was published
	Payload    []byte // nil when empty; its length is the document's payloadlen
	QoS        QoS
	Retain     bool       // the broker kept it: the topic's last known good value
	Properties Properties // of MQTT 5, nil otherwise
}

// Clone wraps mosquitto_message_copy: it returns a copy that shares no memory with m.
func (m Message) Clone() Message {
	m.Topic = strings.Clone(m.Topic)
	m.Payload = slices.Clone(m.Payload)
	m.Properties = m.Properties.Clone()
	return m
}

// Connack is a CONNACK, for [Client.OnConnect].
type Connack struct {
	Code           ConnackCode // 0: the connection was accepted
	SessionPresent bool        // the broker still had the session of this client id
	Properties     Properties  // of MQTT 5, nil otherwise
}

// Err returns nil if the broker accepted the connection.
func (a Connack) Err() error { return a.Code.Err() }

// Disconnection is the end of a connection, for [Client.OnDisconnect].
type Disconnection struct {
	// Code is 0 when Disconnect asked for it (a broker's DISCONNECT with reason
	// 0 looks the same), a library code below 128, or the reason code of the
	// broker's DISCONNECT.
	Code int
	// Err is nil when Code is 0; it is an *OpError, or a ReasonError for a
	// reason code.
	Err error
	// Properties are those of a broker's DISCONNECT. No version of the library
	// so far passes them on.
	Properties Properties
}
