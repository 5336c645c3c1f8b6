package mosquitto

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var allCommands = []Command{
	CmdConnect, CmdConnack, CmdPublish, CmdPuback, CmdPubrec, CmdPubrel, CmdPubcomp, CmdSubscribe, CmdSuback,
	CmdUnsubscribe, CmdUnsuback, CmdDisconnect, CmdAuth, CmdWill,
}

// mqtt5 is the table of MQTT 5, section 2.2.2.2.
var mqtt5 = []struct {
	id       PropertyID
	number   int
	name     string
	kind     PropertyType
	commands []Command
}{
	{PropPayloadFormatIndicator, 1, "payload-format-indicator", TypeByte, []Command{CmdPublish, CmdWill}},
	{PropMessageExpiryInterval, 2, "message-expiry-interval", TypeInt32, []Command{CmdPublish, CmdWill}},
	{PropContentType, 3, "content-type", TypeString, []Command{CmdPublish, CmdWill}},
	{PropResponseTopic, 8, "response-topic", TypeString, []Command{CmdPublish, CmdWill}},
	{PropCorrelationData, 9, "correlation-data", TypeBinary, []Command{CmdPublish, CmdWill}},
	{PropSubscriptionIdentifier, 11, "subscription-identifier", TypeVarint, []Command{CmdPublish, CmdSubscribe}},
	{PropSessionExpiryInterval, 17, "session-expiry-interval", TypeInt32, []Command{CmdConnect, CmdConnack, CmdDisconnect}},
	{PropAssignedClientIdentifier, 18, "assigned-client-identifier", TypeString, []Command{CmdConnack}},
	{PropServerKeepAlive, 19, "server-keep-alive", TypeInt16, []Command{CmdConnack}},
	{PropAuthenticationMethod, 21, "authentication-method", TypeString, []Command{CmdConnect, CmdConnack, CmdAuth}},
	{PropAuthenticationData, 22, "authentication-data", TypeBinary, []Command{CmdConnect, CmdConnack, CmdAuth}},
	{PropRequestProblemInformation, 23, "request-problem-information", TypeByte, []Command{CmdConnect}},
	{PropWillDelayInterval, 24, "will-delay-interval", TypeInt32, []Command{CmdWill}},
	{PropRequestResponseInformation, 25, "request-response-information", TypeByte, []Command{CmdConnect}},
	{PropResponseInformation, 26, "response-information", TypeString, []Command{CmdConnack}},
	{PropServerReference, 28, "server-reference", TypeString, []Command{CmdConnack, CmdDisconnect}},
	{PropReasonString, 31, "reason-string", TypeString, []Command{
		CmdConnack, CmdPuback, CmdPubrec, CmdPubrel, CmdPubcomp, CmdSuback, CmdUnsuback, CmdDisconnect, CmdAuth}},
	{PropReceiveMaximum, 33, "receive-maximum", TypeInt16, []Command{CmdConnect, CmdConnack}},
	{PropTopicAliasMaximum, 34, "topic-alias-maximum", TypeInt16, []Command{CmdConnect, CmdConnack}},
	{PropTopicAlias, 35, "topic-alias", TypeInt16, []Command{CmdPublish}},
	{PropMaximumQoS, 36, "maximum-qos", TypeByte, []Command{CmdConnack}},
	{PropRetainAvailable, 37, "retain-available", TypeByte, []Command{CmdConnack}},
	{PropUserProperty, 38, "user-property", TypeStringPair, allCommands},
	{PropMaximumPacketSize, 39, "maximum-packet-size", TypeInt32, []Command{CmdConnect, CmdConnack}},
	{PropWildcardSubAvailable, 40, "wildcard-subscription-available", TypeByte, []Command{CmdConnack}},
	{PropSubscriptionIDAvailable, 41, "subscription-identifier-available", TypeByte, []Command{CmdConnack}},
	{PropSharedSubAvailable, 42, "shared-subscription-available", TypeByte, []Command{CmdConnack}},
}

func TestProperty_TableIsThatOfMQTT5(t *testing.T) {
	for _, row := range mqtt5 {
		require.EqualValues(t, row.number, row.id)
		require.Equal(t, row.kind, row.id.Type(), row.name)
		require.Equal(t, row.name, row.id.String())
		id, kind, err := StringToPropertyInfo(row.name)
		require.NoError(t, err)
		require.Equal(t, row.id, id)
		require.Equal(t, row.kind, kind)
	}
	known := 0
	for id := PropertyID(-300); id < 300; id++ {
		if id.Type() != 0 {
			known++
		}
	}
	require.Equal(t, len(mqtt5), known)
	require.Equal(t, "property 99", PropertyID(99).String())
	require.Equal(t, "property -1", PropertyID(-1).String())
}

func TestStringToPropertyInfo_UnknownNameReturnsError(t *testing.T) {
	for name, code := range map[string]Error{
		"":                       ErrInval,
		"no-such-property":       ErrInval,
		"content-type\x00":       ErrInval,
		"content-type ":          ErrInval,
		"\xff":                   ErrMalformedUTF8,
		strings.Repeat("x", 1e5): ErrInval,
	} {
		id, kind, err := StringToPropertyInfo(name)
		require.ErrorIs(t, err, code)
		require.ErrorContains(t, err, "string_to_property_info: name: ")
		require.Zero(t, id)
		require.Zero(t, kind)
	}
}

func TestPropertyCheckCommand_FollowsTheTable(t *testing.T) {
	for _, row := range mqtt5 {
		for _, command := range allCommands {
			err := PropertyCheckCommand(command, row.id)
			if mayStand(row.id, command, row.commands) {
				require.NoError(t, err, "%v on %#x", row.id, int(command))
			} else {
				require.ErrorIs(t, err, ErrProtocol, "%v on %#x", row.id, int(command))
			}
		}
	}
	require.ErrorIs(t, PropertyCheckCommand(CmdPublish, 99), ErrProtocol)
}

// mayStand reports whether the library allows a property in a command. In addition to
// MQTT 5, it allows a reason string in a will.
func mayStand(id PropertyID, on Command, table []Command) bool {
	return slices.Contains(table, on) || id == PropReasonString && on == CmdWill
}

// valid returns a property with values that are valid for every type.
func valid(id PropertyID) Property {
	return Property{ID: id, Number: 1, Name: "name", Text: "text", Data: []byte{0, 1, 255}}
}

// Each property is accepted in the commands that may have it, and refused in others.
func TestPropertyCheckAll_FollowsTheTable(t *testing.T) {
	require.NoError(t, PropertyCheckAll(CmdPublish, nil))
	for _, row := range mqtt5 {
		for _, command := range allCommands {
			err := PropertyCheckAll(command, Properties{valid(row.id)})
			if mayStand(row.id, command, row.commands) {
				require.NoError(t, err, "%v on %#x", row.id, int(command))
			} else {
				require.ErrorIs(t, err, ErrProtocol, "%v on %#x", row.id, int(command))
			}
		}
	}
}

func TestPropertyCheckAll_RefusesBadValuesAndDuplicates(t *testing.T) {
	user := Property{ID: PropUserProperty, Name: "a", Text: "b"}
	for _, row := range mqtt5 {
		twice := PropertyCheckAll(row.commands[0], Properties{valid(row.id), user, valid(row.id)})
		if row.id == PropUserProperty {
			require.NoError(t, twice)
		} else {
			require.ErrorIs(t, twice, ErrDuplicateProperty, row.name)
		}
	}
	for _, id := range []PropertyID{PropRequestProblemInformation, PropMaximumQoS, PropRetainAvailable, PropWildcardSubAvailable,
		PropSubscriptionIDAvailable, PropSharedSubAvailable, PropRequestResponseInformation} {
		command := CmdConnack
		if PropertyCheckCommand(command, id) != nil {
			command = CmdConnect
		}
		require.NoError(t, PropertyCheckAll(command, Properties{{ID: id, Number: 0}}))
		require.ErrorIs(t, PropertyCheckAll(command, Properties{{ID: id, Number: 2}}), ErrProtocol)
	}
	for _, id := range []PropertyID{PropReceiveMaximum, PropMaximumPacketSize} {
		require.ErrorIs(t, PropertyCheckAll(CmdConnect, Properties{{ID: id}}), ErrProtocol)
	}
	require.ErrorIs(t, PropertyCheckAll(CmdPublish, Properties{{ID: PropTopicAlias}}), ErrProtocol)
	empty := Properties{{ID: PropContentType}, {ID: PropUserProperty}, {ID: PropCorrelationData}}
	require.NoError(t, PropertyCheckAll(CmdPublish, empty), "empty values are valid")
}

func TestProperties_AddedValuesCanBeRead(t *testing.T) {
	var p Properties
	require.NoError(t, p.AddByte(PropPayloadFormatIndicator, 1))
	require.NoError(t, p.AddInt16(PropTopicAlias, 65535))
	require.NoError(t, p.AddInt32(PropMessageExpiryInterval, 1<<32-1))
	require.NoError(t, p.AddVarint(PropSubscriptionIdentifier, maxVarint))
	require.NoError(t, p.AddBinary(PropCorrelationData, []byte{0, 1, 2}))
	require.NoError(t, p.AddString(PropContentType, "text/ü"))
	require.NoError(t, p.AddStringPair(PropUserProperty, "a", "1"))
	require.NoError(t, p.AddStringPair(PropUserProperty, "b", "2"))
	require.NoError(t, p.AddStringPair(PropUserProperty, "a", "3"))
	require.Len(t, p, 9)
	require.NoError(t, PropertyCheckAll(CmdPublish, p))

	byte1, ok := p.Byte(PropPayloadFormatIndicator)
	require.True(t, ok)
	require.EqualValues(t, 1, byte1)
	alias, ok := p.Int16(PropTopicAlias)
	require.True(t, ok)
	require.EqualValues(t, 65535, alias)
	expiry, ok := p.Int32(PropMessageExpiryInterval)
	require.True(t, ok)
	require.Equal(t, uint32(1<<32-1), expiry)
	varint, ok := p.Varint(PropSubscriptionIdentifier)
	require.True(t, ok)
	require.EqualValues(t, maxVarint, varint)
	binary, ok := p.Binary(PropCorrelationData)
	require.True(t, ok)
	require.Equal(t, []byte{0, 1, 2}, binary)
	text, ok := p.Text(PropContentType)
	require.True(t, ok)
	require.Equal(t, "text/ü", text)
	name, value, ok := p.StringPair(PropUserProperty)
	require.True(t, ok)
	require.Equal(t, "a", name)
	require.Equal(t, "1", value)
	value, ok = p.UserProperty("b")
	require.True(t, ok)
	require.Equal(t, "2", value)
	_, ok = p.UserProperty("c")
	require.False(t, ok)
}

func TestProperties_OtherTypeIsNotFound(t *testing.T) {
	p := Properties{valid(PropContentType), valid(PropTopicAlias), valid(PropUserProperty)}
	_, ok := p.Byte(PropTopicAlias)
	require.False(t, ok)
	_, ok = p.Int16(PropServerKeepAlive)
	require.False(t, ok, "absent")
	_, ok = p.Int16(PropContentType)
	require.False(t, ok)
	_, ok = p.Int32(PropTopicAlias)
	require.False(t, ok)
	_, ok = p.Varint(PropTopicAlias)
	require.False(t, ok)
	_, ok = p.Binary(PropContentType)
	require.False(t, ok)
	_, ok = p.Text(PropUserProperty)
	require.False(t, ok)
	_, _, ok = p.StringPair(PropContentType)
	require.False(t, ok)
}

func TestProperties_AllReturnsEachInOrder(t *testing.T) {
	p := Properties{
		{ID: PropUserProperty, Name: "a", Text: "1"}, {ID: PropContentType, Text: "x"},
		{ID: PropUserProperty, Name: "b", Text: "2"}, {ID: PropUserProperty, Name: "a", Text: "3"},
	}
	var got []string
	for q := range p.All(PropUserProperty) {
		got = append(got, q.Name+q.Text)
	}
	require.Equal(t, []string{"a1", "b2", "a3"}, got)
	for range p.All(PropTopicAlias) {
		t.Fatal("there is no such property")
	}
	for q := range p.All(PropUserProperty) {
		require.Equal(t, "a1", q.Name+q.Text)
		break
	}
}

func TestProperties_CloneIsIndependent(t *testing.T) {
	p := Properties{{ID: PropCorrelationData, Data: []byte("abc")}, {ID: PropContentType, Text: "x"}, {ID: PropTopicAlias, Number: 1}}
	q := p.Clone()
	q[0].Data[0] = 'X'
	q[1].Text = "y"
	require.Equal(t, "abc", string(p[0].Data))
	require.Equal(t, "x", p[1].Text)

	p.Remove(1)
	require.Equal(t, []PropertyID{PropCorrelationData, PropTopicAlias}, []PropertyID{p[0].ID, p[1].ID})
	p.Remove(1)
	p.Remove(0)
	require.Empty(t, p)
	require.Panics(t, func() { p.Remove(0) })
	require.Len(t, q, 3)
	require.Nil(t, Properties(nil).Clone())
}

func TestProperties_AddRefusesBadValues(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	var p Properties
	for what, row := range map[string]struct {
		err  error
		code Error
		text string
	}{
		"byte, other type":    {p.AddByte(PropTopicAlias, 1), ErrInval, "property_add_byte: id: topic-alias"},
		"int16, other type":   {p.AddInt16(PropContentType, 1), ErrInval, "property_add_int16: id: content-type"},
		"int32, other type":   {p.AddInt32(PropTopicAlias, 1), ErrInval, "property_add_int32: id: topic-alias"},
		"varint, other type":  {p.AddVarint(PropTopicAlias, 1), ErrInval, "property_add_varint: id: topic-alias"},
		"binary, other type":  {p.AddBinary(PropContentType, nil), ErrInval, "property_add_binary: id: content-type"},
		"string, other type":  {p.AddString(PropUserProperty, ""), ErrInval, "property_add_string: id: user-property"},
		"pair, other type":    {p.AddStringPair(PropContentType, "", ""), ErrInval, "property_add_string_pair: id: content-type"},
		"no such property":    {p.AddByte(99, 1), ErrInval, "property_add_byte: id: property 99"},
		"varint, too large":   {p.AddVarint(PropSubscriptionIdentifier, maxVarint+1), ErrInval, "subscription-identifier: 268435456"},
		"binary, too long":    {p.AddBinary(PropCorrelationData, []byte(long)), ErrInval, "correlation-data: 65536 bytes"},
		"string, too long":    {p.AddString(PropContentType, long), ErrInval, "content-type: 65536 bytes"},
		"string, NUL":         {p.AddString(PropContentType, "a\x00"), ErrInval, "content-type: contains a NUL"},
		"string, not UTF-8":   {p.AddString(PropContentType, "\xff"), ErrMalformedUTF8, "content-type: not valid UTF-8"},
		"name, NUL":           {p.AddStringPair(PropUserProperty, "\x00", "b"), ErrInval, "user-property: contains a NUL"},
		"name, not UTF-8":     {p.AddStringPair(PropUserProperty, "\xff", "b"), ErrMalformedUTF8, "user-property: not valid UTF-8"},
		"pair, value's NUL":   {p.AddStringPair(PropUserProperty, "a", "\x00"), ErrInval, "user-property: contains a NUL"},
		"pair, value's UTF-8": {p.AddStringPair(PropUserProperty, "a", "\xff"), ErrMalformedUTF8, "user-property: not valid UTF-8"},
	} {
		require.ErrorIs(t, row.err, row.code, what)
		require.ErrorContains(t, row.err, row.text, what)
	}
	require.Empty(t, p)
}

// Properties that were not built with the Add methods are checked in the same way.
func TestEncodeProperties_RefusesBadValues(t *testing.T) {
	for _, p := range []Property{
		{ID: 99}, {ID: -1}, {ID: 256},
		{ID: PropPayloadFormatIndicator, Number: 256},
		{ID: PropTopicAlias, Number: 65536},
		{ID: PropSubscriptionIdentifier, Number: maxVarint + 1},
		{ID: PropContentType, Text: "\x00"},
	} {
		err := PropertyCheckAll(CmdPublish, Properties{valid(PropUserProperty), p})
		require.ErrorIs(t, err, ErrInval)
		require.ErrorContains(t, err, "property_check_all: properties")
	}
}

// Before 2.0.16 the library crashes when it copies an empty text.
func TestEncodeProperties_RefusesEmptyTextsBefore2016(t *testing.T) {
	for _, p := range []Property{
		{ID: PropContentType}, {ID: PropUserProperty, Name: "a"}, {ID: PropUserProperty, Text: "a"},
	} {
		_, err := encodeProperties("publish_v5", Properties{p}, false)
		require.NoError(t, err)
		_, err = encodeProperties("publish_v5", Properties{p}, true)
		if copiesEmptyText() {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrInval)
			require.ErrorContains(t, err, "properties[0]")
			require.ErrorContains(t, err, "before 2.0.16")
		}
	}
	_, err := encodeProperties("publish_v5", Properties{{ID: PropCorrelationData}}, true)
	require.NoError(t, err)
}
