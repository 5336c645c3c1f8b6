package fakebroker

import "encoding/binary"

// Version is a version of MQTT; its value is the protocol level. Its methods encode
// packets of that version. Before MQTT 5 they omit properties and reason codes.
type Version byte

// The versions of MQTT.
const (
	V31  Version = 3
	V311 Version = 4
	V5   Version = 5
)

func (v Version) String() string {
	return map[Version]string{V31: "3.1", V311: "3.1.1", V5: "5"}[v]
}

// Text encodes a UTF-8 string or binary data: its length in two bytes, then the data.
func Text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// Varint encodes a variable byte integer in the shortest form.
func Varint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func word(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func join(parts ...[]byte) (all []byte) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// properties encodes properties after their length. Before MQTT 5 it returns nil.
func (v Version) properties(props []Property) []byte {
	if v != V5 {
		return nil
	}
	var body []byte
	for _, p := range props {
		body = append(body, p...)
	}
	return append(Varint(len(body)), body...)
}

// Connect holds the fields of a CONNECT.
type Connect struct {
	ID         string
	Clean      bool
	Keepalive  uint16
	Properties []Property
	Will       *Will
	Username   *string
	Password   *string
}

// Will holds the will of a CONNECT.
type Will struct {
	Topic, Payload string
	QoS            byte
	Retain         bool
	Properties     []Property
}

// Connect encodes a CONNECT.
func (v Version) Connect(c Connect) []byte {
	name := "MQTT"
	if v == V31 {
		name = "MQIsdp"
	}
	flags, payload := byte(0), Text(c.ID)
	flag := func(on bool, bit byte) {
		if on {
			flags |= bit
		}
	}
	flag(c.Clean, 0x02)
	if w := c.Will; w != nil {
		flag(true, 0x04|w.QoS<<3)
		flag(w.Retain, 0x20)
		payload = join(payload, v.properties(w.Properties), Text(w.Topic), Text(w.Payload))
	}
	if c.Username != nil {
		flag(true, 0x80)
		payload = append(payload, Text(*c.Username)...)
	}
	if c.Password != nil {
		flag(true, 0x40)
		payload = append(payload, Text(*c.Password)...)
	}
	return Bytes(CONNECT, join(Text(name), []byte{byte(v), flags}, word(c.Keepalive), v.properties(c.Properties), payload)...)
}

// Connack encodes a CONNACK.
func (v Version) Connack(present bool, code byte, props ...Property) []byte {
	var flags byte
	if present {
		flags = 1
	}
	return Bytes(CONNACK, join([]byte{flags, code}, v.properties(props))...)
}

// Publish encodes a PUBLISH. flags is a sum of 8 for DUP, 2 for QoS 1, 4 for QoS 2
// and 1 for RETAIN.
func (v Version) Publish(flags byte, topic string, mid uint16, payload string, props ...Property) []byte {
	body := Text(topic)
	if flags&6 != 0 {
		body = append(body, word(mid)...)
	}
	return Bytes(PUBLISH|flags, join(body, v.properties(props), []byte(payload))...)
}

// Answer encodes a PUBACK, PUBREC, PUBREL or PUBCOMP in the shortest form.
func (v Version) Answer(kind byte, mid uint16, code byte, props ...Property) []byte {
	if kind == PUBREL {
		kind |= 2
	}
	body := word(mid)
	if v == V5 && (code != 0 || len(props) > 0) {
		body = append(body, code)
	}
	if len(props) > 0 {
		body = append(body, v.properties(props)...)
	}
	return Bytes(kind, body...)
}

// Puback encodes a PUBACK with reason code 0.
func (v Version) Puback(mid uint16) []byte { return v.Answer(PUBACK, mid, 0) }

// Pubrec encodes a PUBREC with reason code 0.
func (v Version) Pubrec(mid uint16) []byte { return v.Answer(PUBREC, mid, 0) }

// Pubrel encodes a PUBREL.
func (v Version) Pubrel(mid uint16) []byte { return v.Answer(PUBREL, mid, 0) }

// Pubcomp encodes a PUBCOMP.
func (v Version) Pubcomp(mid uint16) []byte { return v.Answer(PUBCOMP, mid, 0) }

// Filter is a topic filter of a SUBSCRIBE. Options is its options byte: the QoS and,
// with MQTT 5, the other subscription options.
type Filter struct {
	Name    string
	Options byte
}

// Subscribe encodes a SUBSCRIBE.
func (v Version) Subscribe(mid uint16, props []Property, filters ...Filter) []byte {
	body := join(word(mid), v.properties(props))
	for _, f := range filters {
		body = append(append(body, Text(f.Name)...), f.Options)
	}
	return Bytes(SUBSCRIBE|2, body...)
}

// Suback encodes a SUBACK.
func (v Version) Suback(mid uint16, codes []byte, props ...Property) []byte {
	return Bytes(SUBACK, join(word(mid), v.properties(props), codes)...)
}

// Unsubscribe encodes an UNSUBSCRIBE.
func (v Version) Unsubscribe(mid uint16, props []Property, filters ...string) []byte {
	body := join(word(mid), v.properties(props))
	for _, name := range filters {
		body = append(body, Text(name)...)
	}
	return Bytes(UNSUBSCRIBE|2, body...)
}

// Unsuback encodes an UNSUBACK. Before MQTT 5 it omits the codes.
func (v Version) Unsuback(mid uint16, codes []byte, props ...Property) []byte {
	if v != V5 {
		codes = nil
	}
	return Bytes(UNSUBACK, join(word(mid), v.properties(props), codes)...)
}

// Disconnect encodes a DISCONNECT in the shortest form.
func (v Version) Disconnect(code byte, props ...Property) []byte {
	switch {
	case v != V5 || code == 0 && len(props) == 0:
		return Bytes(DISCONNECT)
	case len(props) == 0:
		return Bytes(DISCONNECT, code)
	}
	return Bytes(DISCONNECT, append([]byte{code}, v.properties(props)...)...)
}

// Auth encodes an AUTH of MQTT 5.
func Auth(code byte, props ...Property) []byte {
	return Bytes(AUTH, append([]byte{code}, V5.properties(props)...)...)
}
