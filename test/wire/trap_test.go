package wire

import (
	"encoding/binary"
	"testing"

	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// beforeTrap cuts a broker's bytes before the first packet of which libmosquitto
// 2.0.11 dies, so that the fuzzer finds other things: one with an unknown
// property (TestUnknownProperty), and a CONNACK with a maximum packet size
// (TestQueuedMessageTooLong). It reads packets as that version does.
func beforeTrap(data []byte) []byte {
	for at := 0; at < len(data); {
		n, length := binary.Uvarint(data[at+1:])
		if length <= 0 || length > 4 || uint64(len(data)-at-1-length) < n {
			return data // no packet any more
		}
		body := data[at+1+length:][:n]
		if deadly(data[at], body) {
			return data[:at]
		}
		at += 1 + length + int(n)
	}
	return data
}

func deadly(first byte, body []byte) bool {
	var skip int
	switch first & 0xF0 {
	case peer.PUBLISH:
		if len(body) < 2 {
			return false
		}
		if skip = 2 + int(binary.BigEndian.Uint16(body)); first&6 != 0 {
			skip += 2
		}
	case peer.PUBACK, peer.PUBREC, peer.PUBREL, peer.PUBCOMP:
		skip = 3
	case peer.CONNACK, peer.SUBACK, peer.UNSUBACK:
		skip = 2
	case peer.DISCONNECT, peer.AUTH:
		skip = 1
	default:
		return false
	}
	if len(body) <= skip {
		return false
	}
	return walk(body[skip:], first&0xF0 == peer.CONNACK)
}

// walk looks at properties up to the end of the packet: that version does not
// stop at their length when one of them overlaps it.
func walk(b []byte, connack bool) (deadly bool) {
	left, n := binary.Uvarint(b)
	if n <= 0 {
		return false
	}
	for b = b[n:]; left != 0 && len(b) > 0; {
		id, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		size, known := propertySize(id, b[n:])
		if !known || connack && id == maximumPacketSize {
			return true
		}
		if n+size > len(b) {
			return false
		}
		b, left = b[n+size:], uint64(uint32(left)-1-uint32(size))
	}
	return false
}

const maximumPacketSize = 39

// propertySize is how many bytes the value takes, more than there are if they do
// not suffice.
func propertySize(id uint64, b []byte) (size int, known bool) {
	text := func(from int) int {
		if len(b) < from+2 {
			return len(b) + 1
		}
		return 2 + int(binary.BigEndian.Uint16(b[from:]))
	}
	switch id {
	case 1, 23, 25, 36, 37, 40, 41, 42:
		return 1, true
	case 19, 33, 34, 35:
		return 2, true
	case 2, 17, 24, maximumPacketSize:
		return 4, true
	case 11:
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return len(b) + 1, true
		}
		return n, true
	case 3, 8, 18, 21, 26, 28, 31, 9, 22:
		return text(0), true
	case 38:
		name := text(0)
		return name + text(name), true
	}
	return 0, false
}

func TestBeforeTrap(t *testing.T) {
	for _, r := range unknownProperty {
		bad := peer.Hex(r.send.(string))
		good := peer.V5.Publish(2, "a", 1, "x", peer.UserProperty("k", "v"), peer.SubscriptionID(300))
		require.Empty(t, beforeTrap(bad), r.name)
		require.Equal(t, good, beforeTrap(append(good, bad...)), r.name)
	}
	for _, packet := range valid(peer.V5) {
		require.Equal(t, packet, beforeTrap(packet))
	}
	require.Empty(t, beforeTrap(peer.V5.Connack(false, 0, peer.MaximumPacketSize(5))))
	overlapping := peer.Hex("30 < 'a' 01 01 00 7F 00 >") // the length ends inside the first
	require.Empty(t, beforeTrap(overlapping))
}
