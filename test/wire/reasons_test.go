package wire

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// reasonCodes has the reason codes that MQTT 5 allows in each acknowledgement.
var reasonCodes = map[byte][]byte{
	fakebroker.PUBACK:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	fakebroker.PUBREC:   {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	fakebroker.PUBREL:   {0x00, 0x92},
	fakebroker.PUBCOMP:  {0x00, 0x92},
	fakebroker.SUBACK:   {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
	fakebroker.UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
}

// eachCode runs an exchange for each reason code, without and with properties. The
// argument properties is their text in a callback.
func eachCode(t *testing.T, clause string, kind byte, exchange func(x *exchange, code byte, props []fakebroker.Property, properties string)) {
	t.Helper()
	t.Parallel()
	for _, code := range reasonCodes[kind] {
		t.Run(fmt.Sprintf("5 %s code 0x%02X", clause, code), func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, fakebroker.V5, setup{})
			exchange(x, code, nil, "")
			exchange(x, code, []fakebroker.Property{fakebroker.ReasonString("why"), fakebroker.UserProperty("k", "v")}, " {reason-string:why user-property:k=v}")
			x.expectNothing()
			x.end()
		})
	}
}

func TestPuback_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.4.2-1", fakebroker.PUBACK, func(x *exchange, code byte, props []fakebroker.Property, properties string) {
		mid := x.publish("a", "", 1)
		x.Expect(x.v.Publish(2, "a", mid, ""))
		x.Send(x.v.Answer(fakebroker.PUBACK, mid, code, props...))
		x.expectEvents(published(mid) + failure(mosquitto.ReasonCode(code)) + properties)
	})
}

// The library does not report the properties of PUBREC.
func TestPubrec_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.5.2-1", fakebroker.PUBREC, func(x *exchange, code byte, props []fakebroker.Property, _ string) {
		mid := x.publish("a", "", 2)
		x.Expect(x.v.Publish(4, "a", mid, ""))
		x.Send(x.v.Answer(fakebroker.PUBREC, mid, code, props...))
		if code >= 0x80 {
			x.expectEvents(published(mid) + failure(mosquitto.ReasonCode(code)))
			return
		}
		x.Expect(x.v.Pubrel(mid))
		x.Send(x.v.Pubcomp(mid))
		x.expectEvents(published(mid))
	})
}

func TestPubrel_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.6.2-1", fakebroker.PUBREL, func(x *exchange, code byte, props []fakebroker.Property, _ string) {
		x.Send(x.v.Publish(4, "a", 7, ""))
		x.Expect(x.v.Pubrec(7))
		x.Send(x.v.Answer(fakebroker.PUBREL, 7, code, props...))
		x.Expect(x.v.Pubcomp(7))
		x.expectEvents(`message a "" qos 2`)
	})
}

func TestPubcomp_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.7.2-1", fakebroker.PUBCOMP, func(x *exchange, code byte, props []fakebroker.Property, properties string) {
		mid := x.publish("a", "", 2)
		x.Expect(x.v.Publish(4, "a", mid, ""))
		x.Send(x.v.Pubrec(mid))
		x.Expect(x.v.Pubrel(mid))
		x.Send(x.v.Answer(fakebroker.PUBCOMP, mid, code, props...))
		x.expectEvents(published(mid) + failure(mosquitto.ReasonCode(code)) + properties)
	})
}

func TestSuback_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.9.3-2", fakebroker.SUBACK, func(x *exchange, code byte, props []fakebroker.Property, properties string) {
		mid, err := x.c.Subscribe("a", 2)
		require.NoError(x.t, err)
		x.Expect(x.v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a", Options: 2}))
		x.Send(x.v.Suback(uint16(mid), []byte{code}, props...))
		x.expectEvents(fmt.Sprintf("subscribed %d [%02X]%s", mid, code, properties))
	})
}

// Before 2.1 the library does not report the reason codes of UNSUBACK.
func TestUnsuback_EachReasonCode(t *testing.T) {
	eachCode(t, "MQTT-3.11.3-2", fakebroker.UNSUBACK, func(x *exchange, code byte, props []fakebroker.Property, properties string) {
		mid, err := x.c.Unsubscribe("a")
		require.NoError(x.t, err)
		x.Expect(x.v.Unsubscribe(uint16(mid), nil, "a"))
		x.Send(x.v.Unsuback(uint16(mid), []byte{code}, props...))
		codes := "[]"
		if has21() {
			codes = fmt.Sprintf("[%02X]", code)
		}
		x.expectEvents(fmt.Sprintf("unsubscribed %d %s%s", mid, codes, properties))
	})
}

// The library does not report the properties of a DISCONNECT from the broker. Run reconnects
// after every reason code.
func TestDisconnect_EachReasonCodeOfBroker(t *testing.T) {
	t.Parallel()
	for _, code := range []byte{
		0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
		0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
	} {
		t.Run(fmt.Sprintf("5 MQTT-3.14.2-1 code 0x%02X", code), func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, fakebroker.V5, setup{})
			x.Send(x.v.Disconnect(code, fakebroker.ReasonString("why"), fakebroker.ServerReference("other")))
			x.expectEvents("disconnected" + reason(int(code)))
			x.ExpectClosed()
			x.awaitReconnect()
			x.accept(false)
			x.expectNothing()
			x.end()
		})
	}
}

// The client sends its DISCONNECT in the shortest form.
func TestDisconnect_ReasonCodesOfClient(t *testing.T) {
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
			x := dialAccepted(t, fakebroker.V5, setup{})
			require.NoError(t, x.c.DisconnectV5(test.code, test.props))
			x.Expect(test.want)
			x.Close()
			x.expectEvents("disconnected")
		})
	}
}
