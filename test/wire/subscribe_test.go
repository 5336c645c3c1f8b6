package wire

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// OnSubscribe gets a reason code for each filter of the packet.
func TestSubscribe_OneAndSeveralFilters(t *testing.T) {
	both(t, "MQTT-3.8.3-1 and 3.9.3", "MQTT-3.8.3-1 and 3.9.3", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		for _, qos := range []mosquitto.QoS{0, 1, 2} {
			mid, err := x.c.Subscribe("a/+/#", qos)
			require.NoError(t, err)
			x.Expect(v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a/+/#", Options: byte(qos)}))
			x.Send(v.Suback(uint16(mid), []byte{byte(qos)}))
			x.expectEvents(fmt.Sprintf("subscribed %d [%02X]", mid, qos))
		}
		mid, err := x.c.SubscribeMultiple([]string{"a", "π", "$share/g/b"}, 1, 0, nil)
		require.NoError(t, err)
		x.Expect(v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a", Options: 1}, fakebroker.Filter{Name: "π", Options: 1}, fakebroker.Filter{Name: "$share/g/b", Options: 1}))
		x.Send(v.Suback(uint16(mid), []byte{1, 0x80, 0}))
		x.expectEvents(fmt.Sprintf("subscribed %d [01 80 00]", mid))
		x.end()
	})
}

// The library does not send SUBSCRIBE again if SUBACK was lost. The broker's session may
// have the subscription.
func TestSubscribe_IsNotRepeatedAfterLoss(t *testing.T) {
	both(t, "4.4 SUBACK lost", "MQTT-4.4.0-1 SUBACK lost", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		mid, err := x.c.Subscribe("a", 1)
		require.NoError(t, err)
		x.Expect(v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a", Options: 1}))
		x.lose(true)
		x.expectNothing()
		x.end()
	})
}

func TestSuback_RepeatedSubackIsReportedTwice(t *testing.T) {
	both(t, "3.8.4 SUBACK twice", "3.8.4 SUBACK twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		mid, err := x.c.Subscribe("a", 1)
		require.NoError(t, err)
		x.Expect(v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a", Options: 1}))
		x.Send(v.Publish(0, "a", 0, "early"), v.Suback(uint16(mid), []byte{1}), v.Suback(uint16(mid), []byte{1}))
		subscribed := fmt.Sprintf("subscribed %d [01]", mid)
		x.expectEvents(`message a "early" qos 0`, subscribed, subscribed) // a message may arrive before SUBACK
		x.expectNothing()
		x.end()
	})
}

func TestUnsubscribe_SeveralFilters(t *testing.T) {
	both(t, "MQTT-3.10.3-1 and 3.11", "MQTT-3.10.3-1 and 3.11", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		mid, err := x.c.UnsubscribeMultiple([]string{"a/#", "π"}, nil)
		require.NoError(t, err)
		x.Expect(v.Unsubscribe(uint16(mid), nil, "a/#", "π"))
		x.Send(v.Unsuback(uint16(mid), []byte{0, 0x11}))
		codes := "[]"
		if v == fakebroker.V5 && has21() {
			codes = "[00 11]"
		}
		x.expectEvents(fmt.Sprintf("unsubscribed %d %s", mid, codes))
		x.end()
	})
}

// These are options of MQTT 5. The subscription identifiers are the smallest and largest
// of each encoded length.
func TestSubscribe_OptionsAndIdentifiers(t *testing.T) {
	t.Parallel()
	t.Run("5 3.8.3.1 options", func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, setup{})
		for options, want := range map[mosquitto.SubscribeOptions]byte{
			0: 1, mosquitto.SubNoLocal: 0x05, mosquitto.SubRetainAsPublished: 0x09, mosquitto.SubSendRetainNew: 0x11, mosquitto.SubSendRetainNever: 0x21,
			mosquitto.SubNoLocal | mosquitto.SubRetainAsPublished | mosquitto.SubSendRetainNever: 0x2D,
		} {
			mid, err := x.c.SubscribeV5("a", 1, options, nil)
			require.NoError(t, err)
			x.Expect(x.v.Subscribe(uint16(mid), nil, fakebroker.Filter{Name: "a", Options: want}))
		}
		x.end()
	})
	for _, id := range []int{1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455} {
		t.Run(fmt.Sprintf("5 3.8.2.1.2 subscription identifier %d", id), func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, fakebroker.V5, setup{})
			mid, err := x.c.SubscribeV5("a", 1, 0, mosquitto.Properties{{ID: mosquitto.PropSubscriptionIdentifier, Number: uint32(id)}})
			require.NoError(t, err)
			x.Expect(x.v.Subscribe(uint16(mid), []fakebroker.Property{fakebroker.SubscriptionID(id)}, fakebroker.Filter{Name: "a", Options: 1}))
			x.Send(x.v.Publish(0, "a", 0, "", fakebroker.SubscriptionID(id)))
			x.expectEvents(fmt.Sprintf(`message a "" qos 0 {subscription-identifier:%d}`, id))
			x.end()
		})
	}
}
