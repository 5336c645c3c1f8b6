package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// row is a test case: what the fake broker sends, the outcome that the specification
// requires, and the outcome of each library version.
//
// An outcome lists the callbacks and the packets that the client sends (after ">"). If
// the client closes the connection, "closed" and the error of OnDisconnect follow. The
// specification does not define that error, so "closed" matches any.
type row struct {
	clause, name string
	send         any // a packet for Dialog.Send, nil if the test has its own steps
	spec         string
	actual       byVersion
}

const closed = "closed"

// conforms reports whether an outcome is what the specification requires.
func conforms(spec, outcome string) bool {
	if spec == closed {
		return strings.HasPrefix(outcome, closed)
	}
	return spec == outcome
}

// outcome sends bytes and then a probe, and returns the outcome. Afterwards the client
// has a working connection.
func (x *exchange) outcome(send any) string {
	x.t.Helper()
	x.Send(send, x.probeAfter(send))
	var parts []string
	for line := x.nextEvent(); ; line = x.nextEvent() {
		if line == probeReceived {
			parts = append(parts, x.answers(x.v.Puback(probeID))...)
			x.expectNothing()
			return strings.Join(parts, ", ")
		}
		if reason, lost := strings.CutPrefix(line, "disconnected"); lost {
			parts = append(append(parts, x.answers(nil)...), closed+reason)
			return strings.Join(append(parts, x.reconnect()...), ", ")
		}
		parts = append(parts, line)
	}
}

// probeAfter returns the probe. It returns nil after a DISCONNECT, because nothing may
// follow it.
func (x *exchange) probeAfter(send any) []byte {
	if text, ok := send.(string); x.alone || ok && strings.HasPrefix(text, "E0") && x.v == fakebroker.V5 {
		return nil
	}
	return x.probe()
}

// answers returns the packets that the client sends before the packet last. If last is
// nil, it returns all packets until the client closes the connection.
func (x *exchange) answers(last []byte) (parts []string) {
	x.t.Helper()
	for {
		packet, err := x.NextBytes()
		if err != nil {
			require.Nil(x.t, last, "the client has closed the connection")
			return parts
		}
		if string(packet) == string(last) {
			return parts
		}
		parts = append(parts, fmt.Sprintf("> % X", packet))
	}
}

// reconnect waits for the next connection and accepts it. If the loop has ended, it
// connects the client again and returns loopEnds.
func (x *exchange) reconnect() (ended []string) {
	x.t.Helper()
	x.Close()
	if _, err := x.awaitReconnectOrEnd(); err != nil {
		ended = append(ended, loopEnds)
	}
	x.accept(false)
	x.expectNothing()
	return ended
}

const loopEnds = "the loop ends"

// check runs each row with a new client.
func check(t *testing.T, v fakebroker.Version, rows []row) {
	t.Helper()
	t.Parallel()
	for _, r := range rows {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, v, setup{})
			require.Equal(t, r.actual.current(), x.outcome(r.send))
			x.end()
		})
	}
}

func TestMalformed_Outcomes311(t *testing.T) { check(t, fakebroker.V311, malformed311) }
func TestMalformed_Outcomes5(t *testing.T)   { check(t, fakebroker.V5, malformed5) }

// malformed311 has packets that are malformed or that a broker must not send, and some
// unusual packets that are allowed.
var malformed311 = []row{
	{"2.2.1", "packet type 0", "00 00", closed, all("closed: protocol")},
	{"2.2.1", "packet type 15", "F0 00", closed, all("closed: protocol")},
	{"3.1", "CONNECT from the server", "10 < 'MQTT' 04 02 00 3C 'x' >", closed, all("closed: protocol")},
	{"3.8", "SUBSCRIBE from the server", "82 < 00 01 'a' 00 >", closed, all("closed: protocol")},
	{"3.10", "UNSUBSCRIBE from the server", "A2 < 00 01 'a' >", closed, all("closed: protocol")},
	{"3.12", "PINGREQ from the server", "C0 00", closed, byVersion{"> D0 00", "closed: protocol", "closed: protocol"}},
	{"3.14", "DISCONNECT from the server", "E0 00", closed, all("closed: protocol")},
	{"2.2.3", "remaining length of five bytes", "30 FF FF FF FF 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"MQTT-2.2.2-2", "wrong flags of PUBACK", "41 02 00 01", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of PUBREC", "51 02 00 01", closed, byVersion{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "PUBREL without its flags", "60 02 00 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "PUBREL with an extra flag", "63 02 00 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of PUBCOMP", "71 02 00 01", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of SUBACK", "91 03 00 01 00", closed, byVersion{"subscribed 1 [00]", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of UNSUBACK", "B1 02 00 01", closed, byVersion{"unsubscribed 1 []", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of PINGRESP", "D1 00", closed, byVersion{"", "", "closed: malformed"}},
	{"MQTT-2.2.2-2", "wrong flags of CONNACK", "21 02 00 00", closed, byVersion{"connected", "closed: malformed", "closed: protocol"}},
	{"MQTT-3.3.1-4", "PUBLISH of QoS 3", "36 < 'a' 00 01 >", closed, all("closed: protocol")},
	{"MQTT-3.3.1-2", "PUBLISH of QoS 0 with DUP", "38 < 'a' >", closed, all("message a \"\" qos 0")},

	{"MQTT-3.2.0-2", "a second CONNACK", "20 02 00 00", closed, byVersion{"connected", "connected", "closed: protocol"}},
	{"3.3.2", "PUBLISH without a body", "30 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with one byte of the topic length", "30 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with a topic length beyond the end of the packet", `30 < 00 05 "a" >`, closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH with + in the topic", "30 < 'a/+' >", closed, byVersion{"message a/+ \"\" qos 0", "message a/+ \"\" qos 0", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH with # in the topic", "30 < '#' >", closed, byVersion{"message # \"\" qos 0", "message # \"\" qos 0", "closed: malformed"}},
	{"MQTT-4.7.3-1", "PUBLISH with an empty topic", "30 < '' >", closed, all("closed: protocol")},
	{"MQTT-1.5.3-2", "PUBLISH with NUL in the topic", "30 < 00 01 00 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH with a surrogate in the topic", "30 < 00 03 ED A0 80 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH with an overlong UTF-8 sequence in the topic", "30 < 00 02 C0 AF >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH with a truncated UTF-8 sequence in the topic", "30 < 00 02 E2 82 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH with a lone continuation byte in the topic", "30 < 00 01 80 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH with a code point beyond Unicode in the topic", "30 < 00 04 F4 90 80 80 >", closed, all("closed: UTF-8")},
	{"1.5.3", "PUBLISH with a control character in the topic", "30 < 00 01 01 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-3", "PUBLISH with a byte order mark in the topic", "30 < 00 04 EF BB BF 61 >", "message \ufeffa \"\" qos 0", all("message \ufeffa \"\" qos 0")},
	{"MQTT-2.3.1-1", "PUBLISH of QoS 1 with packet id 0", "32 < 'a' 00 00 >", closed, all("closed: protocol")},
	{"MQTT-2.3.1-1", "PUBLISH of QoS 2 with packet id 0", "34 < 'a' 00 00 >", closed, all("closed: protocol")},
	{"2.3.1", "PUBLISH of QoS 1 without a packet id", "32 < 'a' >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.3.1", "PUBLISH of QoS 2 with one byte of the packet id", "34 < 'a' 00 >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"3.4.1", "PUBACK without a body", "40 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.1", "PUBACK with a body of one byte", "40 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.1", "PUBACK with a body of three bytes", "40 03 00 01 00", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBACK with packet id 0", "40 02 00 00", closed, all("closed: protocol")},
	{"4.3.2", "PUBACK with an unknown packet id", "40 02 00 63", "", all("")},
	{"3.5.1", "PUBREC without a body", "50 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.5.1", "PUBREC with a body of three bytes", "50 03 00 01 00", closed, byVersion{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBREC with packet id 0", "50 02 00 00", closed, all("closed: protocol")},
	{"MQTT-4.3.3-1", "PUBREC with an unknown packet id", "50 02 00 63", "> 62 02 00 63", all("> 62 02 00 63")},
	{"3.6.1", "PUBREL without a body", "62 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.6.1", "PUBREL with a body of three bytes", "62 03 00 01 00", closed, byVersion{"> 70 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBREL with packet id 0", "62 02 00 00", closed, all("closed: protocol")},
	{"MQTT-4.3.3-2", "PUBREL with an unknown packet id", "62 02 00 63", "> 70 02 00 63", all("> 70 02 00 63")},
	{"3.7.1", "PUBCOMP without a body", "70 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.7.1", "PUBCOMP with a body of three bytes", "70 03 00 01 00", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBCOMP with packet id 0", "70 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBCOMP with an unknown packet id", "70 02 00 63", "", all("")},
	{"3.9.1", "SUBACK without a body", "90 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.9.3", "SUBACK without a code", "90 02 00 01", closed, all("closed: protocol")},
	{"MQTT-2.3.1-1", "SUBACK with packet id 0", "90 03 00 00 00", closed, all("closed: protocol")},
	{"MQTT-3.9.3-2", "SUBACK with a reserved code", "90 03 00 01 03", closed, all("subscribed 1 [03]")},
	{"MQTT-3.8.4-2", "SUBACK with an unknown packet id", "90 03 00 63 00", "", all("subscribed 99 [00]")},
	{"3.11.1", "UNSUBACK without a body", "B0 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.11.1", "UNSUBACK with a body of three bytes", "B0 03 00 01 00", closed, all("unsubscribed 1 []")},
	{"MQTT-2.3.1-1", "UNSUBACK with packet id 0", "B0 02 00 00", closed, all("closed: protocol")},
	{"MQTT-3.10.4-4", "UNSUBACK with an unknown packet id", "B0 02 00 63", "", all("unsubscribed 99 []")},
	{"3.13.1", "PINGRESP with a body", "D0 01 00", closed, byVersion{"", "", "closed: malformed"}},
	{"3.13", "PINGRESP without a PINGREQ", "D0 00", "", all("")},
}

// malformed5 is like malformed311, for MQTT 5.
var malformed5 = []row{
	{"2.1.2", "packet type 0", "00 00", closed, all("closed: protocol")},
	{"3.1", "CONNECT from the server", "10 < 'MQTT' 05 02 00 3C <> 'x' >", closed, all("closed: protocol")},
	{"3.8", "SUBSCRIBE from the server", "82 < 00 01 <> 'a' 00 >", closed, all("closed: protocol")},
	{"3.10", "UNSUBSCRIBE from the server", "A2 < 00 01 <> 'a' >", closed, all("closed: protocol")},
	{"3.12", "PINGREQ from the server", "C0 00", closed, byVersion{"> D0 00", "closed: protocol", "closed: protocol"}},
	{"1.5.5", "remaining length of five bytes", "30 FF FF FF FF 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-1.5.5-1", "remaining length not in the shortest form", "D0 80 00", closed, all("")},

	{"MQTT-2.1.3-1", "wrong flags of PUBACK", "41 02 00 01", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of PUBREC", "51 02 00 01", closed, byVersion{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "PUBREL without its flags", "60 02 00 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "PUBREL with an extra flag", "63 02 00 01", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of PUBCOMP", "71 02 00 01", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of SUBACK", "91 04 00 01 00 00", closed, byVersion{"subscribed 1 [00]", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of UNSUBACK", "B1 04 00 01 00 00", closed, byVersion{"unsubscribed 1 []", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of PINGRESP", "D1 00", closed, byVersion{"", "", "closed: malformed"}},
	{"MQTT-2.1.3-1", "wrong flags of DISCONNECT", "E1 01 8B", closed, byVersion{"closed: 0x8B", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.15.1-1", "wrong flags of AUTH", "F1 02 00 00", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.1-4", "PUBLISH of QoS 3", "36 < 'a' 00 01 <> >", closed, all("closed: protocol")},
	{"MQTT-3.3.1-2", "PUBLISH of QoS 0 with DUP", "38 < 'a' <> >", closed, all("message a \"\" qos 0")},

	{"MQTT-3.2.0-2", "a second CONNACK", "20 03 00 00 00", closed, byVersion{"connected", "connected", "closed: protocol"}},
	{"3.3.2", "PUBLISH without a body", "30 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with a topic length beyond the end of the packet", `30 < 00 05 "a" >`, closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH without a property length", "30 < 'a' >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH with + in the topic", "30 < 'a/+' <> >", closed, byVersion{"message a/+ \"\" qos 0", "message a/+ \"\" qos 0", "closed: malformed"}},
	{"3.3.2.1", "PUBLISH with an empty topic, without an alias", "30 < '' <> >", closed, all("closed: protocol")},
	{"MQTT-1.5.4-2", "PUBLISH with NUL in the topic", "30 < 00 01 00 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-1", "PUBLISH with a surrogate in the topic", "30 < 00 03 ED A0 80 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-1", "PUBLISH with a truncated UTF-8 sequence in the topic", "30 < 00 02 E2 82 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-3", "PUBLISH with a byte order mark in the topic", "30 < 00 04 EF BB BF 61 <> >", "message \ufeffa \"\" qos 0", all("message \ufeffa \"\" qos 0")},
	{"MQTT-2.2.1-3", "PUBLISH of QoS 1 with packet id 0", "32 < 'a' 00 00 <> >", closed, all("closed: protocol")},
	{"2.2.1", "PUBLISH of QoS 2 with one byte of the packet id", "34 < 'a' 00 >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"2.2.2.1", "PUBLISH with a property length beyond the end of the packet", "30 < 'a' 0A 01 00 >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.2.2.1", "PUBLISH with a property that overlaps the payload", `30 < 'a' 02 03 00 01 "x" >`, closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-1.5.5-1", "PUBLISH with a property length not in the shortest form", "30 < 'a' 80 00 >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"1.5.5", "PUBLISH with a property length of five bytes", "30 < 'a' 80 80 80 80 01 >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBLISH with a property of CONNACK", "30 < 'a' < 13 00 05 > >", closed, all("closed: protocol")},
	{"2.2.2.2", "PUBLISH with a property of a will", "30 < 'a' < 18 00 00 00 05 > >", closed, all("closed: protocol")},
	{"3.3.2.3.2", "PUBLISH with two payload formats", "30 < 'a' < 01 00 01 00 > >", closed, all("closed: duplicate")},
	{"3.3.2.3.2", "PUBLISH with payload format 2", "30 < 'a' < 01 02 > >", closed, byVersion{"message a \"\" qos 0 {payload-format-indicator:2}", "closed: protocol", "closed: protocol"}},
	{"3.3.2.3.3", "PUBLISH with two expiry intervals", "30 < 'a' < 02 00 00 00 01 02 00 00 00 01 > >", closed, all("closed: duplicate")},
	{"3.3.2.3.4", "PUBLISH with two topic aliases", "30 < 'a' < 23 00 01 23 00 01 > >", closed, all("closed: duplicate")},
	{"MQTT-3.3.2-8", "PUBLISH with topic alias 0", "30 < 'a' < 23 00 00 > >", closed, all("closed: protocol")},
	{"MQTT-3.1.2-26", "PUBLISH with a topic alias beyond the client maximum", "30 < 'a' < 23 00 01 > >", closed, byVersion{"message a \"\" qos 0 {topic-alias:1}", "message a \"\" qos 0 {topic-alias:1}", "closed: 0x94"}},
	{"3.3.4", "PUBLISH with a topic alias that was never set", "30 < '' < 23 00 01 > >", closed, byVersion{"closed: protocol", "closed: protocol", "closed: 0x94"}},
	{"MQTT-3.3.2-14", "PUBLISH with a wildcard as response topic", "30 < 'a' < 08 'b/#' > >", closed, byVersion{"message a \"\" qos 0 {response-topic:b/#}", "closed: protocol", "closed: protocol"}},
	{"3.3.2.3.5", "PUBLISH with two response topics", "30 < 'a' < 08 'b' 08 'b' > >", closed, all("closed: duplicate")},
	{"3.3.2.3.6", "PUBLISH with two correlation data properties", "30 < 'a' < 09 'b' 09 'b' > >", closed, all("closed: duplicate")},
	{"MQTT-3.3.2-19", "PUBLISH with a content type that is not UTF-8", "30 < 'a' < 03 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.3.2.3.9", "PUBLISH with two content types", "30 < 'a' < 03 'b' 03 'b' > >", closed, all("closed: duplicate")},
	{"3.3.2.3.7", "PUBLISH with a user property that is not UTF-8", "30 < 'a' < 26 'k' 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.3.2.3.7", "PUBLISH with a truncated user property", "30 < 'a' < 26 'k' > >", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2.3.8", "PUBLISH with subscription identifier 0", "30 < 'a' < 0B 00 > >", closed, byVersion{"message a \"\" qos 0 {subscription-identifier:0}", "message a \"\" qos 0 {subscription-identifier:0}", "closed: protocol"}},
	{"3.3.2.3.8", "PUBLISH with two subscription identifiers", "30 < 'a' < 0B 01 0B 02 > >",
		"message a \"\" qos 0 {subscription-identifier:1 subscription-identifier:2}", all("closed: duplicate")},
	{"MQTT-3.3.2-18", "PUBLISH with equal user properties", "30 < 'a' < 26 'k' 'v' 26 'k' 'v' > >",
		"message a \"\" qos 0 {user-property:k=v user-property:k=v}", all("message a \"\" qos 0 {user-property:k=v user-property:k=v}")},

	{"3.4.2", "PUBACK without a body", "40 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.2", "PUBACK with a body of one byte", "40 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBACK with packet id 0", "40 02 00 00", closed, all("closed: protocol")},
	{"4.3.2", "PUBACK with an unknown packet id", "40 02 00 63", "", all("")},
	{"MQTT-3.4.2-1", "PUBACK with a code of SUBACK", "40 03 00 63 01", closed, byVersion{"", "closed: protocol", "closed: protocol"}},
	{"3.4.2.2", "PUBACK with a property length beyond the end of the packet", "40 04 00 63 00 05", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.2.2", "PUBACK with extra bytes at the end", "40 05 00 63 00 00 00", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBACK with a content type", "40 < 00 63 00 < 03 'b' > >", closed, all("closed: protocol")},
	{"3.4.2.2.2", "PUBACK with two reason strings", "40 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.5.2", "PUBREC with a body of one byte", "50 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBREC with packet id 0", "50 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBREC with an unknown packet id", "50 02 00 63", "> 62 03 00 63 92", all("> 62 02 00 63")},
	{"MQTT-3.5.2-1", "PUBREC with a code of SUBACK", "50 03 00 63 01", closed, byVersion{"> 62 02 00 63", "closed: protocol", "closed: protocol"}},
	{"3.5.2.2", "PUBREC with extra bytes at the end", "50 05 00 63 00 00 00", closed, byVersion{"> 62 02 00 63", "closed: malformed", "closed: malformed"}},
	{"3.5.2.2.2", "PUBREC with two reason strings", "50 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.6.2", "PUBREL with a body of one byte", "62 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBREL with packet id 0", "62 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBREL with an unknown packet id", "62 02 00 63", "> 70 03 00 63 92", all("> 70 02 00 63")},
	{"MQTT-3.6.2-1", "PUBREL with a code of PUBACK", "62 03 00 63 10", closed, byVersion{"> 70 02 00 63", "closed: protocol", "closed: protocol"}},
	{"3.6.2.2", "PUBREL with extra bytes at the end", "62 05 00 63 00 00 00", closed, byVersion{"> 70 02 00 63", "closed: malformed", "closed: malformed"}},
	{"3.6.2.2.2", "PUBREL with two reason strings", "62 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.7.2", "PUBCOMP with a body of one byte", "70 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBCOMP with packet id 0", "70 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBCOMP with an unknown packet id", "70 02 00 63", "", all("")},
	{"MQTT-3.7.2-1", "PUBCOMP with a code of PUBACK", "70 03 00 63 10", closed, byVersion{"", "closed: protocol", "closed: protocol"}},
	{"3.7.2.2", "PUBCOMP with extra bytes at the end", "70 05 00 63 00 00 00", closed, byVersion{"", "closed: malformed", "closed: malformed"}},
	{"3.7.2.2.2", "PUBCOMP with two reason strings", "70 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},

	{"3.9.2", "SUBACK without a body", "90 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.9.3", "SUBACK without a code", "90 < 00 01 <> >", closed, all("closed: protocol")},
	{"MQTT-2.2.1-3", "SUBACK with packet id 0", "90 < 00 00 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.9.3-2", "SUBACK with a code of UNSUBACK", "90 < 00 01 <> 11 >", closed, all("subscribed 1 [11]")},
	{"3.9.2.1.2", "SUBACK with two reason strings", "90 < 00 01 < 1F 'b' 1F 'b' > 00 >", closed, all("closed: duplicate")},
	{"2.2.2.2", "SUBACK with a subscription identifier", "90 < 00 01 < 0B 01 > 00 >", closed, all("closed: protocol")},
	{"3.11.2", "UNSUBACK without a body", "B0 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.11.3", "UNSUBACK without a code", "B0 < 00 01 <> >", closed, all("unsubscribed 1 []")},
	{"MQTT-2.2.1-3", "UNSUBACK with packet id 0", "B0 < 00 00 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.11.3-2", "UNSUBACK with a code of SUBACK", "B0 < 00 01 <> 02 >", closed, byVersion{"unsubscribed 1 []", "unsubscribed 1 []", "unsubscribed 1 [02]"}},
	{"3.11.2.1.2", "UNSUBACK with two reason strings", "B0 < 00 01 < 1F 'b' 1F 'b' > 00 >", closed, all("closed: duplicate")},
	{"3.13.1", "PINGRESP with a body", "D0 01 00", closed, byVersion{"", "", "closed: malformed"}},
	{"3.13", "PINGRESP without a PINGREQ", "D0 00", "", all("")},

	{"3.14.2.1", "DISCONNECT without a reason code", "E0 00", "closed", byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.14.2.1", "DISCONNECT with a reason code", "E0 01 8B", "closed: 0x8B", all("closed: 0x8B")},
	{"3.14.2.1", "DISCONNECT with a reason code that only clients may send", "E0 01 04", closed, all("closed: no connection")},
	{"MQTT-3.14.2-2", "DISCONNECT with a session expiry", "E0 < 8B < 11 00 00 00 05 > >", closed, all("closed: 0x8B")},
	{"3.14.2.2", "DISCONNECT with a property length beyond the end of the packet", "E0 03 8B 05 1F", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.14.2.2.3", "DISCONNECT with two reason strings", "E0 < 8B < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},

	{"3.15", "AUTH without a method", "F0 00", closed, all("closed: memory, the loop ends")},
	{"MQTT-4.12.0-6", "AUTH with a method that the client did not request", "F0 < 18 < 15 'M' > >", closed, byVersion{"", "", "closed: auth, the loop ends"}},
	{"3.15.2.2.2", "AUTH with two methods", "F0 < 18 < 15 'M' 15 'M' > >", closed, all("closed: duplicate")},
}

func TestMalformedConnack_Outcomes311(t *testing.T) { checkConnack(t, fakebroker.V311, connack311) }
func TestMalformedConnack_Outcomes5(t *testing.T)   { checkConnack(t, fakebroker.V5, connack5) }

// checkConnack is like check, but each row's packet is the broker's first packet.
func checkConnack(t *testing.T, v fakebroker.Version, rows []row) {
	t.Helper()
	t.Parallel()
	for _, r := range rows {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, v, setup{})
			x.Expect("10 **")
			require.Equal(t, r.actual.current(), x.outcome(r.send))
			x.end()
		})
	}
}

var connack311 = []row{
	{"MQTT-3.2.0-1", "PUBLISH before CONNACK", "30 < 'a' >", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "PUBACK before CONNACK", "40 02 00 01", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "PUBREC before CONNACK", "50 02 00 01", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "PUBREL before CONNACK", "62 02 00 01", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "PUBCOMP before CONNACK", "70 02 00 01", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "SUBACK before CONNACK", "90 03 00 01 00", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "UNSUBACK before CONNACK", "B0 02 00 01", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "PINGRESP before CONNACK", "D0 00", closed, all("closed: protocol")},
	{"3.2.1", "CONNACK without a body", "20 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.1", "CONNACK with a body of one byte", "20 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.1", "CONNACK with a body of three bytes", "20 03 00 00 00", closed, byVersion{"connected", "connected", "closed: malformed"}},
	{"MQTT-2.2.2-2", "CONNACK with flags in its first byte", "21 02 00 00", closed, byVersion{"connected", "closed: malformed", "closed: malformed"}},
	{"3.2.2.1", "CONNACK with reserved flags", "20 02 02 00", closed, byVersion{"connected", "connected", "closed: protocol"}},
	{"MQTT-3.2.2-1", "CONNACK with session present after a clean start", "20 02 01 00", closed, byVersion{"connected, session present", "connected, session present", "closed: protocol"}},
	{"3.2.2.3", "CONNACK with a reserved code", "20 02 00 06", closed, all("refused 0x06, closed: protocol")},
	{"3.2.2.3", "CONNACK: server unavailable", "20 02 00 03", "refused 0x03, closed: refused", all("refused 0x03, closed: refused")},
}

var connack5 = []row{
	{"MQTT-3.2.0-1", "PUBLISH before CONNACK", "30 < 'a' <> >", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "SUBACK before CONNACK", "90 < 00 01 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.14.0-1", "DISCONNECT before CONNACK", "E0 01 8B", closed, all("closed: 0x8B")},
	{"3.2.1", "CONNACK with a body of one byte", "20 01 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.2.3", "CONNACK without a property length", "20 02 00 00", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "CONNACK with flags in its first byte", "21 03 00 00 00", closed, byVersion{"connected", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.2.2-1", "CONNACK with reserved flags", "20 03 02 00 00", closed, byVersion{"connected", "connected", "closed: protocol"}},
	{"MQTT-3.2.2-4", "CONNACK with session present after a clean start", "20 03 01 00 00", closed, byVersion{"connected, session present", "connected, session present", "closed: protocol"}},
	{"MQTT-3.2.2-8", "CONNACK with a code of SUBACK", "20 03 00 01 00", closed, all("refused 0x01, closed: refused, the loop ends")},
	{"3.2.2.3", "CONNACK with extra bytes at the end", "20 04 00 00 00 00", closed, all("connected")},
	{"3.2.2.3", "CONNACK with a property length beyond the end of the packet", "20 04 00 00 05 21", closed, byVersion{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.2.3.3", "CONNACK with receive maximum 0", "20 < 00 00 < 21 00 00 > >", closed, all("closed: protocol")},
	{"3.2.2.3.3", "CONNACK with two receive maxima", "20 < 00 00 < 21 00 05 21 00 05 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.4", "CONNACK with maximum QoS 2", "20 < 00 00 < 24 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.4", "CONNACK with two maximum QoS properties", "20 < 00 00 < 24 01 24 01 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.5", "CONNACK with retain available 2", "20 < 00 00 < 25 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.6", "CONNACK with maximum packet size 0", "20 < 00 00 < 27 00 00 00 00 > >", closed, all("closed: protocol")},
	{"3.2.2.3.7", "CONNACK with an assigned client id for a client with an id", "20 < 00 00 < 12 'you' > >", "connected {assigned-client-identifier:you}", all("closed: protocol")},
	{"3.2.2.3.8", "CONNACK with two topic alias maxima", "20 < 00 00 < 22 00 05 22 00 05 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.9", "CONNACK with a reason string that is not UTF-8", "20 < 00 00 < 1F 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.2.2.3.11", "CONNACK with wildcard subscription available 2", "20 < 00 00 < 28 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.12", "CONNACK with subscription identifiers available 2", "20 < 00 00 < 29 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.13", "CONNACK with shared subscription available 2", "20 < 00 00 < 2A 02 > >", closed, all("closed: protocol")},
	{"2.2.2.2", "CONNACK with a content type", "20 < 00 00 < 03 'b' > >", closed, all("closed: protocol")},
	{"3.2.2.2", "CONNACK: server busy", "20 03 00 89 00", "refused 0x89, closed: protocol", all("refused 0x89, closed: protocol")},
}

// If the connection ends inside a packet, no callback reports the packet, and the next
// connection works.
func TestTruncatedPacket_IsDiscarded(t *testing.T) {
	both(t, "4.8", "4.8", func(t *testing.T, v fakebroker.Version) {
		for name, packet := range valid(v) {
			for _, n := range []int{1, 2, len(packet) / 2, len(packet) - 1} {
				if n < 1 || n >= len(packet) {
					continue
				}
				t.Run(fmt.Sprintf("%s cut after %d of %d", name, n, len(packet)), func(t *testing.T) {
					t.Parallel()
					x := dialAccepted(t, v, setup{})
					x.Send(packet[:n])
					if _, length := binary.Uvarint(packet[1:]); n > length { // inside the body the library reports errno
						x.loseAs("errno", false)
					} else {
						x.lose(false)
					}
					x.expectNothing()
					x.end()
				})
			}
		}
	})
}

// Packets that arrive in single bytes have the same outcome as whole packets.
func TestSingleBytes_HaveSameOutcome(t *testing.T) {
	both(t, "4.2", "4.2", func(t *testing.T, v fakebroker.Version) {
		for name, packet := range valid(v) {
			if name == "DISCONNECT" {
				continue // ends the connection
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x := dialAccepted(t, v, setup{})
				whole := x.outcome(packet)
				for _, b := range append(packet, x.probe()...) {
					x.Send([]byte{b})
					time.Sleep(50 * time.Microsecond) // otherwise the kernel joins the bytes
				}
				for line := x.nextEvent(); line != probeReceived; line = x.nextEvent() {
					require.Contains(t, whole, line)
				}
				for _, answer := range x.answers(x.v.Puback(probeID)) {
					require.Contains(t, whole, answer)
				}
				x.end()
			})
		}
	})
}

// valid returns a packet of each type that a broker may send after CONNACK.
func valid(v fakebroker.Version) map[string][]byte {
	props := []fakebroker.Property{fakebroker.UserProperty("name", "value")}
	packets := map[string][]byte{
		"PUBLISH":        v.Publish(0, "a/b", 0, "hello", props...),
		"PUBLISH QoS 1":  v.Publish(2, "a/b", 7, "hello", props...),
		"PUBLISH QoS 2":  v.Publish(4, "a/b", 8, "hello", props...),
		"PUBLISH, large": v.Publish(0, "a/b", 0, strings.Repeat("x", 300)),
		"PUBACK":         v.Puback(9),
		"PUBREC":         v.Pubrec(9),
		"PUBREL":         v.Pubrel(9),
		"PUBCOMP":        v.Pubcomp(9),
		"SUBACK":         v.Suback(9, []byte{0, 1, 2, 0x80}),
		"UNSUBACK":       v.Unsuback(9, []byte{0, 0x11}),
		"PINGRESP":       fakebroker.Bytes(fakebroker.PINGRESP),
	}
	if v == fakebroker.V5 {
		packets["DISCONNECT"] = v.Disconnect(0x8B, props...)
		for name, kind := range map[string]byte{"PUBACK": fakebroker.PUBACK, "PUBREC": fakebroker.PUBREC, "PUBREL": fakebroker.PUBREL, "PUBCOMP": fakebroker.PUBCOMP} {
			packets[name+" with properties"] = v.Answer(kind, 9, 0, props...)
		}
		packets["SUBACK with properties"] = v.Suback(9, []byte{0}, props...)
	}
	return packets
}
