package fakebroker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHex_ParsesPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                      "",
		"C0 00":                                 "\xc0\x00",
		`32 < 'a/b' 00 01 "hello" >`:            "\x32\x0c\x00\x03a/b\x00\x01hello",
		"82 < 00 01 <> 'ç' 01 >":                "\x82\x08\x00\x01\x00\x00\x02ç\x01",
		"30 < 'a' < 26 'k' 'v' > >":             "\x30\x0b\x00\x01a\x07\x26\x00\x01k\x00\x01v",
		"< " + strings.Repeat("00", 128) + " >": "\x80\x01" + strings.Repeat("\x00", 128),
	} {
		require.Equal(t, want, string(Hex(pattern)), pattern)
	}
	for _, wrong := range []string{"3", "zz", "'a", `"a`, "< 00", "00 >", "??", "**"} {
		require.Panics(t, func() { Hex(wrong) }, wrong)
	}
}

func TestDialog_DiffNamesFirstDifference(t *testing.T) {
	for _, same := range []struct{ pattern, got string }{
		{"40 02 00 07", "40 02 00 07"}, {"40 02 ?? ??", "40 02 00 07"}, {"40 **", "40 02 00 07"}, {"40 02 00 07 **", "40 02 00 07"},
	} {
		require.Empty(t, parse(same.pattern).diff(Hex(same.got)))
	}
	for _, other := range []struct {
		pattern, got string
		at           int
	}{
		{"40 02 00 07", "50 02 00 07", 0}, {"40 02 00 07", "40 02 00 08", 3}, {"40 02", "40 02 00", 2}, {"40 02 ??", "40 02", 2}, {"40 ** ", "50", 0},
	} {
		require.Equal(t, other.at, parse(other.pattern).mismatch(Hex(other.got)))
	}
	require.Equal(t, `wanted PUBACK, got PUBREC; they differ at byte 0
  want 0000 [40] 02 00 07                                      |@...|
  got  0000 [50] 02 00 07                                      |P...|
`, parse("40 02 00 07").diff(Hex("50 02 00 07")))
}

// The expected bytes are written by hand, following the two specifications.
func TestVersion_EncodesPackets(t *testing.T) {
	name, secret := "user", "secret"
	will := &Will{Topic: "w", Payload: "gone", QoS: 1, Retain: true, Properties: []Property{WillDelay(5)}}
	connect := Connect{ID: "id", Clean: true, Keepalive: 60, Will: will, Username: &name, Password: &secret, Properties: []Property{ReceiveMaximum(20)}}
	for _, test := range []struct {
		want string
		got  []byte
	}{
		{"10 < 'MQIsdp' 03 02 00 3C 'id' >", V31.Connect(Connect{ID: "id", Clean: true, Keepalive: 60})},
		{"10 < 'MQTT' 04 EE 00 3C 'id' 'w' 'gone' 'user' 'secret' >", V311.Connect(connect)},
		{"10 < 'MQTT' 05 EE 00 3C < 21 00 14 > 'id' < 18 00 00 00 05 > 'w' 'gone' 'user' 'secret' >", V5.Connect(connect)},
		{"20 02 01 00", V311.Connack(true, 0)},
		{"20 06 00 87 03 13 00 05", V5.Connack(false, 0x87, ServerKeepalive(5))},
		{`3D < 'a' 00 07 "x" >`, V311.Publish(0x0D, "a", 7, "x")},
		{`30 < 'a' < 0B 80 01 > "x" >`, V5.Publish(0, "a", 7, "x", SubscriptionID(128))},
		{"62 02 00 07", V5.Pubrel(7)},
		{"50 03 00 07 92", V5.Answer(PUBREC, 7, 0x92)},
		{"40 < 00 07 00 < 1F 'x' > >", V5.Answer(PUBACK, 7, 0, ReasonString("x"))},
		{"40 02 00 07", V311.Answer(PUBACK, 7, 0x92)},
		{"82 < 00 01 'a' 01 'b' 02 >", V311.Subscribe(1, nil, Filter{"a", 1}, Filter{"b", 2})},
		{"82 < 00 01 < 0B 01 > 'a' 2C >", V5.Subscribe(1, []Property{SubscriptionID(1)}, Filter{"a", 0x2C})},
		{"A2 < 00 01 <> 'a' 'b' >", V5.Unsubscribe(1, nil, "a", "b")},
		{"90 < 00 01 <> 80 >", V5.Suback(1, []byte{0x80})},
		{"B0 02 00 01", V311.Unsuback(1, []byte{0})},
		{"B0 < 00 01 <> 11 >", V5.Unsuback(1, []byte{0x11})},
		{"E0 00", V5.Disconnect(0)},
		{"E0 01 8B", V5.Disconnect(0x8B)},
		{"E0 < 8B < 26 'k' 'v' > >", V5.Disconnect(0x8B, UserProperty("k", "v"))},
		{"F0 < 18 < 15 'M' 16 'd' > >", Auth(0x18, AuthMethod("M"), AuthData("d"))},
	} {
		require.Equal(t, Hex(test.want), test.got, test.want)
	}
}
