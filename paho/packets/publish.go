package packets

import (
	"fmt"
	"io"
)

// PublishPacket is a PUBLISH packet.
type PublishPacket struct {
	FixedHeader
	TopicName string // the topic
	MessageID uint16 // packet id
	Payload   []byte // the payload
}

func (p *PublishPacket) String() string {
	return fmt.Sprintf("%v, topic %q, packet id %d, payload of %d bytes", p.FixedHeader, p.TopicName, p.MessageID, len(p.Payload))
}

// Write encodes the packet and writes it to w.
func (p *PublishPacket) Write(w io.Writer) error {
	var e encoder
	e.text(p.TopicName)
	if p.Qos > 0 {
		e.uint16(p.MessageID)
	}
	e.bytes = append(e.bytes, p.Payload...)
	return p.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header. The header's
// RemainingLength must be set.
func (p *PublishPacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	p.TopicName = d.text()
	left := p.RemainingLength - len(p.TopicName) - 2
	if p.Qos > 0 {
		p.MessageID = d.uint16()
		left -= 2
	}
	p.Payload = d.rest(left)
	return d.err
}

// Copy returns a packet with the same topic and payload, and an empty fixed header. The
// packets share the payload.
func (p *PublishPacket) Copy() *PublishPacket {
	c := NewControlPacket(Publish).(*PublishPacket)
	c.TopicName, c.Payload = p.TopicName, p.Payload
	return c
}

// Details returns the QoS and the packet id.
func (p *PublishPacket) Details() Details { return Details{Qos: p.Qos, MessageID: p.MessageID} }
