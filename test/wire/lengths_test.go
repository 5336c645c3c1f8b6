package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// borders are where a variable byte integer gets longer.
var borders = []int{127, 128, 16383, 16384, 2097151, 2097152}

// A remaining length on either side of each border, in both directions.
func TestRemainingLength(t *testing.T) {
	both(t, "2.2.3 remaining length", "1.5.5 remaining length", func(t *testing.T, v peer.Version) {
		for _, length := range borders {
			t.Run(fmt.Sprint(length), func(t *testing.T) {
				t.Parallel()
				x := meet(t, v, setup{})
				overhead := len(v.Publish(0, "a", 0, "")) - 2
				payload := strings.Repeat("x", length-overhead)
				packet := v.Publish(0, "a", 0, payload)
				require.Len(t, packet, 1+len(peer.Varint(length))+length)
				mid := x.publish("a", payload, 0)
				x.Expect(packet)
				x.hears(published(mid))
				x.Send(packet)
				x.hears(fmt.Sprintf("message a %q qos 0", payload))
				x.end()
			})
		}
	})
}

// The length of the properties, in both directions.
func TestPropertyLength(t *testing.T) {
	t.Parallel()
	for _, length := range append([]int{0}, borders...) {
		t.Run(fmt.Sprintf("5 2.2.2.1 property length %d", length), func(t *testing.T) {
			t.Parallel()
			x := meet(t, peer.V5, setup{})
			ours, theirs := propertiesOf(length)
			packet := x.v.Publish(0, "a", 0, "x", theirs...)
			mid, err := x.c.PublishV5("a", []byte("x"), 0, false, ours)
			require.NoError(t, err)
			x.Expect(packet)
			x.hears(published(uint16(mid)))
			x.Send(packet)
			x.hears(`message a "x" qos 0` + list(ours))
			x.end()
		})
	}
}

// propertiesOf are user properties that take this many bytes on the wire.
func propertiesOf(length int) (ours mosquitto.Properties, theirs []peer.Property) {
	const overhead, longest = 6, 60000 // identifier, two lengths, a name of one byte
	for length > 0 {
		n := min(length, longest)
		if rest := length - n; rest > 0 && rest < overhead {
			n -= overhead
		}
		value := strings.Repeat("v", n-overhead)
		ours = append(ours, mosquitto.Property{ID: mosquitto.PropUserProperty, Name: "k", Text: value})
		theirs = append(theirs, peer.UserProperty("k", value))
		length -= n
	}
	return ours, theirs
}

// The longest texts there can be.
func TestLongestTopic(t *testing.T) {
	both(t, "1.5.3 longest topic", "1.5.4 longest topic", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		topic := strings.Repeat("t", 65535)
		mid := x.publish(topic, "x", 0)
		x.Expect(v.Publish(0, topic, 0, "x"))
		x.hears(published(mid))
		x.Send(v.Publish(0, topic, 0, "x"))
		x.hears("message " + topic + ` "x" qos 0`)
		x.end()
	})
}

var ourPacketSize = row{"MQTT-3.1.2-24", "a packet longer than our maximum packet size", nil, closed, all("message told")}

// We say how long a packet may be; the library takes longer ones all the same.
func TestMaximumPacketSizeOfOurs(t *testing.T) {
	t.Parallel()
	t.Run("5 "+ourPacketSize.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, peer.V5, setup{props: mosquitto.Properties{{ID: mosquitto.PropMaximumPacketSize, Number: 20}}})
		x.Expect("10 < 'MQTT' 05 02 00 3C < 27 00 00 00 14 21 00 14 > 'id' >")
		x.accept(false)
		x.Send(x.v.Publish(0, "a", 0, strings.Repeat("x", 15)))
		got := closed
		if x.next() == `message a "xxxxxxxxxxxxxxx" qos 0` {
			got = "message told"
		}
		require.Equal(t, ourPacketSize.does.here(), got)
		x.end()
	})
}
