package wire

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// The reason codes that each acknowledgement may have, by the tables of MQTT 5.
var reasonCodes = map[byte][]byte{
	peer.PUBACK:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	peer.PUBREC:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	peer.PUBREL:   {0x00, 0x92},
	peer.PUBCOMP:  {0x00, 0x92},
	peer.SUBACK:   {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
	peer.UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
}

// eachCode runs an exchange for each code, short and with a reason string.
func eachCode(t *testing.T, clause string, kind byte, exchange func(x *exchange, code byte, props []peer.Property, told string)) {
	t.Helper()
	t.Parallel()
	for _, code := range reasonCodes[kind] {
		t.Run(fmt.Sprintf("5 %s code 0x%02X", clause, code), func(t *testing.T) {
			t.Parallel()
			x := meet(t, peer.V5, setup{})
			exchange(x, code, nil, "")
			exchange(x, code, []peer.Property{peer.ReasonString("why"), peer.UserProperty("k", "v")}, " {reason-string:why user-property:k=v}")
			x.quiet()
			x.end()
		})
	}
}

func TestPubackCodes(t *testing.T) {
	eachCode(t, "MQTT-3.4.2-1", peer.PUBACK, func(x *exchange, code byte, props []peer.Property, told string) {
		mid := x.publish("a", "", 1)
		x.Expect(x.v.Publish(2, "a", mid, ""))
		x.Send(x.v.Answer(peer.PUBACK, mid, code, props...))
		x.hears(published(mid) + failure(mosquitto.ReasonCode(code)) + told)
	})
}

// The library keeps the properties of PUBREC to itself.
func TestPubrecCodes(t *testing.T) {
	eachCode(t, "MQTT-3.5.2-1", peer.PUBREC, func(x *exchange, code byte, props []peer.Property, _ string) {
		mid := x.publish("a", "", 2)
		x.Expect(x.v.Publish(4, "a", mid, ""))
		x.Send(x.v.Answer(peer.PUBREC, mid, code, props...))
		if code >= 0x80 {
			x.hears(published(mid) + failure(mosquitto.ReasonCode(code)))
			return
		}
		x.Expect(x.v.Pubrel(mid))
		x.Send(x.v.Pubcomp(mid))
		x.hears(published(mid))
	})
}

func TestPubrelCodes(t *testing.T) {
	eachCode(t, "MQTT-3.6.2-1", peer.PUBREL, func(x *exchange, code byte, props []peer.Property, _ string) {
		x.Send(x.v.Publish(4, "a", 7, ""))
		x.Expect(x.v.Pubrec(7))
		x.Send(x.v.Answer(peer.PUBREL, 7, code, props...))
		x.Expect(x.v.Pubcomp(7))
		x.hears(`message a "" qos 2`)
	})
}

func TestPubcompCodes(t *testing.T) {
	eachCode(t, "MQTT-3.7.2-1", peer.PUBCOMP, func(x *exchange, code byte, props []peer.Property, told string) {
		mid := x.publish("a", "", 2)
		x.Expect(x.v.Publish(4, "a", mid, ""))
		x.Send(x.v.Pubrec(mid))
		x.Expect(x.v.Pubrel(mid))
		x.Send(x.v.Answer(peer.PUBCOMP, mid, code, props...))
		x.hears(published(mid) + failure(mosquitto.ReasonCode(code)) + told)
	})
}

func TestSubackCodes(t *testing.T) {
	eachCode(t, "MQTT-3.9.3-2", peer.SUBACK, func(x *exchange, code byte, props []peer.Property, told string) {
		mid, err := x.c.Subscribe("a", 2)
		require.NoError(x.t, err)
		x.Expect(x.v.Subscribe(uint16(mid), nil, peer.Filter{Name: "a", Options: 2}))
		x.Send(x.v.Suback(uint16(mid), []byte{code}, props...))
		x.hears(fmt.Sprintf("subscribed %d [%02X]%s", mid, code, told))
	})
}

// Before 2.1 the library keeps the codes of UNSUBACK to itself.
func TestUnsubackCodes(t *testing.T) {
	eachCode(t, "MQTT-3.11.3-2", peer.UNSUBACK, func(x *exchange, code byte, props []peer.Property, told string) {
		mid, err := x.c.Unsubscribe("a")
		require.NoError(x.t, err)
		x.Expect(x.v.Unsubscribe(uint16(mid), nil, "a"))
		x.Send(x.v.Unsuback(uint16(mid), []byte{code}, props...))
		codes := "[]"
		if has21() {
			codes = fmt.Sprintf("[%02X]", code)
		}
		x.hears(fmt.Sprintf("unsubscribed %d %s%s", mid, codes, told))
	})
}

// The codes of the broker's DISCONNECT; the library drops the properties. Run
// connects again whatever the code.
func TestDisconnectCodes(t *testing.T) {
	t.Parallel()
	for _, code := range []byte{
		0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
		0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
	} {
		t.Run(fmt.Sprintf("5 MQTT-3.14.2-1 code 0x%02X", code), func(t *testing.T) {
			t.Parallel()
			x := meet(t, peer.V5, setup{})
			x.Send(x.v.Disconnect(code, peer.ReasonString("why"), peer.ServerReference("other")))
			x.hears("disconnected" + reason(int(code)))
			x.ExpectClosed()
			x.again()
			x.accept(false)
			x.quiet()
			x.end()
		})
	}
}

// The codes of our own DISCONNECT, in the shortest form that says them.
func TestDisconnectOfOurs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		code  mosquitto.ReasonCode
		props mosquitto.Properties
		want  string
	}{
		{"3.14.2.1 no reason", 0, nil, "E0 00"},
		{"3.14.2.1 with the will", mosquitto.RCDisconnectWithWillMsg, nil, "E0 01 04"},
		{"3.14.2.1 unspecified", mosquitto.RCUnspecified, nil, "E0 01 80"},
		{"3.14.2.2 properties", 0, mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 7}}, "E0 < 00 < 11 00 00 00 07 > >"},
		{"3.14.2.2 both", mosquitto.RCDisconnectWithWillMsg, mosquitto.Properties{{ID: mosquitto.PropReasonString, Text: "why"}}, "E0 < 04 < 1F 'why' > >"},
	} {
		t.Run("5 "+test.name, func(t *testing.T) {
			t.Parallel()
			x := meet(t, peer.V5, setup{})
			require.NoError(t, x.c.DisconnectV5(test.code, test.props))
			x.Expect(test.want)
			x.Close()
			x.hears("disconnected")
		})
	}
}
