package packets_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/require"
)

// examples are packets with all fields set, and their encodings.
var examples = []struct {
	packet  packets.ControlPacket
	encoded string
}{
	{&packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4,
		CleanSession: true, WillFlag: true, WillQos: 2, WillRetain: true, UsernameFlag: true, PasswordFlag: true, Keepalive: 258,
		ClientIdentifier: "id", WillTopic: "w", WillMessage: []byte("m"), Username: "u", Password: []byte("p"),
	}, "\x10\x1a\x00\x04MQTT\x04\xf6\x01\x02\x00\x02id\x00\x01w\x00\x01m\x00\x01u\x00\x01p"},
	{&packets.ConnackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Connack}, SessionPresent: true, ReturnCode: 5}, "\x20\x02\x01\x05"},
	{&packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Dup: true, Qos: 2, Retain: true}, TopicName: "a/b", MessageID: 258, Payload: []byte("x"),
	}, "\x3d\x08\x00\x03a/b\x01\x02x"},
	{&packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish}, TopicName: "a", Payload: []byte{}}, "\x30\x03\x00\x01a"},
	{&packets.PubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Puback}, MessageID: 258}, "\x40\x02\x01\x02"},
	{&packets.PubrecPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubrec}, MessageID: 258}, "\x50\x02\x01\x02"},
	{&packets.PubrelPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubrel, Qos: 1}, MessageID: 258}, "\x62\x02\x01\x02"},
	{&packets.PubcompPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubcomp}, MessageID: 258}, "\x70\x02\x01\x02"},
	{&packets.SubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 258, Topics: []string{"a", "b/#"}, Qoss: []byte{1, 2},
	}, "\x82\x0c\x01\x02\x00\x01a\x01\x00\x03b/#\x02"},
	{&packets.SubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Suback}, MessageID: 258, ReturnCodes: []byte{1, 0x80}}, "\x90\x04\x01\x02\x01\x80"},
	{&packets.UnsubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Unsubscribe, Qos: 1}, MessageID: 258, Topics: []string{"a", "b/#"},
	}, "\xa2\x0a\x01\x02\x00\x01a\x00\x03b/#"},
	{&packets.UnsubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Unsuback}, MessageID: 258}, "\xb0\x02\x01\x02"},
	{&packets.PingreqPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pingreq}}, "\xc0\x00"},
	{&packets.PingrespPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pingresp}}, "\xd0\x00"},
	{&packets.DisconnectPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Disconnect}}, "\xe0\x00"},
}

func TestPackets_EncodeAndDecode(t *testing.T) {
	for _, example := range examples {
		var encoded bytes.Buffer
		require.NoError(t, example.packet.Write(&encoded))
		require.Equal(t, example.encoded, encoded.String())
		decoded, err := packets.ReadPacket(&encoded)
		require.NoError(t, err)
		require.Equal(t, example.packet, decoded)
		require.Equal(t, example.packet.Details(), decoded.Details())
		require.Contains(t, decoded.String(), packets.PacketNames[example.encoded[0]>>4])
		if strings.Contains(example.encoded, "\x01\x02") && example.packet.Details() != (packets.Details{}) {
			require.EqualValues(t, 258, decoded.Details().MessageID)
		}
	}
}

func TestReadPacket_TruncatedPacketIsAnError(t *testing.T) {
	for _, example := range examples {
		for n := range example.encoded {
			_, err := packets.ReadPacket(bytes.NewBufferString(example.encoded[:n]))
			require.Error(t, err)
			if n > 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		}
	}
	for _, bad := range []string{"", "\x00\x00", "\xf0\x00", "\x30\xff\xff\xff\xff\x01", "\x30\x00", "\x32\x03\x00\x01a", "\x30\x80\x80\x80\x40", "\x40\x01\x00", "\x82\x03\x00\x01\x00", "\x10\x02\x00\x04"} {
		_, err := packets.ReadPacket(bytes.NewBufferString(bad))
		require.Error(t, err, "%q", bad)
	}
}

func TestWrite_FieldThatIsTooLong(t *testing.T) {
	long := string(make([]byte, 65_536))
	for _, packet := range []packets.ControlPacket{
		&packets.PublishPacket{TopicName: long}, &packets.ConnectPacket{ClientIdentifier: long}, &packets.UnsubscribePacket{Topics: []string{long}},
		&packets.SubscribePacket{Topics: []string{"a"}},
	} {
		var encoded bytes.Buffer
		require.Error(t, packet.Write(&encoded))
		require.Zero(t, encoded.Len())
	}
}

func TestNewControlPacket_HasTheFlagsOfItsType(t *testing.T) {
	for kind, name := range packets.PacketNames {
		packet := packets.NewControlPacket(kind)
		require.NotNil(t, packet)
		require.Contains(t, packet.String(), name)
		var encoded bytes.Buffer
		require.NoError(t, packet.Write(&encoded))
		flags := map[byte]byte{packets.Pubrel: 2, packets.Subscribe: 2, packets.Unsubscribe: 2}[kind]
		require.Equal(t, kind<<4|flags, encoded.Bytes()[0])
	}
	require.Nil(t, packets.NewControlPacket(0))
	_, err := packets.NewControlPacketWithHeader(packets.FixedHeader{MessageType: 15})
	require.Error(t, err)
}

func TestConnectPacket_Validate(t *testing.T) {
	valid := func(change func(*packets.ConnectPacket)) byte {
		c := &packets.ConnectPacket{ProtocolName: "MQTT", ProtocolVersion: 4, CleanSession: true}
		change(c)
		return c.Validate()
	}
	for want, changes := range map[byte][]func(*packets.ConnectPacket){
		packets.Accepted: {
			func(*packets.ConnectPacket) {},
			func(c *packets.ConnectPacket) { c.ProtocolName, c.ProtocolVersion = "MQIsdp", 3 },
		},
		packets.ErrRefusedBadProtocolVersion: {
			func(c *packets.ConnectPacket) { c.ProtocolVersion = 5 },
			func(c *packets.ConnectPacket) { c.ProtocolName = "MQIsdp" },
		},
		packets.ErrRefusedIDRejected:            {func(c *packets.ConnectPacket) { c.CleanSession = false }},
		packets.ErrRefusedBadUsernameOrPassword: {func(c *packets.ConnectPacket) { c.PasswordFlag = true }},
		packets.ErrProtocolViolation: {
			func(c *packets.ConnectPacket) { c.ReservedBit = 1 },
			func(c *packets.ConnectPacket) { c.ProtocolName = "HTTP" },
			func(c *packets.ConnectPacket) { c.Username = string(make([]byte, 65_536)) },
		},
	} {
		for _, change := range changes {
			require.Equal(t, want, valid(change))
		}
	}
}

func TestPublishPacket_Copy(t *testing.T) {
	m := &packets.PublishPacket{FixedHeader: packets.FixedHeader{Qos: 2}, TopicName: "a", MessageID: 1, Payload: []byte("x")}
	c := m.Copy()
	require.Equal(t, &packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish}, TopicName: "a", Payload: []byte("x")}, c)
}

func TestString_HasNoSecret(t *testing.T) {
	c := &packets.ConnectPacket{Password: []byte("secret"), WillMessage: []byte("secret")}
	require.NotContains(t, c.String(), "secret")
	require.NotContains(t, (&packets.PublishPacket{Payload: []byte("secret")}).String(), "secret")
}

func TestErrors_OfReturnCodes(t *testing.T) {
	for code, err := range packets.ConnErrors {
		require.Equal(t, code == packets.Accepted, err == nil)
		require.NotEmpty(t, packets.ConnackReturnCodes[code])
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, example := range examples {
		f.Add([]byte(example.encoded))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		packet, err := packets.ReadPacket(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = packet.String()
		var encoded bytes.Buffer
		if packet.Write(&encoded) == nil {
			_, err = packets.ReadPacket(&encoded)
			require.NoError(t, err)
		}
	})
}
