package wire

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

func TestReceiveQoS1_RepeatedPublishIsDeliveredTwice(t *testing.T) {
	both(t, "4.3.2 PUBLISH twice", "4.3.2 PUBLISH twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(2, "a", 7, "x"))
		x.Expect(v.Puback(7))
		x.Send(v.Publish(8|2, "a", 7, "x"))
		x.Expect(v.Puback(7))
		x.expectEvents(`message a "x" qos 1`, `message a "x" qos 1`) // at least once
		x.end()
	})
}

func TestReceiveQoS1_LowestAndHighestPacketID(t *testing.T) {
	both(t, "2.3.1 lowest and highest id", "2.2.1 lowest and highest id", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		for _, mid := range []uint16{1, 255, 256, 65535} {
			x.Send(v.Publish(2, "a", mid, "x"))
			x.Expect(v.Puback(mid))
			x.expectEvents(`message a "x" qos 1`)
		}
		x.end()
	})
}

func TestReceiveQoS2_RepeatedPubrelIsAnswered(t *testing.T) {
	both(t, "MQTT-4.3.3-2 PUBREL twice", "MQTT-4.3.3-11 PUBREL twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.Send(v.Pubrel(7), v.Pubrel(7))
		x.Expect(v.Pubcomp(7))
		x.expectEvents(`message a "x" qos 2`)
		x.Expect(pubrelAgain(v))
		x.expectNothing()
		x.end()
	})
}

// pubrelAgain returns the library's answer to a PUBREL with a packet id that is no
// longer in use. The library does not use the MQTT 5 reason code 0x92 for this case.
func pubrelAgain(v fakebroker.Version) []byte { return v.Pubcomp(7) }

var qos2Twice = row{"MQTT-4.3.3-10", "a QoS 2 PUBLISH sent again before its PUBREL, then a new message with the same packet id", nil,
	`message a "old" qos 2, message a "new" qos 2`, all(`message a "old" qos 2, message a "old" qos 2`)}

// The library keeps both copies of a repeated PUBLISH. It delivers the second copy when
// the broker uses the packet id again.
func TestReceiveQoS2_RepeatedPublish(t *testing.T) {
	both(t, "MQTT-4.3.3-2 PUBLISH twice", "MQTT-4.3.3-10 PUBLISH twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		release := func() string {
			x.Send(v.Pubrel(7))
			x.Expect(v.Pubcomp(7))
			return x.nextEvent()
		}
		x.Send(v.Publish(4, "a", 7, "old"), v.Publish(8|4, "a", 7, "old"))
		x.Expect(v.Pubrec(7), v.Pubrec(7))
		first := release()
		x.Send(v.Publish(4, "a", 7, "new"))
		x.Expect(v.Pubrec(7))
		require.Equal(t, qos2Twice.actual.current(), first+", "+release())
		x.end()
	})
}

// A packet id is free after its handshake.
func TestReceiveQoS2_PacketIDIsUsedAgain(t *testing.T) {
	both(t, "4.3.3 the same id again", "4.3.3 the same id again", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		for _, payload := range []string{"one", "two"} {
			x.Send(v.Publish(4, "a", 7, payload))
			x.Expect(v.Pubrec(7))
			x.expectNothing() // the message is not delivered before PUBREL
			x.Send(v.Pubrel(7))
			x.Expect(v.Pubcomp(7))
			x.expectEvents(`message a "` + payload + `" qos 2`)
		}
		x.end()
	})
}

func TestReceiveQoS2_DeliversInOrderOfPubrel(t *testing.T) {
	both(t, "4.6 PUBRELs out of order", "4.6 PUBRELs out of order", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(4, "a", 1, "1"), v.Publish(4, "a", 2, "2"), v.Publish(4, "a", 3, "3"))
		x.Expect(v.Pubrec(1), v.Pubrec(2), v.Pubrec(3))
		for _, mid := range []uint16{3, 1, 2} {
			x.Send(v.Pubrel(mid))
			x.Expect(v.Pubcomp(mid))
		}
		x.expectEvents(`message a "3" qos 2`, `message a "1" qos 2`, `message a "2" qos 2`)
		x.end()
	})
}

// Without clean session, the handshake continues on the next connection.
func TestReceiveQoS2_HandshakeContinuesAfterLoss(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBREL after a loss", "4.4 PUBREL after a loss", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.lose(true)
		x.Send(v.Pubrel(7))
		x.Expect(v.Pubcomp(7))
		x.expectEvents(`message a "x" qos 2`)
		x.lose(true)
		x.Send(v.Pubrel(7)) // as if PUBCOMP were lost
		x.Expect(pubrelAgain(v))
		x.expectNothing()
		x.end()
	})
}

var qos2CleanLoss = row{"3.1.2.4", "PUBREL of a message from a clean session that has ended", nil,
	"not delivered", all(`message a "x" qos 2`)}

// The end of a clean session should discard the message. The client answers the PUBREL
// in both cases.
func TestReceiveQoS2_EndOfCleanSession(t *testing.T) {
	both(t, "MQTT-3.1.2-6 clean session", "MQTT-3.1.2-4 clean start", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.lose(false)
		x.Send(v.Pubrel(7), x.probe())
		got := "not delivered"
		for line := x.nextEvent(); line != probeReceived; line = x.nextEvent() {
			got = line
		}
		x.Expect(v.Pubcomp(7), v.Puback(probeID))
		require.Equal(t, qos2CleanLoss.actual.current(), got)
		x.end()
	})
}

func TestReceive_FlagsTopicAndPayload(t *testing.T) {
	both(t, "3.3.1.3 retain", "3.3.1.3 retain", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(1, "a/b", 0, ""), v.Publish(2|1, "a/b", 7, "x"), v.Publish(0, "ä/π/😀", 0, "\x00\xff"))
		x.expectEvents(`message a/b "" qos 0 retained`, `message a/b "x" qos 1 retained`, `message ä/π/😀 "\x00\xff" qos 0`)
		x.Expect(v.Puback(7))
		x.end()
	})
}

// The broker sends messages of all three QoS in one TCP segment.
func TestReceive_AnswersInOrder(t *testing.T) {
	both(t, "MQTT-4.6.0-2 answers in order", "MQTT-4.6.0-2 answers in order", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		x.Send(v.Publish(4, "a", 1, "1"), v.Publish(2, "a", 2, "2"), v.Publish(4, "a", 3, "3"), v.Publish(2, "a", 4, "4"), v.Pubrel(1), v.Publish(0, "a", 0, "5"))
		x.Expect(v.Pubrec(1), v.Puback(2), v.Pubrec(3), v.Puback(4), v.Pubcomp(1))
		x.expectEvents(`message a "2" qos 1`, `message a "4" qos 1`, `message a "1" qos 2`, `message a "5" qos 0`)
		x.expectNothing()
		x.end()
	})
}
