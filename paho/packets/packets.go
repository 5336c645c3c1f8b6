// Package packets encodes and decodes the control packets of MQTT 3.1 and 3.1.1. A
// [paho.Store] gets packets of these types.
//
// # Compatibility
//
// The package has the exported identifiers of github.com/eclipse/paho.mqtt.golang/packets v1.5.1.
// The client itself does not use this package for its connections: libmosquitto encodes
// and decodes there.
//
// # Use
//
// [ReadPacket] reads a packet. [NewControlPacket] makes a packet, and its method Write writes
// it.
//
// [paho.Store]: https://pkg.go.dev/github.com/mosquitto-go/mosquitto/paho#Store
package packets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ControlPacket is an MQTT packet.
type ControlPacket interface {
	// Write encodes the packet, with its fixed header, and writes it.
	Write(io.Writer) error
	// Unpack decodes the part of the packet that follows the fixed header.
	Unpack(io.Reader) error
	// String returns a text for logs. It contains no payload and no password.
	String() string
	// Details returns the QoS and the packet id.
	Details() Details
}

// Details are the QoS and the packet id of a packet. They are 0 for packets without them.
type Details struct {
	Qos       byte   // quality of service
	MessageID uint16 // packet id
}

// The packet types.
const (
	Connect     = 1
	Connack     = 2
	Publish     = 3
	Puback      = 4
	Pubrec      = 5
	Pubrel      = 6
	Pubcomp     = 7
	Subscribe   = 8
	Suback      = 9
	Unsubscribe = 10
	Unsuback    = 11
	Pingreq     = 12
	Pingresp    = 13
	Disconnect  = 14
)

// PacketNames contains the name of each packet type.
var PacketNames = map[uint8]string{
	1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP",
	8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT",
}

// The return codes of CONNACK. ErrNetworkError and ErrProtocolViolation are not sent by
// brokers: they stand for attempts without a CONNACK.
const (
	Accepted                        = 0x00
	ErrRefusedBadProtocolVersion    = 0x01
	ErrRefusedIDRejected            = 0x02
	ErrRefusedServerUnavailable     = 0x03
	ErrRefusedBadUsernameOrPassword = 0x04
	ErrRefusedNotAuthorised         = 0x05
	ErrNetworkError                 = 0xFE
	ErrProtocolViolation            = 0xFF
)

// ConnackReturnCodes describes the return codes of CONNACK.
var ConnackReturnCodes = map[uint8]string{
	0:   "Connection Accepted",
	1:   "Connection Refused: Bad Protocol Version",
	2:   "Connection Refused: Client Identifier Rejected",
	3:   "Connection Refused: Server Unavailable",
	4:   "Connection Refused: Username or Password in unknown format",
	5:   "Connection Refused: Not Authorised",
	254: "Connection Error",
	255: "Connection Refused: Protocol Violation",
}

// The errors of the return codes.
//
//nolint:errname // the names of paho.mqtt.golang
var (
	ErrorRefusedBadProtocolVersion    = errors.New("unacceptable protocol version")
	ErrorRefusedIDRejected            = errors.New("identifier rejected")
	ErrorRefusedServerUnavailable     = errors.New("server Unavailable")
	ErrorRefusedBadUsernameOrPassword = errors.New("bad user name or password")
	ErrorRefusedNotAuthorised         = errors.New("not Authorized")
	ErrorNetworkError                 = errors.New("network Error")
	ErrorProtocolViolation            = errors.New("protocol Violation")
)

// ConnErrors contains the error of each return code.
var ConnErrors = map[byte]error{
	Accepted:                        nil,
	ErrRefusedBadProtocolVersion:    ErrorRefusedBadProtocolVersion,
	ErrRefusedIDRejected:            ErrorRefusedIDRejected,
	ErrRefusedServerUnavailable:     ErrorRefusedServerUnavailable,
	ErrRefusedBadUsernameOrPassword: ErrorRefusedBadUsernameOrPassword,
	ErrRefusedNotAuthorised:         ErrorRefusedNotAuthorised,
	ErrNetworkError:                 ErrorNetworkError,
	ErrProtocolViolation:            ErrorProtocolViolation,
}

// ReadPacket reads a packet. It returns the packet or an error, never both.
func ReadPacket(r io.Reader) (ControlPacket, error) {
	var fh FixedHeader
	if err := fh.unpack(r); err != nil {
		return nil, err
	}
	packet, err := NewControlPacketWithHeader(fh)
	if err != nil {
		return nil, err
	}
	// The buffer grows with the bytes that arrive, so a false length allocates no memory.
	var body bytes.Buffer
	n, err := io.CopyN(&body, r, int64(fh.RemainingLength))
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("packet ends after %d of %d bytes: %w", n, fh.RemainingLength, io.ErrUnexpectedEOF)
	case err != nil:
		return nil, err
	}
	if err := packet.Unpack(&body); err != nil {
		return nil, err
	}
	return packet, nil
}

// NewControlPacket returns an empty packet of a type, with the flags that the type
// demands. It returns nil for an unknown type.
func NewControlPacket(packetType byte) ControlPacket {
	fh := FixedHeader{MessageType: packetType}
	switch packetType {
	case Pubrel, Subscribe, Unsubscribe:
		fh.Qos = 1
	}
	packet, err := NewControlPacketWithHeader(fh)
	if err != nil {
		return nil
	}
	return packet
}

// NewControlPacketWithHeader returns an empty packet with a fixed header. It returns an
// error for an unknown type.
func NewControlPacketWithHeader(fh FixedHeader) (ControlPacket, error) {
	switch fh.MessageType {
	case Connect:
		return &ConnectPacket{FixedHeader: fh}, nil
	case Connack:
		return &ConnackPacket{FixedHeader: fh}, nil
	case Publish:
		return &PublishPacket{FixedHeader: fh}, nil
	case Puback:
		return &PubackPacket{FixedHeader: fh}, nil
	case Pubrec:
		return &PubrecPacket{FixedHeader: fh}, nil
	case Pubrel:
		return &PubrelPacket{FixedHeader: fh}, nil
	case Pubcomp:
		return &PubcompPacket{FixedHeader: fh}, nil
	case Subscribe:
		return &SubscribePacket{FixedHeader: fh}, nil
	case Suback:
		return &SubackPacket{FixedHeader: fh}, nil
	case Unsubscribe:
		return &UnsubscribePacket{FixedHeader: fh}, nil
	case Unsuback:
		return &UnsubackPacket{FixedHeader: fh}, nil
	case Pingreq:
		return &PingreqPacket{FixedHeader: fh}, nil
	case Pingresp:
		return &PingrespPacket{FixedHeader: fh}, nil
	case Disconnect:
		return &DisconnectPacket{FixedHeader: fh}, nil
	}
	return nil, fmt.Errorf("unsupported packet type 0x%x", fh.MessageType)
}
