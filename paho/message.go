package mqtt

import "github.com/mosquitto-go/mosquitto/mqtt"

// Message is a received message. A callback may keep it.
type Message interface {
	// Duplicate returns false: libmosquitto does not report the DUP flag.
	Duplicate() bool
	// Qos returns the quality of service of the message.
	Qos() byte
	// Retained reports whether the broker had kept the message.
	Retained() bool
	// Topic returns the topic of the message.
	Topic() string
	// MessageID returns the packet id, or 0 with QoS 0.
	MessageID() uint16
	// Payload returns the payload.
	Payload() []byte
	// Ack does nothing: the client acknowledges the message when its callbacks have
	// returned.
	Ack()
}

// message is a received message.
type message struct {
	mqtt.Message
	callbacks []MessageHandler
}

func (m *message) Duplicate() bool   { return false }
func (m *message) Qos() byte         { return byte(m.Message.QoS) }
func (m *message) Retained() bool    { return m.Message.Retain }
func (m *message) Topic() string     { return m.Message.Topic }
func (m *message) MessageID() uint16 { return uint16(m.Message.MID) }
func (m *message) Payload() []byte   { return m.Message.Payload }
func (m *message) Ack()              {}

// size returns how many bytes the message uses in a queue.
func (m *message) size() int { return len(m.Message.Topic) + len(m.Message.Payload) }
