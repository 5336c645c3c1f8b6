package packets

import (
	"fmt"
	"io"
)

// SubscribePacket is a SUBSCRIBE packet. Topics and Qoss have the same length.
type SubscribePacket struct {
	FixedHeader
	MessageID uint16   // packet id
	Topics    []string // topic filters
	Qoss      []byte   // the requested QoS of each filter
}

func (s *SubscribePacket) String() string {
	return fmt.Sprintf("%v, packet id %d, filters %q", s.FixedHeader, s.MessageID, s.Topics)
}

// Write encodes the packet and writes it to w.
func (s *SubscribePacket) Write(w io.Writer) error {
	if len(s.Topics) != len(s.Qoss) {
		return fmt.Errorf("%d topics and %d QoS values in a SUBSCRIBE packet", len(s.Topics), len(s.Qoss))
	}
	var e encoder
	e.uint16(s.MessageID)
	for i, topic := range s.Topics {
		e.text(topic)
		e.uint8(s.Qoss[i])
	}
	return s.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header. The header's
// RemainingLength must be set.
func (s *SubscribePacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	s.MessageID = d.uint16()
	for left := s.RemainingLength - 2; left > 0 && d.err == nil; {
		topic, qos := d.text(), d.uint8()
		s.Topics, s.Qoss = append(s.Topics, topic), append(s.Qoss, qos)
		left -= len(topic) + 3
	}
	return d.err
}

// Details returns the packet id, and QoS 1, which the flags of SUBSCRIBE look like.
func (s *SubscribePacket) Details() Details { return Details{Qos: 1, MessageID: s.MessageID} }

// SubackPacket is a SUBACK packet.
type SubackPacket struct {
	FixedHeader
	MessageID   uint16 // packet id
	ReturnCodes []byte // the granted QoS of each filter, or 0x80
}

func (sa *SubackPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", sa.FixedHeader, sa.MessageID)
}

// Write encodes the packet and writes it to w.
func (sa *SubackPacket) Write(w io.Writer) error {
	var e encoder
	e.uint16(sa.MessageID)
	e.bytes = append(e.bytes, sa.ReturnCodes...)
	return sa.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header.
func (sa *SubackPacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	sa.MessageID = d.uint16()
	if d.err != nil {
		return d.err
	}
	codes, err := io.ReadAll(b)
	sa.ReturnCodes = codes
	return err
}

// Details returns the packet id.
func (sa *SubackPacket) Details() Details { return Details{MessageID: sa.MessageID} }

// UnsubscribePacket is an UNSUBSCRIBE packet.
type UnsubscribePacket struct {
	FixedHeader
	MessageID uint16   // packet id
	Topics    []string // topic filters
}

func (u *UnsubscribePacket) String() string {
	return fmt.Sprintf("%v, packet id %d", u.FixedHeader, u.MessageID)
}

// Write encodes the packet and writes it to w.
func (u *UnsubscribePacket) Write(w io.Writer) error {
	var e encoder
	e.uint16(u.MessageID)
	for _, topic := range u.Topics {
		e.text(topic)
	}
	return u.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header. The header's
// RemainingLength must be set.
func (u *UnsubscribePacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	u.MessageID = d.uint16()
	for left := u.RemainingLength - 2; left > 0 && d.err == nil; {
		topic := d.text()
		u.Topics = append(u.Topics, topic)
		left -= len(topic) + 2
	}
	return d.err
}

// Details returns the packet id, and QoS 1, which the flags of UNSUBSCRIBE look like.
func (u *UnsubscribePacket) Details() Details { return Details{Qos: 1, MessageID: u.MessageID} }
