package packets

import "io"

// PingreqPacket is a PINGREQ packet.
type PingreqPacket struct {
	FixedHeader
}

func (pr *PingreqPacket) String() string { return pr.FixedHeader.String() }

// Write encodes the packet and writes it to w.
func (pr *PingreqPacket) Write(w io.Writer) error { return pr.writeTo(w, &encoder{}) }

// Unpack does nothing: the packet has only a fixed header.
func (pr *PingreqPacket) Unpack(io.Reader) error { return nil }

// Details returns the QoS and the packet id: the packet has neither.
func (pr *PingreqPacket) Details() Details { return Details{} }

// PingrespPacket is a PINGRESP packet.
type PingrespPacket struct {
	FixedHeader
}

func (pr *PingrespPacket) String() string { return pr.FixedHeader.String() }

// Write encodes the packet and writes it to w.
func (pr *PingrespPacket) Write(w io.Writer) error { return pr.writeTo(w, &encoder{}) }

// Unpack does nothing: the packet has only a fixed header.
func (pr *PingrespPacket) Unpack(io.Reader) error { return nil }

// Details returns the QoS and the packet id: the packet has neither.
func (pr *PingrespPacket) Details() Details { return Details{} }

// DisconnectPacket is a DISCONNECT packet.
type DisconnectPacket struct {
	FixedHeader
}

func (d *DisconnectPacket) String() string { return d.FixedHeader.String() }

// Write encodes the packet and writes it to w.
func (d *DisconnectPacket) Write(w io.Writer) error { return d.writeTo(w, &encoder{}) }

// Unpack does nothing: the packet has only a fixed header.
func (d *DisconnectPacket) Unpack(io.Reader) error { return nil }

// Details returns the QoS and the packet id: the packet has neither.
func (d *DisconnectPacket) Details() Details { return Details{} }
