package packets

import (
	"fmt"
	"io"
)

// ConnectPacket is a CONNECT packet.
type ConnectPacket struct {
	FixedHeader
	ProtocolName    string // "MQTT", or "MQIsdp" for MQTT 3.1
	ProtocolVersion byte   // 3 for MQTT 3.1, 4 for MQTT 3.1.1
	CleanSession    bool   // whether the broker discards the session
	WillFlag        bool   // whether the packet has a will
	WillQos         byte   // the QoS of the will
	WillRetain      bool   // the retain flag of the will
	UsernameFlag    bool   // whether the packet has a username
	PasswordFlag    bool   // whether the packet has a password
	ReservedBit     byte   // must be 0
	Keepalive       uint16 // seconds

	ClientIdentifier string // the client id
	WillTopic        string // the topic of the will
	WillMessage      []byte // the payload of the will
	Username         string // sent with UsernameFlag
	Password         []byte // sent with PasswordFlag
}

func (c *ConnectPacket) String() string {
	return fmt.Sprintf("%v, protocol %s %d, client id %q, clean session %t, keepalive %d s, will %t, username %t, password %t",
		c.FixedHeader, c.ProtocolName, c.ProtocolVersion, c.ClientIdentifier, c.CleanSession, c.Keepalive, c.WillFlag, c.UsernameFlag, c.PasswordFlag)
}

// flags returns the connect flags.
func (c *ConnectPacket) flags() byte {
	b := c.ReservedBit&1 | (c.WillQos&3)<<3
	for flag, on := range map[byte]bool{0x02: c.CleanSession, 0x04: c.WillFlag, 0x20: c.WillRetain, 0x40: c.PasswordFlag, 0x80: c.UsernameFlag} {
		if on {
			b |= flag
		}
	}
	return b
}

// Write encodes the packet and writes it to w.
func (c *ConnectPacket) Write(w io.Writer) error {
	var e encoder
	e.text(c.ProtocolName)
	e.uint8(c.ProtocolVersion)
	e.uint8(c.flags())
	e.uint16(c.Keepalive)
	e.text(c.ClientIdentifier)
	if c.WillFlag {
		e.text(c.WillTopic)
		e.binary(c.WillMessage)
	}
	if c.UsernameFlag {
		e.text(c.Username)
	}
	if c.PasswordFlag {
		e.binary(c.Password)
	}
	return c.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header.
func (c *ConnectPacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	c.ProtocolName = d.text()
	c.ProtocolVersion = d.uint8()
	flags := d.uint8()
	c.ReservedBit = flags & 0x01
	c.CleanSession = flags&0x02 != 0
	c.WillFlag = flags&0x04 != 0
	c.WillQos = flags >> 3 & 3
	c.WillRetain = flags&0x20 != 0
	c.PasswordFlag = flags&0x40 != 0
	c.UsernameFlag = flags&0x80 != 0
	c.Keepalive = d.uint16()
	c.ClientIdentifier = d.text()
	if c.WillFlag {
		c.WillTopic, c.WillMessage = d.text(), d.binary()
	}
	if c.UsernameFlag {
		c.Username = d.text()
	}
	if c.PasswordFlag {
		c.Password = d.binary()
	}
	return d.err
}

// Validate returns the return code that a broker would send for the packet.
func (c *ConnectPacket) Validate() byte {
	private := c.ProtocolVersion &^ 0x80 // bridges set the highest bit
	switch {
	case c.PasswordFlag && !c.UsernameFlag:
		return ErrRefusedBadUsernameOrPassword
	case c.ReservedBit != 0:
		return ErrProtocolViolation
	case c.ProtocolName != "MQIsdp" && c.ProtocolName != "MQTT":
		return ErrProtocolViolation
	case c.ProtocolName == "MQIsdp" && private != 3, c.ProtocolName == "MQTT" && private != 4:
		return ErrRefusedBadProtocolVersion
	case len(c.ClientIdentifier) > 65535, len(c.Username) > 65535, len(c.Password) > 65535:
		return ErrProtocolViolation
	case c.ClientIdentifier == "" && !c.CleanSession:
		return ErrRefusedIDRejected
	}
	return Accepted
}

// Details returns the QoS and the packet id: a CONNECT packet has neither.
func (c *ConnectPacket) Details() Details { return Details{} }

// ConnackPacket is a CONNACK packet.
type ConnackPacket struct {
	FixedHeader
	SessionPresent bool // whether the broker has kept the session
	ReturnCode     byte // 0: accepted
}

func (ca *ConnackPacket) String() string {
	return fmt.Sprintf("%v, session present %t, return code %d", ca.FixedHeader, ca.SessionPresent, ca.ReturnCode)
}

// Write encodes the packet and writes it to w.
func (ca *ConnackPacket) Write(w io.Writer) error {
	var e encoder
	var flags byte
	if ca.SessionPresent {
		flags = 1
	}
	e.uint8(flags)
	e.uint8(ca.ReturnCode)
	return ca.writeTo(w, &e)
}

// Unpack decodes the part of the packet that follows the fixed header.
func (ca *ConnackPacket) Unpack(b io.Reader) error {
	d := decoder{r: b}
	ca.SessionPresent = d.uint8()&1 != 0
	ca.ReturnCode = d.uint8()
	return d.err
}

// Details returns the QoS and the packet id: a CONNACK packet has neither.
func (ca *ConnackPacket) Details() Details { return Details{} }
