package wire

import (
	"encoding/binary"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// cutBeforeAbort removes the first packet with which libmosquitto 2.0.11 can abort, and
// all bytes after it, so that the fuzzer finds other faults. Such a packet has an unknown
// property (see unknownProperty), or is a CONNACK with a maximum packet size (see
// queuedTooLong). The function parses packets as 2.0.11 does.
func cutBeforeAbort(data []byte) []byte {
	for at := 0; at < len(data); {
		n, length := binary.Uvarint(data[at+1:])
		if length <= 0 || length > 4 || uint64(len(data)-at-1-length) < n {
			return data // the rest is not a complete packet
		}
		body := data[at+1+length:][:n]
		if causesAbort(data[at], body) {
			return data[:at]
		}
		at += 1 + length + int(n)
	}
	return data
}

func causesAbort(first byte, body []byte) bool {
	var skip int
	switch first & 0xF0 {
	case fakebroker.PUBLISH:
		if len(body) < 2 {
			return false
		}
		if skip = 2 + int(binary.BigEndian.Uint16(body)); first&6 != 0 {
			skip += 2
		}
	case fakebroker.PUBACK, fakebroker.PUBREC, fakebroker.PUBREL, fakebroker.PUBCOMP:
		skip = 3
	case fakebroker.CONNACK, fakebroker.SUBACK, fakebroker.UNSUBACK:
		skip = 2
	case fakebroker.DISCONNECT, fakebroker.AUTH:
		skip = 1
	default:
		return false
	}
	if len(body) <= skip {
		return false
	}
	return propertiesCauseAbort(body[skip:], first&0xF0 == fakebroker.CONNACK)
}

// propertiesCauseAbort parses properties up to the end of the packet. If a property
// overlaps the property length, 2.0.11 continues to parse after it.
func propertiesCauseAbort(b []byte, connack bool) bool {
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

// propertySize returns the size of a property's value in bytes. The size is greater than
// len(b) if b is too short.
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

func TestCutBeforeAbort_KeepsOtherPackets(t *testing.T) {
	for _, r := range unknownProperty {
		bad := fakebroker.Hex(r.send.(string))
		good := fakebroker.V5.Publish(2, "a", 1, "x", fakebroker.UserProperty("k", "v"), fakebroker.SubscriptionID(300))
		require.Empty(t, cutBeforeAbort(bad), r.name)
		require.Equal(t, good, cutBeforeAbort(append(good, bad...)), r.name)
	}
	for _, packet := range valid(fakebroker.V5) {
		require.Equal(t, packet, cutBeforeAbort(packet))
	}
	require.Empty(t, cutBeforeAbort(fakebroker.V5.Connack(false, 0, fakebroker.MaximumPacketSize(5))))
	overlapping := fakebroker.Hex("30 < 'a' 01 01 00 7F 00 >") // the property length ends inside the first property
	require.Empty(t, cutBeforeAbort(overlapping))
}
