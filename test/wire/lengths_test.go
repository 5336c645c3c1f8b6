package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// borders are the largest variable byte integer of each length, and the next number.
var borders = []int{127, 128, 16383, 16384, 2097151, 2097152}

func TestRemainingLength_BordersInBothDirections(t *testing.T) {
	both(t, "2.2.3 remaining length", "1.5.5 remaining length", func(t *testing.T, v fakebroker.Version) {
		for _, length := range borders {
			t.Run(fmt.Sprint(length), func(t *testing.T) {
				t.Parallel()
				x := dialAccepted(t, v, setup{})
				overhead := len(v.Publish(0, "a", 0, "")) - 2
				payload := strings.Repeat("x", length-overhead)
				packet := v.Publish(0, "a", 0, payload)
				require.Len(t, packet, 1+len(fakebroker.Varint(length))+length)
				mid := x.publish("a", payload, 0)
				x.Expect(packet)
				x.expectEvents(published(mid))
				x.Send(packet)
				x.expectEvents(fmt.Sprintf("message a %q qos 0", payload))
				x.end()
			})
		}
	})
}

func TestPropertyLength_BordersInBothDirections(t *testing.T) {
	t.Parallel()
	for _, length := range append([]int{0}, borders...) {
		t.Run(fmt.Sprintf("5 2.2.2.1 property length %d", length), func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, fakebroker.V5, setup{})
			props, encoded := propertiesOf(length)
			packet := x.v.Publish(0, "a", 0, "x", encoded...)
			mid, err := x.c.PublishV5("a", []byte("x"), 0, false, props)
			require.NoError(t, err)
			x.Expect(packet)
			x.expectEvents(published(uint16(mid)))
			x.Send(packet)
			x.expectEvents(`message a "x" qos 0` + list(props))
			x.end()
		})
	}
}

// propertiesOf returns user properties that have this length in bytes, for the client
// and as the fake broker encodes them.
func propertiesOf(length int) (props mosquitto.Properties, encoded []fakebroker.Property) {
	const overhead, longest = 6, 60000 // the overhead is an identifier, two lengths and a name of one byte
	for length > 0 {
		n := min(length, longest)
		if rest := length - n; rest > 0 && rest < overhead {
			n -= overhead
		}
		value := strings.Repeat("v", n-overhead)
		props = append(props, mosquitto.Property{ID: mosquitto.PropUserProperty, Name: "k", Text: value})
		encoded = append(encoded, fakebroker.UserProperty("k", value))
		length -= n
	}
	return props, encoded
}

func TestTopic_LongestInBothDirections(t *testing.T) {
	both(t, "1.5.3 longest topic", "1.5.4 longest topic", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		topic := strings.Repeat("t", 65535)
		mid := x.publish(topic, "x", 0)
		x.Expect(v.Publish(0, topic, 0, "x"))
		x.expectEvents(published(mid))
		x.Send(v.Publish(0, topic, 0, "x"))
		x.expectEvents("message " + topic + ` "x" qos 0`)
		x.end()
	})
}

var clientPacketSize = row{"MQTT-3.1.2-24", "a packet longer than the client's maximum packet size", nil, closed, all("message delivered")}

// The client limits the packet size in CONNECT. The library accepts longer packets.
func TestMaximumPacketSize_LongerPacket(t *testing.T) {
	t.Parallel()
	t.Run("5 "+clientPacketSize.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{props: mosquitto.Properties{{ID: mosquitto.PropMaximumPacketSize, Number: 20}}})
		x.Expect("10 < 'MQTT' 05 02 00 3C < 27 00 00 00 14 21 00 14 > 'id' >")
		x.accept(false)
		x.Send(x.v.Publish(0, "a", 0, strings.Repeat("x", 15)))
		got := closed
		if x.nextEvent() == `message a "xxxxxxxxxxxxxxx" qos 0` {
			got = "message delivered"
		}
		require.Equal(t, clientPacketSize.actual.current(), got)
		x.end()
	})
}
