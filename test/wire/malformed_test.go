package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// row is something the peer does, what the text wants of the client, and what
// the library does. An outcome is the callbacks and the packets (after >) that
// come of it; then "closed" with the reason, or nothing when the connection
// lives on. The text has no word for the reason, and is content with any.
type row struct {
	clause, name string
	send         any
	spec         string
	does         does
}

// closed is the outcome that the text knows.
const closed = "closed"

// follows tells whether an outcome is what the text wants.
func follows(spec, outcome string) bool {
	if spec == closed {
		return strings.HasPrefix(outcome, closed)
	}
	return spec == outcome
}

// outcome sends bytes and a probe behind them, and says what came of it. It
// leaves an exchange whose client has a connection that works.
func (x *exchange) outcome(send any) string {
	x.t.Helper()
	x.Send(send, x.behind(send))
	var parts []string
	for line := x.next(); ; line = x.next() {
		if line == probeHeard {
			parts = append(parts, x.answers(x.v.Puback(probeID))...)
			x.quiet()
			return strings.Join(parts, ", ")
		}
		if reason, gone := strings.CutPrefix(line, "disconnected"); gone {
			parts = append(append(parts, x.answers(nil)...), closed+reason)
			return strings.Join(append(parts, x.recover()...), ", ")
		}
		parts = append(parts, line)
	}
}

// behind is the probe, except behind a DISCONNECT, which is the last there is.
func (x *exchange) behind(send any) []byte {
	if text, ok := send.(string); x.alone || ok && strings.HasPrefix(text, "E0") && x.v == peer.V5 {
		return nil
	}
	return x.probe()
}

// answers are the client's packets before this one, or until it closes.
func (x *exchange) answers(last []byte) (parts []string) {
	x.t.Helper()
	for {
		packet, err := x.NextBytes()
		if err != nil {
			require.Nil(x.t, last, "the client has closed")
			return parts
		}
		if string(packet) == string(last) {
			return parts
		}
		parts = append(parts, fmt.Sprintf("> % X", packet))
	}
}

// recover waits for the next connection, which works. It says if the loop had
// ended before.
func (x *exchange) recover() (ended []string) {
	x.t.Helper()
	x.Close()
	if _, err := x.anew(); err != nil {
		ended = append(ended, loopEnds)
	}
	x.accept(false)
	x.quiet()
	return ended
}

const loopEnds = "the loop ends"

// check runs the rows, each with a client of its own.
func check(t *testing.T, v peer.Version, rows []row) {
	t.Helper()
	t.Parallel()
	for _, r := range rows {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			t.Parallel()
			x := meet(t, v, setup{})
			require.Equal(t, r.does.here(), x.outcome(r.send))
			x.end()
		})
	}
}

// Packets that no broker may send, or that nobody may.
func TestMalformed311(t *testing.T) { check(t, peer.V311, malformed311) }
func TestMalformed5(t *testing.T)   { check(t, peer.V5, malformed5) }

var malformed311 = []row{
	{"2.2.1", "packet type 0", "00 00", closed, all("closed: protocol")},
	{"2.2.1", "packet type 15", "F0 00", closed, all("closed: protocol")},
	{"3.1", "CONNECT from the server", "10 < 'MQTT' 04 02 00 3C 'x' >", closed, all("closed: protocol")},
	{"3.8", "SUBSCRIBE from the server", "82 < 00 01 'a' 00 >", closed, all("closed: protocol")},
	{"3.10", "UNSUBSCRIBE from the server", "A2 < 00 01 'a' >", closed, all("closed: protocol")},
	{"3.12", "PINGREQ from the server", "C0 00", closed, does{"> D0 00", "closed: protocol", "closed: protocol"}},
	{"3.14", "DISCONNECT from the server", "E0 00", closed, all("closed: protocol")},
	{"2.2.3", "remaining length of five bytes", "30 FF FF FF FF 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"MQTT-2.2.2-2", "flags of PUBACK", "41 02 00 01", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of PUBREC", "51 02 00 01", closed, does{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "flags of PUBREL: none", "60 02 00 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "flags of PUBREL: more", "63 02 00 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of PUBCOMP", "71 02 00 01", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of SUBACK", "91 03 00 01 00", closed, does{"subscribed 1 [00]", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of UNSUBACK", "B1 02 00 01", closed, does{"unsubscribed 1 []", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of PINGRESP", "D1 00", closed, does{"", "", "closed: malformed"}},
	{"MQTT-2.2.2-2", "flags of CONNACK", "21 02 00 00", closed, does{"connected", "closed: malformed", "closed: protocol"}},
	{"MQTT-3.3.1-4", "PUBLISH of QoS 3", "36 < 'a' 00 01 >", closed, all("closed: protocol")},
	{"MQTT-3.3.1-2", "PUBLISH of QoS 0 with DUP", "38 < 'a' >", closed, all("message a \"\" qos 0")},

	{"MQTT-3.2.0-2", "a second CONNACK", "20 02 00 00", closed, does{"connected", "connected", "closed: protocol"}},
	{"3.3.2", "PUBLISH without a body", "30 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with half a topic length", "30 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with a topic longer than itself", `30 < 00 05 "a" >`, closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH to +", "30 < 'a/+' >", closed, does{"message a/+ \"\" qos 0", "message a/+ \"\" qos 0", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH to #", "30 < '#' >", closed, does{"message # \"\" qos 0", "message # \"\" qos 0", "closed: malformed"}},
	{"MQTT-4.7.3-1", "PUBLISH to no topic", "30 < '' >", closed, all("closed: protocol")},
	{"MQTT-1.5.3-2", "PUBLISH to a NUL", "30 < 00 01 00 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH to a surrogate", "30 < 00 03 ED A0 80 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH to an overlong sequence", "30 < 00 02 C0 AF >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH to a sequence cut short", "30 < 00 02 E2 82 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH to a lone continuation byte", "30 < 00 01 80 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-1", "PUBLISH to a code point beyond Unicode", "30 < 00 04 F4 90 80 80 >", closed, all("closed: UTF-8")},
	{"1.5.3", "PUBLISH to a control character", "30 < 00 01 01 >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.3-3", "PUBLISH to a byte order mark", "30 < 00 04 EF BB BF 61 >", "message \ufeffa \"\" qos 0", all("message \ufeffa \"\" qos 0")},
	{"MQTT-2.3.1-1", "PUBLISH of QoS 1 with id 0", "32 < 'a' 00 00 >", closed, all("closed: protocol")},
	{"MQTT-2.3.1-1", "PUBLISH of QoS 2 with id 0", "34 < 'a' 00 00 >", closed, all("closed: protocol")},
	{"2.3.1", "PUBLISH of QoS 1 without an id", "32 < 'a' >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.3.1", "PUBLISH of QoS 2 with half an id", "34 < 'a' 00 >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"3.4.1", "PUBACK without a body", "40 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.1", "PUBACK of one byte", "40 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.1", "PUBACK of three bytes", "40 03 00 01 00", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBACK of id 0", "40 02 00 00", closed, all("closed: protocol")},
	{"4.3.2", "PUBACK of an unknown id", "40 02 00 63", "", all("")},
	{"3.5.1", "PUBREC without a body", "50 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.5.1", "PUBREC of three bytes", "50 03 00 01 00", closed, does{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBREC of id 0", "50 02 00 00", closed, all("closed: protocol")},
	{"MQTT-4.3.3-1", "PUBREC of an unknown id", "50 02 00 63", "> 62 02 00 63", all("> 62 02 00 63")},
	{"3.6.1", "PUBREL without a body", "62 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.6.1", "PUBREL of three bytes", "62 03 00 01 00", closed, does{"> 70 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBREL of id 0", "62 02 00 00", closed, all("closed: protocol")},
	{"MQTT-4.3.3-2", "PUBREL of an unknown id", "62 02 00 63", "> 70 02 00 63", all("> 70 02 00 63")},
	{"3.7.1", "PUBCOMP without a body", "70 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.7.1", "PUBCOMP of three bytes", "70 03 00 01 00", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.3.1-1", "PUBCOMP of id 0", "70 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBCOMP of an unknown id", "70 02 00 63", "", all("")},
	{"3.9.1", "SUBACK without a body", "90 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.9.3", "SUBACK without a code", "90 02 00 01", closed, all("closed: protocol")},
	{"MQTT-2.3.1-1", "SUBACK of id 0", "90 03 00 00 00", closed, all("closed: protocol")},
	{"MQTT-3.9.3-2", "SUBACK with a reserved code", "90 03 00 01 03", closed, all("subscribed 1 [03]")},
	{"MQTT-3.8.4-2", "SUBACK of an unknown id", "90 03 00 63 00", "", all("subscribed 99 [00]")},
	{"3.11.1", "UNSUBACK without a body", "B0 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.11.1", "UNSUBACK of three bytes", "B0 03 00 01 00", closed, all("unsubscribed 1 []")},
	{"MQTT-2.3.1-1", "UNSUBACK of id 0", "B0 02 00 00", closed, all("closed: protocol")},
	{"MQTT-3.10.4-4", "UNSUBACK of an unknown id", "B0 02 00 63", "", all("unsubscribed 99 []")},
	{"3.13.1", "PINGRESP with a body", "D0 01 00", closed, does{"", "", "closed: malformed"}},
	{"3.13", "PINGRESP that nobody asked for", "D0 00", "", all("")},
}

var malformed5 = []row{
	{"2.1.2", "packet type 0", "00 00", closed, all("closed: protocol")},
	{"3.1", "CONNECT from the server", "10 < 'MQTT' 05 02 00 3C <> 'x' >", closed, all("closed: protocol")},
	{"3.8", "SUBSCRIBE from the server", "82 < 00 01 <> 'a' 00 >", closed, all("closed: protocol")},
	{"3.10", "UNSUBSCRIBE from the server", "A2 < 00 01 <> 'a' >", closed, all("closed: protocol")},
	{"3.12", "PINGREQ from the server", "C0 00", closed, does{"> D0 00", "closed: protocol", "closed: protocol"}},
	{"1.5.5", "remaining length of five bytes", "30 FF FF FF FF 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-1.5.5-1", "remaining length longer than it need be", "D0 80 00", closed, all("")},

	{"MQTT-2.1.3-1", "flags of PUBACK", "41 02 00 01", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of PUBREC", "51 02 00 01", closed, does{"> 62 02 00 01", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "flags of PUBREL: none", "60 02 00 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.6.1-1", "flags of PUBREL: more", "63 02 00 01", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of PUBCOMP", "71 02 00 01", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of SUBACK", "91 04 00 01 00 00", closed, does{"subscribed 1 [00]", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of UNSUBACK", "B1 04 00 01 00 00", closed, does{"unsubscribed 1 []", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of PINGRESP", "D1 00", closed, does{"", "", "closed: malformed"}},
	{"MQTT-2.1.3-1", "flags of DISCONNECT", "E1 01 8B", closed, does{"closed: 0x8B", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.15.1-1", "flags of AUTH", "F1 02 00 00", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.1-4", "PUBLISH of QoS 3", "36 < 'a' 00 01 <> >", closed, all("closed: protocol")},
	{"MQTT-3.3.1-2", "PUBLISH of QoS 0 with DUP", "38 < 'a' <> >", closed, all("message a \"\" qos 0")},

	{"MQTT-3.2.0-2", "a second CONNACK", "20 03 00 00 00", closed, does{"connected", "connected", "closed: protocol"}},
	{"3.3.2", "PUBLISH without a body", "30 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH with a topic longer than itself", `30 < 00 05 "a" >`, closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2", "PUBLISH without a property length", "30 < 'a' >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.3.2-2", "PUBLISH to +", "30 < 'a/+' <> >", closed, does{"message a/+ \"\" qos 0", "message a/+ \"\" qos 0", "closed: malformed"}},
	{"3.3.2.1", "PUBLISH to no topic, without an alias", "30 < '' <> >", closed, all("closed: protocol")},
	{"MQTT-1.5.4-2", "PUBLISH to a NUL", "30 < 00 01 00 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-1", "PUBLISH to a surrogate", "30 < 00 03 ED A0 80 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-1", "PUBLISH to a sequence cut short", "30 < 00 02 E2 82 <> >", closed, all("closed: UTF-8")},
	{"MQTT-1.5.4-3", "PUBLISH to a byte order mark", "30 < 00 04 EF BB BF 61 <> >", "message \ufeffa \"\" qos 0", all("message \ufeffa \"\" qos 0")},
	{"MQTT-2.2.1-3", "PUBLISH of QoS 1 with id 0", "32 < 'a' 00 00 <> >", closed, all("closed: protocol")},
	{"2.2.1", "PUBLISH of QoS 2 with half an id", "34 < 'a' 00 >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},

	{"2.2.2.1", "PUBLISH with properties longer than itself", "30 < 'a' 0A 01 00 >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.2.2.1", "PUBLISH with a property that overlaps the payload", `30 < 'a' 02 03 00 01 "x" >`, closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-1.5.5-1", "PUBLISH with a property length longer than it need be", "30 < 'a' 80 00 >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"1.5.5", "PUBLISH with a property length of five bytes", "30 < 'a' 80 80 80 80 01 >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBLISH with a property of CONNACK", "30 < 'a' < 13 00 05 > >", closed, all("closed: protocol")},
	{"2.2.2.2", "PUBLISH with a property of a will", "30 < 'a' < 18 00 00 00 05 > >", closed, all("closed: protocol")},
	{"3.3.2.3.2", "PUBLISH with two payload formats", "30 < 'a' < 01 00 01 00 > >", closed, all("closed: duplicate")},
	{"3.3.2.3.2", "PUBLISH with payload format 2", "30 < 'a' < 01 02 > >", closed, does{"message a \"\" qos 0 {payload-format-indicator:2}", "closed: protocol", "closed: protocol"}},
	{"3.3.2.3.3", "PUBLISH with two expiry intervals", "30 < 'a' < 02 00 00 00 01 02 00 00 00 01 > >", closed, all("closed: duplicate")},
	{"3.3.2.3.4", "PUBLISH with two aliases", "30 < 'a' < 23 00 01 23 00 01 > >", closed, all("closed: duplicate")},
	{"MQTT-3.3.2-8", "PUBLISH with alias 0", "30 < 'a' < 23 00 00 > >", closed, all("closed: protocol")},
	{"MQTT-3.1.2-26", "PUBLISH with an alias beyond our maximum", "30 < 'a' < 23 00 01 > >", closed, does{"message a \"\" qos 0 {topic-alias:1}", "message a \"\" qos 0 {topic-alias:1}", "closed: 0x94"}},
	{"3.3.4", "PUBLISH with an alias that was never set", "30 < '' < 23 00 01 > >", closed, does{"closed: protocol", "closed: protocol", "closed: 0x94"}},
	{"MQTT-3.3.2-14", "PUBLISH with a wildcard as response topic", "30 < 'a' < 08 'b/#' > >", closed, does{"message a \"\" qos 0 {response-topic:b/#}", "closed: protocol", "closed: protocol"}},
	{"3.3.2.3.5", "PUBLISH with two response topics", "30 < 'a' < 08 'b' 08 'b' > >", closed, all("closed: duplicate")},
	{"3.3.2.3.6", "PUBLISH with two correlations", "30 < 'a' < 09 'b' 09 'b' > >", closed, all("closed: duplicate")},
	{"MQTT-3.3.2-19", "PUBLISH with a content type that is no UTF-8", "30 < 'a' < 03 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.3.2.3.9", "PUBLISH with two content types", "30 < 'a' < 03 'b' 03 'b' > >", closed, all("closed: duplicate")},
	{"3.3.2.3.7", "PUBLISH with a user property that is no UTF-8", "30 < 'a' < 26 'k' 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.3.2.3.7", "PUBLISH with half a user property", "30 < 'a' < 26 'k' > >", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.3.2.3.8", "PUBLISH with subscription identifier 0", "30 < 'a' < 0B 00 > >", closed, does{"message a \"\" qos 0 {subscription-identifier:0}", "message a \"\" qos 0 {subscription-identifier:0}", "closed: protocol"}},
	{"3.3.2.3.8", "PUBLISH with two subscription identifiers", "30 < 'a' < 0B 01 0B 02 > >",
		"message a \"\" qos 0 {subscription-identifier:1 subscription-identifier:2}", all("closed: duplicate")},
	{"MQTT-3.3.2-18", "PUBLISH with equal user properties", "30 < 'a' < 26 'k' 'v' 26 'k' 'v' > >",
		"message a \"\" qos 0 {user-property:k=v user-property:k=v}", all("message a \"\" qos 0 {user-property:k=v user-property:k=v}")},

	{"3.4.2", "PUBACK without a body", "40 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.2", "PUBACK of one byte", "40 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBACK of id 0", "40 02 00 00", closed, all("closed: protocol")},
	{"4.3.2", "PUBACK of an unknown id", "40 02 00 63", "", all("")},
	{"MQTT-3.4.2-1", "PUBACK with a code of SUBACK", "40 03 00 63 01", closed, does{"", "closed: protocol", "closed: protocol"}},
	{"3.4.2.2", "PUBACK with properties longer than itself", "40 04 00 63 00 05", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.4.2.2", "PUBACK with bytes behind it", "40 05 00 63 00 00 00", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBACK with a content type", "40 < 00 63 00 < 03 'b' > >", closed, all("closed: protocol")},
	{"3.4.2.2.2", "PUBACK with two reason strings", "40 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.5.2", "PUBREC of one byte", "50 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBREC of id 0", "50 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBREC of an unknown id", "50 02 00 63", "> 62 03 00 63 92", all("> 62 02 00 63")},
	{"MQTT-3.5.2-1", "PUBREC with a code of SUBACK", "50 03 00 63 01", closed, does{"> 62 02 00 63", "closed: protocol", "closed: protocol"}},
	{"3.5.2.2", "PUBREC with bytes behind it", "50 05 00 63 00 00 00", closed, does{"> 62 02 00 63", "closed: malformed", "closed: malformed"}},
	{"3.5.2.2.2", "PUBREC with two reason strings", "50 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.6.2", "PUBREL of one byte", "62 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBREL of id 0", "62 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBREL of an unknown id", "62 02 00 63", "> 70 03 00 63 92", all("> 70 02 00 63")},
	{"MQTT-3.6.2-1", "PUBREL with a code of PUBACK", "62 03 00 63 10", closed, does{"> 70 02 00 63", "closed: protocol", "closed: protocol"}},
	{"3.6.2.2", "PUBREL with bytes behind it", "62 05 00 63 00 00 00", closed, does{"> 70 02 00 63", "closed: malformed", "closed: malformed"}},
	{"3.6.2.2.2", "PUBREL with two reason strings", "62 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},
	{"3.7.2", "PUBCOMP of one byte", "70 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.2.1-3", "PUBCOMP of id 0", "70 02 00 00", closed, all("closed: protocol")},
	{"4.3.3", "PUBCOMP of an unknown id", "70 02 00 63", "", all("")},
	{"MQTT-3.7.2-1", "PUBCOMP with a code of PUBACK", "70 03 00 63 10", closed, does{"", "closed: protocol", "closed: protocol"}},
	{"3.7.2.2", "PUBCOMP with bytes behind it", "70 05 00 63 00 00 00", closed, does{"", "closed: malformed", "closed: malformed"}},
	{"3.7.2.2.2", "PUBCOMP with two reason strings", "70 < 00 63 00 < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},

	{"3.9.2", "SUBACK without a body", "90 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.9.3", "SUBACK without a code", "90 < 00 01 <> >", closed, all("closed: protocol")},
	{"MQTT-2.2.1-3", "SUBACK of id 0", "90 < 00 00 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.9.3-2", "SUBACK with a code of UNSUBACK", "90 < 00 01 <> 11 >", closed, all("subscribed 1 [11]")},
	{"3.9.2.1.2", "SUBACK with two reason strings", "90 < 00 01 < 1F 'b' 1F 'b' > 00 >", closed, all("closed: duplicate")},
	{"2.2.2.2", "SUBACK with a subscription identifier", "90 < 00 01 < 0B 01 > 00 >", closed, all("closed: protocol")},
	{"3.11.2", "UNSUBACK without a body", "B0 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.11.3", "UNSUBACK without a code", "B0 < 00 01 <> >", closed, all("unsubscribed 1 []")},
	{"MQTT-2.2.1-3", "UNSUBACK of id 0", "B0 < 00 00 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.11.3-2", "UNSUBACK with a code of SUBACK", "B0 < 00 01 <> 02 >", closed, does{"unsubscribed 1 []", "unsubscribed 1 []", "unsubscribed 1 [02]"}},
	{"3.11.2.1.2", "UNSUBACK with two reason strings", "B0 < 00 01 < 1F 'b' 1F 'b' > 00 >", closed, all("closed: duplicate")},
	{"3.13.1", "PINGRESP with a body", "D0 01 00", closed, does{"", "", "closed: malformed"}},
	{"3.13", "PINGRESP that nobody asked for", "D0 00", "", all("")},

	{"3.14.2.1", "DISCONNECT without a reason", "E0 00", "closed", does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.14.2.1", "DISCONNECT with a reason", "E0 01 8B", "closed: 0x8B", all("closed: 0x8B")},
	{"3.14.2.1", "DISCONNECT with a reason of the client's", "E0 01 04", closed, all("closed: no connection")},
	{"MQTT-3.14.2-2", "DISCONNECT with a session expiry", "E0 < 8B < 11 00 00 00 05 > >", closed, all("closed: 0x8B")},
	{"3.14.2.2", "DISCONNECT with properties longer than itself", "E0 03 8B 05 1F", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.14.2.2.3", "DISCONNECT with two reason strings", "E0 < 8B < 1F 'b' 1F 'b' > >", closed, all("closed: duplicate")},

	{"3.15", "AUTH without a method", "F0 00", closed, all("closed: memory, the loop ends")},
	{"MQTT-4.12.0-6", "AUTH with a method that we did not ask for", "F0 < 18 < 15 'M' > >", closed, does{"", "", "closed: auth, the loop ends"}},
	{"3.15.2.2.2", "AUTH with two methods", "F0 < 18 < 15 'M' 15 'M' > >", closed, all("closed: duplicate")},
}

// What comes before the CONNACK, and CONNACKs that are wrong.
func TestMalformedConnack311(t *testing.T) { checkConnack(t, peer.V311, connack311) }
func TestMalformedConnack5(t *testing.T)   { checkConnack(t, peer.V5, connack5) }

func checkConnack(t *testing.T, v peer.Version, rows []row) {
	t.Helper()
	t.Parallel()
	for _, r := range rows {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, v, setup{})
			x.Expect("10 **")
			require.Equal(t, r.does.here(), x.outcome(r.send))
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
	{"3.2.1", "CONNACK without a body", "20 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.1", "CONNACK of one byte", "20 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.1", "CONNACK of three bytes", "20 03 00 00 00", closed, does{"connected", "connected", "closed: malformed"}},
	{"MQTT-2.2.2-2", "CONNACK with flags in its first byte", "21 02 00 00", closed, does{"connected", "closed: malformed", "closed: malformed"}},
	{"3.2.2.1", "CONNACK with reserved flags", "20 02 02 00", closed, does{"connected", "connected", "closed: protocol"}},
	{"MQTT-3.2.2-1", "CONNACK with a session after a clean start", "20 02 01 00", closed, does{"connected, session present", "connected, session present", "closed: protocol"}},
	{"3.2.2.3", "CONNACK with a reserved code", "20 02 00 06", closed, all("refused 0x06, closed: protocol")},
	{"3.2.2.3", "CONNACK: server unavailable", "20 02 00 03", "refused 0x03, closed: refused", all("refused 0x03, closed: refused")},
}

var connack5 = []row{
	{"MQTT-3.2.0-1", "PUBLISH before CONNACK", "30 < 'a' <> >", closed, all("closed: protocol")},
	{"MQTT-3.2.0-1", "SUBACK before CONNACK", "90 < 00 01 <> 00 >", closed, all("closed: protocol")},
	{"MQTT-3.14.0-1", "DISCONNECT before CONNACK", "E0 01 8B", closed, all("closed: 0x8B")},
	{"3.2.1", "CONNACK of one byte", "20 01 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.2.3", "CONNACK without a property length", "20 02 00 00", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"MQTT-2.1.3-1", "CONNACK with flags in its first byte", "21 03 00 00 00", closed, does{"connected", "closed: malformed", "closed: malformed"}},
	{"MQTT-3.2.2-1", "CONNACK with reserved flags", "20 03 02 00 00", closed, does{"connected", "connected", "closed: protocol"}},
	{"MQTT-3.2.2-4", "CONNACK with a session after a clean start", "20 03 01 00 00", closed, does{"connected, session present", "connected, session present", "closed: protocol"}},
	{"MQTT-3.2.2-8", "CONNACK with a code of SUBACK", "20 03 00 01 00", closed, all("refused 0x01, closed: refused, the loop ends")},
	{"3.2.2.3", "CONNACK with bytes behind it", "20 04 00 00 00 00", closed, all("connected")},
	{"3.2.2.3", "CONNACK with properties longer than itself", "20 04 00 00 05 21", closed, does{"closed: protocol", "closed: malformed", "closed: malformed"}},
	{"3.2.2.3.3", "CONNACK with receive maximum 0", "20 < 00 00 < 21 00 00 > >", closed, all("closed: protocol")},
	{"3.2.2.3.3", "CONNACK with two receive maxima", "20 < 00 00 < 21 00 05 21 00 05 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.4", "CONNACK with maximum QoS 2", "20 < 00 00 < 24 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.4", "CONNACK with two maximum QoS", "20 < 00 00 < 24 01 24 01 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.5", "CONNACK with retain available 2", "20 < 00 00 < 25 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.6", "CONNACK with maximum packet size 0", "20 < 00 00 < 27 00 00 00 00 > >", closed, all("closed: protocol")},
	{"3.2.2.3.7", "CONNACK with a client id for one that has its own", "20 < 00 00 < 12 'you' > >", "connected {assigned-client-identifier:you}", all("closed: protocol")},
	{"3.2.2.3.8", "CONNACK with two alias maxima", "20 < 00 00 < 22 00 05 22 00 05 > >", closed, all("closed: duplicate")},
	{"3.2.2.3.9", "CONNACK with a reason that is no UTF-8", "20 < 00 00 < 1F 00 01 80 > >", closed, all("closed: UTF-8")},
	{"3.2.2.3.11", "CONNACK with wildcards available 2", "20 < 00 00 < 28 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.12", "CONNACK with identifiers available 2", "20 < 00 00 < 29 02 > >", closed, all("closed: protocol")},
	{"3.2.2.3.13", "CONNACK with shared subscriptions available 2", "20 < 00 00 < 2A 02 > >", closed, all("closed: protocol")},
	{"2.2.2.2", "CONNACK with a content type", "20 < 00 00 < 03 'b' > >", closed, all("closed: protocol")},
	{"3.2.2.2", "CONNACK: server busy", "20 03 00 89 00", "refused 0x89, closed: protocol", all("refused 0x89, closed: protocol")},
}

// A packet of which only the first bytes come, and then the end of the
// connection: nothing is told, and the next connection is not confused.
func TestTruncated(t *testing.T) {
	both(t, "4.8", "4.8", func(t *testing.T, v peer.Version) {
		for name, packet := range valid(v) {
			for _, n := range []int{1, 2, len(packet) / 2, len(packet) - 1} {
				if n < 1 || n >= len(packet) {
					continue
				}
				t.Run(fmt.Sprintf("%s cut after %d of %d", name, n, len(packet)), func(t *testing.T) {
					t.Parallel()
					x := meet(t, v, setup{})
					x.Send(packet[:n])
					if _, length := binary.Uvarint(packet[1:]); n > length { // in the body the library looks at errno
						x.loseAs("errno", false)
					} else {
						x.lose(false)
					}
					x.quiet()
					x.end()
				})
			}
		}
	})
}

// The same packets in single bytes have the same outcome as in one piece.
func TestByteByByte(t *testing.T) {
	both(t, "4.2", "4.2", func(t *testing.T, v peer.Version) {
		for name, packet := range valid(v) {
			if name == "DISCONNECT" {
				continue // ends the connection
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x := meet(t, v, setup{})
				whole := x.outcome(packet)
				for _, b := range append(packet, x.probe()...) {
					x.Send([]byte{b})
					time.Sleep(50 * time.Microsecond) // or the kernel joins them
				}
				for line := x.next(); line != probeHeard; line = x.next() {
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

// valid has a packet of each type that a broker may send at any time.
func valid(v peer.Version) map[string][]byte {
	props := []peer.Property{peer.UserProperty("name", "value")}
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
		"PINGRESP":       peer.Bytes(peer.PINGRESP),
	}
	if v == peer.V5 {
		packets["DISCONNECT"] = v.Disconnect(0x8B, props...)
		for name, kind := range map[string]byte{"PUBACK": peer.PUBACK, "PUBREC": peer.PUBREC, "PUBREL": peer.PUBREL, "PUBCOMP": peer.PUBCOMP} {
			packets[name+" with properties"] = v.Answer(kind, 9, 0, props...)
		}
		packets["SUBACK with properties"] = v.Suback(9, []byte{0}, props...)
	}
	return packets
}
