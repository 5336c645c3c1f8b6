package test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// wire encodes properties with their length, as MQTT 5 defines.
func wire(props mosquitto.Properties) []byte {
	body := wireBody(props)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// wireBody is wire without the length.
func wireBody(props mosquitto.Properties) (b []byte) {
	text := func(s string) { b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	for _, p := range props {
		b = append(b, byte(p.ID))
		switch p.ID {
		case 1, 23, 25, 36, 37, 40, 41, 42:
			b = append(b, byte(p.Number))
		case 19, 33, 34, 35:
			b = binary.BigEndian.AppendUint16(b, uint16(p.Number))
		case 2, 17, 24, 39:
			b = binary.BigEndian.AppendUint32(b, p.Number)
		case 11:
			b = binary.AppendUvarint(b, uint64(p.Number))
		case 9, 22:
			text(string(p.Data))
		case 38:
			text(p.Name)
			text(p.Text)
		default:
			text(p.Text)
		}
	}
	return b
}

func userPair(name, value string) mosquitto.Property {
	return mosquitto.Property{ID: mosquitto.PropUserProperty, Name: name, Text: value}
}

// around puts user properties between these properties. Some are equal, so that a
// changed order is noticed.
func around(props ...mosquitto.Property) (all mosquitto.Properties) {
	for i, p := range props {
		all = append(all, userPair("name", "same"), p, userPair("name", "same"), userPair("π", fmt.Sprint(i)))
	}
	return append(all, userPair("last", "ütf"))
}

func number(id mosquitto.PropertyID, n uint32) mosquitto.Property {
	return mosquitto.Property{ID: id, Number: n}
}

func text(id mosquitto.PropertyID, s string) mosquitto.Property {
	return mosquitto.Property{ID: id, Text: s}
}

func data(id mosquitto.PropertyID, b []byte) mosquitto.Property {
	return mosquitto.Property{ID: id, Data: b}
}

// allOfConnect returns all properties that a CONNECT may have.
func allOfConnect() mosquitto.Properties {
	return around(
		number(mosquitto.PropSessionExpiryInterval, 1<<32-1),
		number(mosquitto.PropReceiveMaximum, 65535),
		number(mosquitto.PropMaximumPacketSize, 268435455),
		number(mosquitto.PropTopicAliasMaximum, 1),
		number(mosquitto.PropRequestResponseInformation, 1),
		number(mosquitto.PropRequestProblemInformation, 0),
		text(mosquitto.PropAuthenticationMethod, "method"),
		data(mosquitto.PropAuthenticationData, []byte{0, 255}),
	)
}

// allOfPublish returns all properties that a PUBLISH of a client may have.
func allOfPublish() mosquitto.Properties {
	return around(
		number(mosquitto.PropPayloadFormatIndicator, 1),
		number(mosquitto.PropMessageExpiryInterval, 3600),
		text(mosquitto.PropContentType, "text/plain"),
		text(mosquitto.PropResponseTopic, "answers/here"),
		data(mosquitto.PropCorrelationData, []byte{0, 1, 255}),
	)
}

// The properties of the CONNECT are sent again at each reconnect.
func TestProperties_OfConnectAreSentAtEachConnect(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	props := allOfConnect()
	require.NoError(t, c.ConnectBindV5("127.0.0.1", p.Port, keepalive, "", props))
	props[0].Text = "changed" // the library has copied them
	ended := loop(t, c)
	var conn *fakebroker.Conn
	for range 2 {
		if conn != nil {
			conn.Close()
		}
		conn = p.Accept()
		require.Equal(t, wireBody(allOfConnect()), readConnect(t, conn).props)
		conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	}
	part(t, c, conn, ended)
}

// The library sends its receive maximum unless the caller sets one.
func TestProperties_OfConnectHaveAReceiveMaximum(t *testing.T) {
	for _, test := range []struct {
		set  func(*mosquitto.Client) error
		want uint32
	}{
		{func(*mosquitto.Client) error { return nil }, 20},
		{func(c *mosquitto.Client) error { return c.IntOption(mosquitto.OptReceiveMaximum, 7) }, 7},
		{func(c *mosquitto.Client) error { return c.IntOption(mosquitto.OptReceiveMaximum, 0) }, 65535},
	} {
		p := fakebroker.Listen(t)
		c, e := newV5(t, "id", true)
		require.NoError(t, test.set(c))
		require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
		ended := loop(t, c)
		conn := p.Accept()
		require.Equal(t, wireBody(mosquitto.Properties{number(mosquitto.PropReceiveMaximum, test.want)}), readConnect(t, conn).props)
		conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
		wait.For(t, e.connect, "OnConnect")
		part(t, c, conn, ended)
	}
}

func TestProperties_OfPublishAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	for _, qos := range []mosquitto.QoS{0, 1, 2} {
		props := allOfPublish()
		mid, err := c.PublishV5("a", []byte("hello"), qos, true, props)
		require.NoError(t, err)
		props[0].Text = "changed"
		want := append([]byte{0, 1, 'a'}, wire(allOfPublish())...)
		if qos > 0 {
			want = append(append([]byte{0, 1, 'a'}, ackBody(uint16(mid))...), wire(allOfPublish())...)
		}
		got := conn.Expect(fakebroker.PUBLISH)
		require.Equal(t, fakebroker.PUBLISH|byte(qos)<<1|1, got.First)
		require.Equal(t, append(want, "hello"...), got.Body)
	}
	part(t, c, conn, ended)
}

// A topic alias replaces the topic. The first message has both.
func TestProperties_TopicAliasIsSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := mosquitto.Properties{number(mosquitto.PropTopicAlias, 3)}
	for _, topic := range []string{"a/b", ""} {
		_, err := c.PublishV5(topic, nil, 0, false, props)
		require.NoError(t, err)
		want := append(append([]byte{0, byte(len(topic))}, topic...), wire(props)...)
		require.Equal(t, want, conn.Expect(fakebroker.PUBLISH).Body)
	}
	part(t, c, conn, ended)
}

func TestProperties_OfSubscribeAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := around(number(mosquitto.PropSubscriptionIdentifier, 268435455))
	options := mosquitto.SubNoLocal | mosquitto.SubRetainAsPublished | mosquitto.SubSendRetainNever
	mid, err := c.SubscribeV5("a/+", 2, options, props)
	require.NoError(t, err)
	got := conn.Expect(fakebroker.SUBSCRIBE)
	want := append(ackBody(uint16(mid)), wire(props)...)
	want = append(want, 0, 3, 'a', '/', '+', 2|0x04|0x08|0x20)
	require.Equal(t, fakebroker.Packet{First: fakebroker.SUBSCRIBE | 2, Body: want}, got)

	mid, err = c.SubscribeMultiple([]string{"b", "ç"}, 1, mosquitto.SubSendRetainNew, props)
	require.NoError(t, err)
	want = append(ackBody(uint16(mid)), wire(props)...)
	want = append(want, 0, 1, 'b', 1|0x10, 0, 2, 0xc3, 0xa7, 1|0x10)
	require.Equal(t, want, conn.Expect(fakebroker.SUBSCRIBE).Body)
	part(t, c, conn, ended)
}

func TestProperties_OfUnsubscribeAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	mid, err := c.UnsubscribeV5("a/+", around())
	require.NoError(t, err)
	want := append(append(ackBody(uint16(mid)), wire(around())...), 0, 3, 'a', '/', '+')
	require.Equal(t, fakebroker.Packet{First: fakebroker.UNSUBSCRIBE | 2, Body: want}, conn.Expect(fakebroker.UNSUBSCRIBE))

	mid, err = c.UnsubscribeMultiple([]string{"b", "ç"}, around())
	require.NoError(t, err)
	want = append(append(ackBody(uint16(mid)), wire(around())...), 0, 1, 'b', 0, 2, 0xc3, 0xa7)
	require.Equal(t, want, conn.Expect(fakebroker.UNSUBSCRIBE).Body)
	part(t, c, conn, ended)
}

func TestProperties_OfDisconnectAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := around(
		number(mosquitto.PropSessionExpiryInterval, 7),
		text(mosquitto.PropReasonString, "done"),
	)
	require.NoError(t, c.DisconnectV5(mosquitto.RCDisconnectWithWillMsg, props))
	require.Equal(t, append([]byte{4}, wire(props)...), conn.Expect(fakebroker.DISCONNECT).Body)
	conn.Close()
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
}

func TestProperties_OfConnackAreReportedAndApplied(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	require.Empty(t, readConnect(t, conn).id)
	props := around(
		number(mosquitto.PropSessionExpiryInterval, 60),
		number(mosquitto.PropReceiveMaximum, 10),
		number(mosquitto.PropMaximumQoS, 1),
		number(mosquitto.PropRetainAvailable, 1),
		number(mosquitto.PropMaximumPacketSize, 1000),
		text(mosquitto.PropAssignedClientIdentifier, "you"),
		number(mosquitto.PropTopicAliasMaximum, 10),
		text(mosquitto.PropReasonString, "welcome"),
		number(mosquitto.PropWildcardSubAvailable, 1),
		number(mosquitto.PropSubscriptionIDAvailable, 0),
		number(mosquitto.PropSharedSubAvailable, 1),
		number(mosquitto.PropServerKeepAlive, 77),
		text(mosquitto.PropResponseInformation, "answers/"),
		text(mosquitto.PropServerReference, "other:1883"),
		text(mosquitto.PropAuthenticationMethod, "method"),
		data(mosquitto.PropAuthenticationData, []byte{0, 255}),
	)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, append([]byte{0, 0}, wire(props)...)...))
	require.Equal(t, mosquitto.Connack{Properties: props}, wait.For(t, e.connect, "OnConnect"))

	// The limits of the CONNACK now apply.
	_, err := c.Publish("a", nil, 2, false)
	require.ErrorIs(t, err, mosquitto.ErrQoSNotSupported)
	_, err = c.Publish("a", make([]byte, 2000), 1, false)
	require.ErrorIs(t, err, mosquitto.ErrOversizePacket)
	part(t, c, conn, ended)
}

func TestProperties_OfAReceivedPublishAreReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := append(allOfPublish(), number(mosquitto.PropSubscriptionIdentifier, 268435455))
	for _, qos := range []byte{0, 1, 2} {
		body := []byte{0, 1, 'a'}
		if qos > 0 {
			body = append(body, 0, 9)
		}
		conn.Send(fakebroker.Bytes(fakebroker.PUBLISH|qos<<1, append(append(body, wire(props)...), "hello"...)...))
		if qos == 1 {
			conn.Expect(fakebroker.PUBACK)
		}
		if qos == 2 {
			conn.Expect(fakebroker.PUBREC)
			conn.Send(fakebroker.Ack(fakebroker.PUBREL, 9))
			conn.Expect(fakebroker.PUBCOMP)
		}
		m := wait.For(t, e.message, "the message")
		require.Equal(t, props, m.Properties)
		require.Equal(t, "hello", string(m.Payload))
	}
	part(t, c, conn, ended)
}

func TestProperties_EmptyTextsAreReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	sent := mosquitto.Properties{text(mosquitto.PropContentType, ""), data(mosquitto.PropCorrelationData, nil), userPair("", "")}
	conn.Send(fakebroker.PublishV5(0, "a", 0, wireBody(sent), ""))
	got := wait.For(t, e.message, "the message").Properties
	require.Len(t, got, len(sent))
	contentType, ok := got.Text(mosquitto.PropContentType)
	require.True(t, ok)
	require.Empty(t, contentType)
	correlation, ok := got.Binary(mosquitto.PropCorrelationData)
	require.True(t, ok)
	require.Empty(t, correlation)
	value, ok := got.UserProperty("")
	require.True(t, ok)
	require.Empty(t, value)
	part(t, c, conn, ended)
}

// Two subscription identifiers in one message are valid MQTT. The library reports a
// duplicate property and closes the connection.
func TestProperties_TwoSubscriptionIdentifiersEndTheConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, _ := meet(t, c, e, p)
	props := mosquitto.Properties{number(mosquitto.PropSubscriptionIdentifier, 1), number(mosquitto.PropSubscriptionIdentifier, 2)}
	conn.Send(fakebroker.PublishV5(0, "a", 0, wireBody(props), ""))
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrDuplicateProperty)
	wait.None(t, e.message, "message")
}

// Topic aliases from the broker need libmosquitto 2.1.
func TestProperties_ReceivedTopicAliasNeeds21(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, append([]byte{0, 0}, wire(mosquitto.Properties{number(mosquitto.PropTopicAliasMaximum, 5)})...)...))
	wait.For(t, e.connect, "OnConnect")
	alias := mosquitto.Properties{number(mosquitto.PropTopicAlias, 5)}
	conn.Send(fakebroker.PublishV5(0, "a/b", 0, wireBody(alias), "first"))
	m := wait.For(t, e.message, "the message with a topic")
	require.Equal(t, "a/b", m.Topic)
	require.Equal(t, "first", string(m.Payload))
	conn.Send(fakebroker.PublishV5(0, "", 0, wireBody(alias), "second"))
	if !has21() {
		refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
		require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
		return
	}
	m = wait.For(t, e.message, "the message without a topic")
	require.Equal(t, "a/b", m.Topic)
	require.Equal(t, "second", string(m.Payload))
	part(t, c, conn, ended)
}

// answerBody returns the body of an acknowledgement with a reason code and properties.
func answerBody(mid int, code mosquitto.ReasonCode, props mosquitto.Properties) []byte {
	return append(append(ackBody(uint16(mid)), byte(code)), wire(props)...)
}

func TestProperties_OfPubackAreReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := around(text(mosquitto.PropReasonString, "because"))
	for _, code := range []mosquitto.ReasonCode{
		mosquitto.RCSuccess, mosquitto.RCNoMatchingSubscribers, mosquitto.RCUnspecified, mosquitto.RCImplementationSpecific,
		mosquitto.RCNotAuthorized, mosquitto.RCTopicNameInvalid, mosquitto.RCQuotaExceeded, mosquitto.RCPayloadFormatInvalid,
	} {
		mid, err := c.Publish("a", nil, 1, false)
		require.NoError(t, err)
		conn.Expect(fakebroker.PUBLISH)
		conn.Send(fakebroker.Bytes(fakebroker.PUBACK, answerBody(mid, code, props)...))
		require.Equal(t, published{mid, code, props}, wait.For(t, e.publish, "OnPublish"), code.String())
	}
	part(t, c, conn, ended)
}

// The library drops the properties of a PUBREC, but reports its reason code.
func TestProperties_OfPubcompAreReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := around(text(mosquitto.PropReasonString, "because"))
	mid, err := c.Publish("a", nil, 2, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.Bytes(fakebroker.PUBREC, answerBody(mid, mosquitto.RCNoMatchingSubscribers, props)...))
	conn.Expect(fakebroker.PUBREL)
	conn.Send(fakebroker.Bytes(fakebroker.PUBCOMP, answerBody(mid, mosquitto.RCSuccess, props)...))
	require.Equal(t, published{mid, mosquitto.RCSuccess, props}, wait.For(t, e.publish, "OnPublish"))

	mid, err = c.Publish("a", nil, 2, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.Bytes(fakebroker.PUBREC, answerBody(mid, mosquitto.RCQuotaExceeded, props)...))
	require.Equal(t, published{mid: mid, code: mosquitto.RCQuotaExceeded}, wait.For(t, e.publish, "OnPublish"))
	part(t, c, conn, ended)
}

func TestProperties_OfSubackAndUnsubackAreReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := around(text(mosquitto.PropReasonString, "because"))
	mid, err := c.SubscribeMultiple([]string{"a", "b", "c"}, 2, 0, nil)
	require.NoError(t, err)
	conn.Expect(fakebroker.SUBSCRIBE)
	conn.Send(fakebroker.Bytes(fakebroker.SUBACK, append(append(ackBody(uint16(mid)), wire(props)...), 2, 0x87, 0)...))
	require.Equal(t, granted{mid, []mosquitto.ReasonCode{2, mosquitto.RCNotAuthorized, 0}, props}, wait.For(t, e.subscribe, "OnSubscribe"))

	mid, err = c.UnsubscribeMultiple([]string{"a", "b"}, nil)
	require.NoError(t, err)
	conn.Expect(fakebroker.UNSUBSCRIBE)
	conn.Send(fakebroker.Bytes(fakebroker.UNSUBACK, append(append(ackBody(uint16(mid)), wire(props)...), 0, 0x11)...))
	want := granted{mid: mid, props: props}
	if has21() { // libmosquitto 2.0 does not report the codes
		want.codes = []mosquitto.ReasonCode{mosquitto.RCSuccess, mosquitto.RCNoSubscriptionExisted}
	}
	require.Equal(t, want, wait.For(t, e.unsubscribe, "OnUnsubscribe"))
	part(t, c, conn, ended)
}

// The real broker forwards the properties of a publisher, in order.
func TestProperties_AreForwardedByTheBroker(t *testing.T) {
	b := plain(t)
	c, e := newV5(t, "id", true)
	ended := connect(t, c, e, b.Port)
	_, err := c.SubscribeV5("a/b", 2, 0, mosquitto.Properties{number(mosquitto.PropSubscriptionIdentifier, 1000)})
	require.NoError(t, err)
	wait.For(t, e.subscribe, "OnSubscribe")
	for _, qos := range []mosquitto.QoS{0, 1, 2} {
		_, err = c.PublishV5("a/b", []byte("hello"), qos, false, allOfPublish())
		require.NoError(t, err)
		got := wait.For(t, e.message, "the message").Properties
		identifier, _ := got.Varint(mosquitto.PropSubscriptionIdentifier)
		require.Equal(t, uint32(1000), identifier)
		require.Len(t, got, len(allOfPublish())+1)
		var users mosquitto.Properties
		for _, p := range allOfPublish() {
			if p.ID == mosquitto.PropUserProperty {
				users = append(users, p)
				continue
			}
			for q := range got.All(p.ID) {
				require.Equal(t, p, q)
			}
		}
		var gotUsers mosquitto.Properties
		for q := range got.All(mosquitto.PropUserProperty) {
			gotUsers = append(gotUsers, q)
		}
		require.Equal(t, users, gotUsers)
	}
	leave(t, c, e, ended)
}

func TestProperties_ManyAndLongOnesArrive(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	long := make([]byte, 65535)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	props := mosquitto.Properties{data(mosquitto.PropCorrelationData, long), text(mosquitto.PropContentType, string(long)), userPair(string(long), string(long))}
	for i := range 1000 {
		props = append(props, userPair("n", fmt.Sprint(i)))
	}
	_, err := c.PublishV5("a", nil, 0, false, props)
	require.NoError(t, err)
	want := append([]byte{0, 1, 'a'}, wire(props)...)
	require.Equal(t, want, conn.Expect(fakebroker.PUBLISH).Body)
	conn.Send(fakebroker.Bytes(fakebroker.PUBLISH, want...))
	require.Equal(t, props, wait.For(t, e.message, "the message").Properties)
	part(t, c, conn, ended)
}

// Empty texts are sent, except where a library before 2.0.16 would crash.
func TestProperties_EmptyTextsAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	props := mosquitto.Properties{text(mosquitto.PropContentType, ""), data(mosquitto.PropCorrelationData, nil), userPair("", "")}
	_, err := c.PublishV5("a", nil, 0, false, props)
	require.NoError(t, err)
	require.Equal(t, append([]byte{0, 1, 'a'}, wire(props)...), conn.Expect(fakebroker.PUBLISH).Body)
	mid, err := c.PublishV5("a", nil, 1, false, props)
	if atLeast(2, 0, 16) {
		require.NoError(t, err)
		require.Equal(t, append(append([]byte{0, 1, 'a'}, ackBody(uint16(mid))...), wire(props)...), conn.Expect(fakebroker.PUBLISH).Body)
	} else {
		require.ErrorIs(t, err, mosquitto.ErrInval)
	}
	part(t, c, conn, ended)
}

// propertyCalls returns the calls that take properties.
func propertyCalls(c *mosquitto.Client, port int) map[string]func(mosquitto.Properties) error {
	return map[string]func(mosquitto.Properties) error{
		"publish": func(p mosquitto.Properties) error {
			_, err := c.PublishV5("a", nil, 0, false, p)
			return err
		},
		"subscribe": func(p mosquitto.Properties) error {
			_, err := c.SubscribeV5("a", 0, 0, p)
			return err
		},
		"subscribe multiple": func(p mosquitto.Properties) error {
			_, err := c.SubscribeMultiple([]string{"a"}, 0, 0, p)
			return err
		},
		"unsubscribe": func(p mosquitto.Properties) error {
			_, err := c.UnsubscribeV5("a", p)
			return err
		},
		"unsubscribe multiple": func(p mosquitto.Properties) error {
			_, err := c.UnsubscribeMultiple([]string{"a"}, p)
			return err
		},
		"disconnect": func(p mosquitto.Properties) error { return c.DisconnectV5(0, p) },
		"will":       func(p mosquitto.Properties) error { return c.WillSetV5("a", nil, 0, false, p) },
		"connect": func(p mosquitto.Properties) error {
			return c.ConnectBindV5("127.0.0.1", port, keepalive, "", p)
		},
	}
}

func TestProperties_OnMQTT3ReturnErrNotSupported(t *testing.T) {
	b := plain(t)
	for _, version := range []int{mosquitto.ProtocolV31, mosquitto.ProtocolV311} {
		c, e := newVersion(t, "id", true, version)
		for name, call := range propertyCalls(c, b.Port) {
			require.ErrorIs(t, call(mosquitto.Properties{userPair("a", "b")}), mosquitto.ErrNotSupported, name)
		}
		leave(t, c, e, connect(t, c, e, b.Port)) // the refused calls changed nothing
	}
}

// The library refuses properties of the wrong packet, and duplicates.
func TestProperties_MisplacedOnesAreRefused(t *testing.T) {
	p := fakebroker.Listen(t)
	connected, e := newV5(t, "connected", true)
	conn, ended := meet(t, connected, e, p)
	calls := propertyCalls(connected, 1)
	idle, _ := newV5(t, "idle", true)
	for _, name := range []string{"will", "connect"} { // not allowed while a loop runs
		calls[name] = propertyCalls(idle, 1)[name]
	}
	misplaced := mosquitto.Properties{text(mosquitto.PropAssignedClientIdentifier, "you")}
	for name, call := range calls {
		require.ErrorIs(t, call(misplaced), mosquitto.ErrProtocol, name)
	}
	for name, p := range map[string]mosquitto.Property{
		"publish":    text(mosquitto.PropContentType, "text"),
		"subscribe":  number(mosquitto.PropSubscriptionIdentifier, 1),
		"will":       number(mosquitto.PropWillDelayInterval, 1),
		"connect":    number(mosquitto.PropSessionExpiryInterval, 1),
		"disconnect": text(mosquitto.PropReasonString, "done"),
	} {
		require.ErrorIs(t, calls[name](mosquitto.Properties{p, p}), mosquitto.ErrDuplicateProperty, name)
	}
	part(t, connected, conn, ended) // no refused call sent a packet
}
