package fakebroker

import "encoding/binary"

// Property is an encoded property of MQTT 5.
type Property []byte

func byteProperty(id, n byte) Property { return Property{id, n} }

func int16Property(id byte, n uint16) Property {
	return binary.BigEndian.AppendUint16(Property{id}, n)
}

func int32Property(id byte, n uint32) Property {
	return binary.BigEndian.AppendUint32(Property{id}, n)
}

func textProperty(id byte, s string) Property { return append(Property{id}, Text(s)...) }

// Each function encodes the MQTT 5 property of its name.

func PayloadFormat(n byte) Property           { return byteProperty(0x01, n) }
func MessageExpiry(seconds uint32) Property   { return int32Property(0x02, seconds) }
func ContentType(s string) Property           { return textProperty(0x03, s) }
func ResponseTopic(s string) Property         { return textProperty(0x08, s) }
func CorrelationData(s string) Property       { return textProperty(0x09, s) }
func SubscriptionID(n int) Property           { return append(Property{0x0B}, Varint(n)...) }
func SessionExpiry(seconds uint32) Property   { return int32Property(0x11, seconds) }
func AssignedClientID(s string) Property      { return textProperty(0x12, s) }
func ServerKeepalive(seconds uint16) Property { return int16Property(0x13, seconds) }
func AuthMethod(s string) Property            { return textProperty(0x15, s) }
func AuthData(s string) Property              { return textProperty(0x16, s) }
func RequestProblemInfo(n byte) Property      { return byteProperty(0x17, n) }
func WillDelay(seconds uint32) Property       { return int32Property(0x18, seconds) }
func RequestResponseInfo(n byte) Property     { return byteProperty(0x19, n) }
func ResponseInfo(s string) Property          { return textProperty(0x1A, s) }
func ServerReference(s string) Property       { return textProperty(0x1C, s) }
func ReasonString(s string) Property          { return textProperty(0x1F, s) }
func ReceiveMaximum(n uint16) Property        { return int16Property(0x21, n) }
func TopicAliasMaximum(n uint16) Property     { return int16Property(0x22, n) }
func TopicAlias(n uint16) Property            { return int16Property(0x23, n) }
func MaximumQoS(n byte) Property              { return byteProperty(0x24, n) }
func RetainAvailable(n byte) Property         { return byteProperty(0x25, n) }
func MaximumPacketSize(n uint32) Property     { return int32Property(0x27, n) }
func WildcardAvailable(n byte) Property       { return byteProperty(0x28, n) }
func SubscriptionIDAvailable(n byte) Property { return byteProperty(0x29, n) }
func SharedAvailable(n byte) Property         { return byteProperty(0x2A, n) }

func UserProperty(name, value string) Property {
	return append(textProperty(0x26, name), Text(value)...)
}
