package packets

import (
	"fmt"
	"io"
)

// writeID writes a packet whose body is a packet id.
func (fh *FixedHeader) writeID(w io.Writer, id uint16) error {
	var e encoder
	e.uint16(id)
	return fh.writeTo(w, &e)
}

// readID reads the body of such a packet.
func readID(b io.Reader) (uint16, error) {
	d := decoder{r: b}
	return d.uint16(), d.err
}

// PubackPacket is a PUBACK packet.
type PubackPacket struct {
	FixedHeader
	MessageID uint16 // packet id
}

func (pa *PubackPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", pa.FixedHeader, pa.MessageID)
}

// Write encodes the packet and writes it to w.
func (pa *PubackPacket) Write(w io.Writer) error { return pa.writeID(w, pa.MessageID) }

// Unpack decodes the part of the packet that follows the fixed header.
func (pa *PubackPacket) Unpack(b io.Reader) (err error) {
	pa.MessageID, err = readID(b)
	return err
}

// Details returns the packet id, and the QoS field of the fixed header.
func (pa *PubackPacket) Details() Details { return Details{Qos: pa.Qos, MessageID: pa.MessageID} }

// PubrecPacket is a PUBREC packet.
type PubrecPacket struct {
	FixedHeader
	MessageID uint16 // packet id
}

func (pr *PubrecPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", pr.FixedHeader, pr.MessageID)
}

// Write encodes the packet and writes it to w.
func (pr *PubrecPacket) Write(w io.Writer) error { return pr.writeID(w, pr.MessageID) }

// Unpack decodes the part of the packet that follows the fixed header.
func (pr *PubrecPacket) Unpack(b io.Reader) (err error) {
	pr.MessageID, err = readID(b)
	return err
}

// Details returns the packet id, and the QoS field of the fixed header.
func (pr *PubrecPacket) Details() Details { return Details{Qos: pr.Qos, MessageID: pr.MessageID} }

// PubrelPacket is a PUBREL packet.
type PubrelPacket struct {
	FixedHeader
	MessageID uint16 // packet id
}

func (pr *PubrelPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", pr.FixedHeader, pr.MessageID)
}

// Write encodes the packet and writes it to w.
func (pr *PubrelPacket) Write(w io.Writer) error { return pr.writeID(w, pr.MessageID) }

// Unpack decodes the part of the packet that follows the fixed header.
func (pr *PubrelPacket) Unpack(b io.Reader) (err error) {
	pr.MessageID, err = readID(b)
	return err
}

// Details returns the packet id, and the QoS field of the fixed header.
func (pr *PubrelPacket) Details() Details { return Details{Qos: pr.Qos, MessageID: pr.MessageID} }

// PubcompPacket is a PUBCOMP packet.
type PubcompPacket struct {
	FixedHeader
	MessageID uint16 // packet id
}

func (pc *PubcompPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", pc.FixedHeader, pc.MessageID)
}

// Write encodes the packet and writes it to w.
func (pc *PubcompPacket) Write(w io.Writer) error { return pc.writeID(w, pc.MessageID) }

// Unpack decodes the part of the packet that follows the fixed header.
func (pc *PubcompPacket) Unpack(b io.Reader) (err error) {
	pc.MessageID, err = readID(b)
	return err
}

// Details returns the packet id, and the QoS field of the fixed header.
func (pc *PubcompPacket) Details() Details { return Details{Qos: pc.Qos, MessageID: pc.MessageID} }

// UnsubackPacket is an UNSUBACK packet.
type UnsubackPacket struct {
	FixedHeader
	MessageID uint16 // packet id
}

func (ua *UnsubackPacket) String() string {
	return fmt.Sprintf("%v, packet id %d", ua.FixedHeader, ua.MessageID)
}

// Write encodes the packet and writes it to w.
func (ua *UnsubackPacket) Write(w io.Writer) error { return ua.writeID(w, ua.MessageID) }

// Unpack decodes the part of the packet that follows the fixed header.
func (ua *UnsubackPacket) Unpack(b io.Reader) (err error) {
	ua.MessageID, err = readID(b)
	return err
}

// Details returns the packet id, and the QoS field of the fixed header.
func (ua *UnsubackPacket) Details() Details { return Details{Qos: ua.Qos, MessageID: ua.MessageID} }
