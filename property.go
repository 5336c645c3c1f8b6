//go:build cgo

package mosquitto

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// PropertyID is the identifier of an MQTT 5 property.
type PropertyID int

// The properties of MQTT 5, with their type and the packets that may contain them.
const (
	PropPayloadFormatIndicator     PropertyID = cPropPayloadFormatIndicator     // byte; PUBLISH, will
	PropMessageExpiryInterval      PropertyID = cPropMessageExpiryInterval      // four bytes, seconds; PUBLISH, will
	PropContentType                PropertyID = cPropContentType                // string; PUBLISH, will
	PropResponseTopic              PropertyID = cPropResponseTopic              // string; PUBLISH, will
	PropCorrelationData            PropertyID = cPropCorrelationData            // binary; PUBLISH, will
	PropSubscriptionIdentifier     PropertyID = cPropSubscriptionIdentifier     // variable byte integer; SUBSCRIBE, PUBLISH
	PropSessionExpiryInterval      PropertyID = cPropSessionExpiryInterval      // four bytes, seconds; CONNECT, CONNACK, DISCONNECT
	PropAssignedClientIdentifier   PropertyID = cPropAssignedClientIdentifier   // string; CONNACK
	PropServerKeepAlive            PropertyID = cPropServerKeepAlive            // two bytes, seconds; CONNACK
	PropAuthenticationMethod       PropertyID = cPropAuthenticationMethod       // string; CONNECT, CONNACK, AUTH
	PropAuthenticationData         PropertyID = cPropAuthenticationData         // binary; CONNECT, CONNACK, AUTH
	PropRequestProblemInformation  PropertyID = cPropRequestProblemInformation  // byte; CONNECT
	PropWillDelayInterval          PropertyID = cPropWillDelayInterval          // four bytes, seconds; will
	PropRequestResponseInformation PropertyID = cPropRequestResponseInformation // byte; CONNECT
	PropResponseInformation        PropertyID = cPropResponseInformation        // string; CONNACK
	PropServerReference            PropertyID = cPropServerReference            // string; CONNACK, DISCONNECT
	PropReasonString               PropertyID = cPropReasonString               // string; every acknowledgement, CONNACK, DISCONNECT, AUTH
	PropReceiveMaximum             PropertyID = cPropReceiveMaximum             // two bytes; CONNECT, CONNACK
	PropTopicAliasMaximum          PropertyID = cPropTopicAliasMaximum          // two bytes; CONNECT, CONNACK
	PropTopicAlias                 PropertyID = cPropTopicAlias                 // two bytes; PUBLISH
	PropMaximumQoS                 PropertyID = cPropMaximumQoS                 // byte; CONNACK
	PropRetainAvailable            PropertyID = cPropRetainAvailable            // byte; CONNACK
	PropUserProperty               PropertyID = cPropUserProperty               // string pair; every packet
	PropMaximumPacketSize          PropertyID = cPropMaximumPacketSize          // four bytes; CONNECT, CONNACK
	PropWildcardSubAvailable       PropertyID = cPropWildcardSubAvailable       // byte; CONNACK
	PropSubscriptionIDAvailable    PropertyID = cPropSubscriptionIDAvailable    // byte; CONNACK
	PropSharedSubAvailable         PropertyID = cPropSharedSubAvailable         // byte; CONNACK
)

// PropertyType is the type of a property. It determines which field of a [Property]
// holds the value.
type PropertyType int

// The types of MQTT 5 properties.
const (
	TypeByte       PropertyType = cTypeByte       // Number
	TypeInt16      PropertyType = cTypeInt16      // Number
	TypeInt32      PropertyType = cTypeInt32      // Number
	TypeVarint     PropertyType = cTypeVarint     // Number
	TypeBinary     PropertyType = cTypeBinary     // Data
	TypeString     PropertyType = cTypeString     // Text
	TypeStringPair PropertyType = cTypeStringPair // Name and Text
)

// maxVarint is the largest variable byte integer.
const maxVarint = 268435455

// propertyTypes holds the library's type of each identifier there can be.
var propertyTypes = sync.OnceValue(func() *[256]PropertyType {
	var types [256]PropertyType
	for id := range types {
		types[id] = cPropertyType(id)
	}
	return &types // by value it would be copied to the stack of every callback
})

// Type wraps mosquitto_property_type: it returns the type of the values of id, or 0 if
// there is no such property.
func (id PropertyID) Type() PropertyType {
	if id < 0 || id > 255 {
		return 0
	}
	return propertyTypes()[id]
}

// String wraps mosquitto_property_identifier_to_string: it returns the name of the
// property, for example "content-type".
func (id PropertyID) String() string {
	if id.Type() == 0 {
		return fmt.Sprintf("property %d", int(id))
	}
	return cPropertyName(int(id))
}

// StringToPropertyInfo wraps mosquitto_string_to_property_info: it returns the property
// with this name, for example "content-type".
func StringToPropertyInfo(name string) (PropertyID, PropertyType, error) {
	const op = "string_to_property_info"
	if err := checkText(op, "name", name); err != nil {
		return 0, 0, err
	}
	rc, id, kind := cStringToPropertyInfo(name)
	if rc != cSuccess {
		return 0, 0, badArgument(op, Error(rc), "name: no property is called %q", name)
	}
	return PropertyID(id), PropertyType(kind), nil
}

// Property is one property of an MQTT 5 packet. The type of its identifier determines
// the field that holds the value. The other fields are ignored.
type Property struct {
	ID     PropertyID // mosquitto_property_identifier
	Number uint32     // bytes, two and four byte integers, variable byte integers
	Name   string     // the name of a user property
	Text   string     // strings; the value of a user property
	Data   []byte     // binary data
}

// Properties are the properties of a packet, with their order and duplicates. They are
// plain Go values. A call encodes them for the library, and a callback gets copies.
type Properties []Property

func (p *Properties) add(op string, kind PropertyType, q Property) error {
	if q.ID.Type() != kind {
		return badArgument(op, ErrInval, "id: %v is not of this type", q.ID)
	}
	if err := checkProperty(op, q); err != nil {
		return err
	}
	*p = append(*p, q)
	return nil
}

// AddByte wraps mosquitto_property_add_byte: it appends a property whose value is a
// byte.
func (p *Properties) AddByte(id PropertyID, value byte) error {
	return p.add("property_add_byte", TypeByte, Property{ID: id, Number: uint32(value)})
}

// AddInt16 wraps mosquitto_property_add_int16: it appends a property whose value is a
// two byte integer.
func (p *Properties) AddInt16(id PropertyID, value uint16) error {
	return p.add("property_add_int16", TypeInt16, Property{ID: id, Number: uint32(value)})
}

// AddInt32 wraps mosquitto_property_add_int32: it appends a property whose value is a
// four byte integer.
func (p *Properties) AddInt32(id PropertyID, value uint32) error {
	return p.add("property_add_int32", TypeInt32, Property{ID: id, Number: value})
}

// AddVarint wraps mosquitto_property_add_varint: it appends a property whose value is a
// variable byte integer. The largest value is 268,435,455.
func (p *Properties) AddVarint(id PropertyID, value uint32) error {
	return p.add("property_add_varint", TypeVarint, Property{ID: id, Number: value})
}

// AddBinary wraps mosquitto_property_add_binary: it appends a property whose value is
// binary data. The data has at most 65,535 bytes and is not copied.
func (p *Properties) AddBinary(id PropertyID, value []byte) error {
	return p.add("property_add_binary", TypeBinary, Property{ID: id, Data: value})
}

// AddString wraps mosquitto_property_add_string: it appends a property whose value is a
// string. The string has at most 65,535 bytes of UTF-8.
func (p *Properties) AddString(id PropertyID, value string) error {
	return p.add("property_add_string", TypeString, Property{ID: id, Text: value})
}

// AddStringPair wraps mosquitto_property_add_string_pair: it appends a user property.
func (p *Properties) AddStringPair(id PropertyID, name, value string) error {
	return p.add("property_add_string_pair", TypeStringPair, Property{ID: id, Name: name, Text: value})
}

// Remove wraps mosquitto_property_remove: it removes the i-th property. It works with
// every library version. It panics if i is out of range, as a slice does.
func (p *Properties) Remove(i int) { *p = slices.Delete(*p, i, i+1) }

// Clone wraps mosquitto_property_copy_all: it returns a copy that shares no memory with
// p.
func (p Properties) Clone() Properties {
	q := slices.Clone(p)
	for i := range q {
		q[i].Data = bytes.Clone(q[i].Data)
	}
	return q
}

// All returns an iterator over the properties with this identifier, in order. It
// replaces the library's argument skip_first.
func (p Properties) All(id PropertyID) iter.Seq[Property] {
	return func(yield func(Property) bool) {
		for _, q := range p {
			if q.ID == id && !yield(q) {
				return
			}
		}
	}
}

// first returns the first property with this identifier if it has this type.
func (p Properties) first(id PropertyID, kind PropertyType) (q Property, ok bool) {
	if id.Type() != kind {
		return q, false
	}
	for q = range p.All(id) {
		return q, true
	}
	return Property{}, false
}

// Byte wraps mosquitto_property_read_byte and mosquitto_property_byte_value: it returns
// the byte of the first property with this identifier. ok is false if there is none, or
// if it has another type.
func (p Properties) Byte(id PropertyID) (value byte, ok bool) {
	q, ok := p.first(id, TypeByte)
	return byte(q.Number), ok
}

// Int16 wraps mosquitto_property_read_int16 and mosquitto_property_int16_value: it
// returns the two byte integer of the first property with this identifier. ok is false
// if there is none, or if it has another type.
func (p Properties) Int16(id PropertyID) (value uint16, ok bool) {
	q, ok := p.first(id, TypeInt16)
	return uint16(q.Number), ok
}

// Int32 wraps mosquitto_property_read_int32 and mosquitto_property_int32_value: it
// returns the four byte integer of the first property with this identifier. ok is false
// if there is none, or if it has another type.
func (p Properties) Int32(id PropertyID) (value uint32, ok bool) {
	q, ok := p.first(id, TypeInt32)
	return q.Number, ok
}

// Varint wraps mosquitto_property_read_varint and mosquitto_property_varint_value: it
// returns the variable byte integer of the first property with this identifier. ok is
// false if there is none, or if it has another type.
func (p Properties) Varint(id PropertyID) (value uint32, ok bool) {
	q, ok := p.first(id, TypeVarint)
	return q.Number, ok
}

// Binary wraps mosquitto_property_read_binary, mosquitto_property_binary_value and
// mosquitto_property_binary_value_length: it returns the data of the first property
// with this identifier. ok is false if there is none, or if it has another type. The
// data is not copied.
func (p Properties) Binary(id PropertyID) (value []byte, ok bool) {
	q, ok := p.first(id, TypeBinary)
	return q.Data, ok
}

// Text wraps mosquitto_property_read_string, mosquitto_property_string_value and
// mosquitto_property_string_value_length: it returns the string of the first property
// with this identifier. ok is false if there is none, or if it has another type.
func (p Properties) Text(id PropertyID) (value string, ok bool) {
	q, ok := p.first(id, TypeString)
	return q.Text, ok
}

// StringPair wraps mosquitto_property_read_string_pair, mosquitto_property_string_name
// and mosquitto_property_string_name_length: it returns the first user property. ok is
// false if there is none.
func (p Properties) StringPair(id PropertyID) (name, value string, ok bool) {
	q, ok := p.first(id, TypeStringPair)
	return q.Name, q.Text, ok
}

// UserProperty returns the value of the first user property with this name.
func (p Properties) UserProperty(name string) (value string, ok bool) {
	for q := range p.All(PropUserProperty) {
		if q.Name == name {
			return q.Text, true
		}
	}
	return "", false
}

// PropertyCheckCommand wraps mosquitto_property_check_command: it returns an error
// that wraps [ErrProtocol] if the packet must not contain the property.
func PropertyCheckCommand(command Command, id PropertyID) error {
	return libError("property_check_command", result{rc: cPropertyCheckCommand(command, id)})
}

// PropertyCheckAll wraps mosquitto_property_check_all: it returns an error that wraps
// [ErrProtocol], [ErrDuplicateProperty] or [ErrInval] if the packet must not contain
// these properties together.
func PropertyCheckAll(command Command, props Properties) error {
	const op = "property_check_all"
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return err
	}
	return libError(op, result{rc: cPropertyCheckAll(command, encoded)})
}

// copiesEmptyText reports whether the library can copy an empty string. Before 2.0.16
// it reads through a null pointer.
var copiesEmptyText = sync.OnceValue(func() bool {
	major, minor, revision := cLibVersion()
	return major*1000000+minor*1000+revision >= 2000016
})

// encodeProperties checks props and encodes them for C. It returns nil if there are
// none. copied means that the library copies the list.
func encodeProperties(op string, props Properties, copied bool) ([]byte, error) {
	if len(props) == 0 {
		return nil, nil
	}
	b := make([]byte, 0, 64*len(props))
	for i, p := range props {
		if err := checkProperty(op, p); err != nil {
			return nil, err
		}
		kind := p.ID.Type()
		empty := kind == TypeString && p.Text == "" || kind == TypeStringPair && (p.Name == "" || p.Text == "")
		if copied && empty && !copiesEmptyText() {
			return nil, badArgument(op, ErrInval, "properties[%d]: %v has an empty text, which libmosquitto before 2.0.16 cannot copy", i, p.ID)
		}
		b = cEncode(b, p, kind)
	}
	return b, nil
}

// checkProperty refuses a property that cannot be sent unchanged.
func checkProperty(op string, p Property) error {
	kind := p.ID.Type()
	limit := uint32(1<<32 - 1)
	switch kind {
	case 0:
		return badArgument(op, ErrInval, "properties: there is no property %d", int(p.ID))
	case TypeByte:
		limit = 1<<8 - 1
	case TypeInt16:
		limit = 1<<16 - 1
	case TypeVarint:
		limit = maxVarint
	case TypeBinary:
		if len(p.Data) > maxText {
			return badArgument(op, ErrInval, "properties: %v: %d bytes, more than %d", p.ID, len(p.Data), maxText)
		}
	case TypeString:
		if code, fault := mqttTextFault(p.Text); fault != "" {
			return badArgument(op, code, "properties: %v: %s", p.ID, fault)
		}
	case TypeStringPair:
		code, fault := mqttTextFault(p.Name)
		if fault == "" {
			code, fault = textFault(p.Text) // the library checks the name only
		}
		if fault != "" {
			return badArgument(op, code, "properties: %v: %s", p.ID, fault)
		}
	}
	if p.Number > limit {
		return badArgument(op, ErrInval, "properties: %v: %d is more than %d", p.ID, p.Number, limit)
	}
	return nil
}

// maxText is the length of the longest MQTT string.
const maxText = 65535

// checkText refuses a text that C or MQTT cannot represent. The caller must check
// whether an empty text is allowed.
func checkText(op, argument, text string) error {
	if code, fault := textFault(text); fault != "" {
		return badArgument(op, code, "%s: %s", argument, fault)
	}
	return nil
}

// checkMQTTText is checkText for a text that the library also checks. It refuses control
// characters and non-characters too, but does not report their position. A client id with
// such a character makes 2.0.11 close file descriptor 0.
func checkMQTTText(op, argument, text string) error {
	if code, fault := mqttTextFault(text); fault != "" {
		return badArgument(op, code, "%s: %s", argument, fault)
	}
	return nil
}

func mqttTextFault(text string) (code Error, fault string) {
	if code, fault = textFault(text); fault == "" && strings.ContainsFunc(text, discouraged) {
		return ErrMalformedUTF8, discouragedFault
	}
	return code, fault
}

const discouragedFault = "contains a control character or a non-character"

// discouraged are the characters that MQTT 5, 1.5.4, advises against.
func discouraged(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
}

func textFault(text string) (code Error, fault string) {
	switch {
	case len(text) > maxText:
		return ErrInval, fmt.Sprintf("%d bytes, more than %d", len(text), maxText)
	case strings.IndexByte(text, 0) >= 0:
		return ErrInval, "contains a NUL byte"
	case !utf8.ValidString(text):
		return ErrMalformedUTF8, "not valid UTF-8"
	}
	return 0, ""
}
