package wire

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// published is the event of OnPublish for an accepted message.
func published(mid uint16) string { return fmt.Sprintf("published %d", mid) }

func TestPublishQoS1_RepeatedPubackIsReportedOnce(t *testing.T) {
	both(t, "4.3.2 PUBACK twice", "4.3.2 PUBACK twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		mid := x.publish("a", "x", 1)
		x.Expect(v.Publish(2, "a", mid, "x"))
		x.Send(v.Puback(mid), v.Puback(mid))
		x.expectEvents(published(mid))
		x.expectNothing()
		x.end()
	})
}

func TestPublishQoS1_PubacksOutOfOrder(t *testing.T) {
	both(t, "4.6 PUBACKs out of order", "4.6 PUBACKs out of order", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		var mids []uint16
		for range 3 {
			mids = append(mids, x.publish("a", "x", 1))
			x.Expect(v.Publish(2, "a", mids[len(mids)-1], "x"))
		}
		for _, i := range []int{2, 0, 1} {
			x.Send(v.Puback(mids[i]))
			x.expectEvents(published(mids[i]))
		}
		x.expectNothing()
		x.end()
	})
}

func TestPublishQoS1_LostPubackRepeatsPublish(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBACK lost: DUP", "MQTT-4.4.0-1 PUBACK lost: DUP", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		mid := x.publish("a", "x", 1)
		x.Expect(v.Publish(2, "a", mid, "x"))
		for range 2 {
			x.lose(true)
			x.Expect(v.Publish(8|2, "a", mid, "x"))
		}
		x.Send(v.Puback(mid))
		x.expectEvents(published(mid))
		x.lose(true)
		x.expectNothing() // the message is complete
		x.end()
	})
}

// Messages that are sent again keep their order and properties.
func TestPublish_OrderAfterLoss(t *testing.T) {
	both(t, "MQTT-4.6.0-1 order after a loss", "MQTT-4.6.0-1 order after a loss", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		var encoded []fakebroker.Property
		var props mosquitto.Properties
		if v == fakebroker.V5 {
			encoded, props = []fakebroker.Property{fakebroker.UserProperty("k", "v")}, mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "k", Text: "v"}}
		}
		var mids []uint16
		flags := []byte{2, 4, 2, 4, 2}
		for i, f := range flags {
			mid, err := x.c.PublishV5("a", fmt.Append(nil, i), mosquitto.QoS(f>>1), true, props)
			require.NoError(t, err)
			mids = append(mids, uint16(mid))
			x.Expect(v.Publish(f|1, "a", mids[i], fmt.Sprint(i), encoded...))
		}
		x.lose(true)
		for i, f := range flags {
			x.Expect(v.Publish(8|f|1, "a", mids[i], fmt.Sprint(i), encoded...))
		}
		x.expectNothing()
		x.end()
	})
}

func TestPublishQoS2_RepeatedAnswersAreReportedOnce(t *testing.T) {
	both(t, "4.3.3 PUBREC and PUBCOMP twice", "4.3.3 PUBREC and PUBCOMP twice", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.Send(v.Pubrec(mid), v.Pubrec(mid))
		x.Expect(v.Pubrel(mid), v.Pubrel(mid))
		x.expectNothing()
		x.Send(v.Pubcomp(mid), v.Pubcomp(mid))
		x.expectEvents(published(mid))
		x.expectNothing()
		x.end()
	})
}

func TestPublishQoS2_LostPubrecRepeatsPublish(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBREC lost: PUBLISH with DUP", "MQTT-4.4.0-1 PUBREC lost: PUBLISH with DUP", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.lose(true)
		x.Expect(v.Publish(8|4, "a", mid, "x"))
		x.Send(v.Pubrec(mid))
		x.Expect(v.Pubrel(mid))
		x.Send(v.Pubcomp(mid))
		x.expectEvents(published(mid))
		x.end()
	})
}

// After PUBREC the client never sends the message itself again.
func TestPublishQoS2_LostPubcompRepeatsPubrel(t *testing.T) {
	both(t, "MQTT-4.3.3-1 PUBCOMP lost: PUBREL", "MQTT-4.3.3-6 PUBCOMP lost: PUBREL", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.Send(v.Pubrec(mid))
		x.Expect(v.Pubrel(mid))
		for range 2 {
			x.lose(true)
			x.Expect(v.Pubrel(mid))
		}
		x.Send(v.Pubrec(mid)) // a repeated PUBREC
		x.Expect(v.Pubrel(mid))
		x.Send(v.Pubcomp(mid))
		x.expectEvents(published(mid))
		x.lose(true)
		x.expectNothing()
		x.end()
	})
}

var (
	pubcompEarly = row{"4.3.3", "PUBCOMP for a QoS 2 message before PUBREC", nil, closed, all("published 1")}
	pubackForTwo = row{"4.3.3", "PUBACK for a QoS 2 message", nil, closed, all("closed: protocol")}
	pubrecForOne = row{"4.3.2", "PUBREC for a QoS 1 message", nil, closed, all("closed: protocol")}
)

func TestPublish_WrongAnswer(t *testing.T) {
	for _, test := range []struct {
		row
		qos    mosquitto.QoS
		answer byte
	}{{pubcompEarly, 2, fakebroker.PUBCOMP}, {pubackForTwo, 2, fakebroker.PUBACK}, {pubrecForOne, 1, fakebroker.PUBREC}} {
		clause := test.clause + " " + test.name
		t.Run(clause, func(t *testing.T) {
			both(t, clause, clause, func(t *testing.T, v fakebroker.Version) {
				x := dialAccepted(t, v, setup{})
				mid := x.publish("a", "x", test.qos)
				flags := byte(test.qos) << 1
				x.Expect(v.Publish(flags, "a", mid, "x"))
				x.Send(v.Answer(test.answer, mid, 0))
				got := x.nextEvent()
				if got == "disconnected: protocol" {
					got = "closed: protocol"
					x.Close()
					x.awaitReconnect()
					x.accept(false)
					x.Expect(v.Publish(flags|8, "a", mid, "x")) // the message is not complete
				}
				require.Equal(t, test.actual.current(), got)
				x.expectNothing()
				x.end()
			})
		})
	}
}

func TestPublishQoS0_HasNoPacketIDAndNoAnswer(t *testing.T) {
	both(t, "MQTT-2.3.1-5 no id", "MQTT-2.2.1-2 no id", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		mid := x.publish("a", "x", 0)
		x.Expect(v.Publish(0, "a", 0, "x"))
		x.expectEvents(published(mid))
		x.lose(false)
		x.expectNothing() // the message is not sent again
		x.end()
	})
}

func TestPublish_PacketIDsInUseAreNotRepeated(t *testing.T) {
	both(t, "MQTT-2.3.1-2 ids in use", "MQTT-2.2.1-4 ids in use", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{})
		used := map[uint16]bool{}
		for range 10 {
			mid := x.publish("a", "", 1)
			require.False(t, used[mid])
			used[mid] = true
			x.Expect(v.Publish(2, "a", mid, ""))
			sub, err := x.c.Subscribe("a", 0)
			require.NoError(t, err)
			require.False(t, used[uint16(sub)])
			used[uint16(sub)] = true
			x.Expect(v.Subscribe(uint16(sub), nil, fakebroker.Filter{Name: "a"}))
		}
		x.end()
	})
}

// An MQTT 5 broker can refuse a message with PUBACK or PUBREC.
func TestPublish_RefusedMessageIsComplete(t *testing.T) {
	t.Parallel()
	t.Run("5 MQTT-4.3.3-4 PUBREC that refuses", func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(x.v.Publish(4, "a", mid, "x"))
		x.Send(x.v.Answer(fakebroker.PUBREC, mid, 0x97))
		x.expectEvents(published(mid) + " 0x97")
		x.expectNothing() // no PUBREL
		x.lose(true)
		x.expectNothing()
		x.end()
	})
	t.Run("5 4.3.2 PUBACK that refuses", func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, setup{kept: true})
		mid := x.publish("a", "x", 1)
		x.Expect(x.v.Publish(2, "a", mid, "x"))
		x.Send(x.v.Answer(fakebroker.PUBACK, mid, 0x87))
		x.expectEvents(published(mid) + " 0x87")
		x.lose(true)
		x.expectNothing()
		x.end()
	})
}

// The client closes the connection if the broker exceeds the client's receive maximum.
func TestReceiveMaximum_ExceededClosesConnection(t *testing.T) {
	t.Parallel()
	two := setup{prepare: func(c *mosquitto.Client) { _ = c.IntOption(mosquitto.OptReceiveMaximum, 2) }}
	t.Run("5 MQTT-3.3.4-9 the maximum number of messages", func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, two)
		for range 3 {
			x.Send(x.v.Publish(4, "a", 1, "1"), x.v.Publish(4, "a", 2, "2"))
			x.Expect(x.v.Pubrec(1), x.v.Pubrec(2))
			x.Send(x.v.Pubrel(2), x.v.Pubrel(1))
			x.Expect(x.v.Pubcomp(2), x.v.Pubcomp(1))
			x.expectEvents(`message a "2" qos 2`, `message a "1" qos 2`)
		}
		x.expectNothing()
		x.end()
	})
	t.Run("5 3.3.4 one message more than the maximum", func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, two)
		x.Send(x.v.Publish(4, "a", 1, ""), x.v.Publish(4, "a", 2, ""))
		x.Expect(x.v.Pubrec(1), x.v.Pubrec(2))
		x.Send(x.v.Publish(2, "a", 3, ""))
		x.expectEvents("disconnected: protocol")
		x.Close()
		x.awaitReconnect()
		x.accept(false)
		x.Send(x.v.Publish(0, "a", 0, "x"))
		x.expectEvents(`message a "x" qos 0`)
		x.Send(x.probe())
		got := x.nextEvent()
		if got == "disconnected: protocol" { // the old messages count until their PUBRELs arrive
			got = "closed: protocol"
			x.Close()
			x.awaitReconnect()
			x.accept(false)
			x.Send(x.v.Pubrel(1), x.v.Pubrel(2))
			x.Expect(x.v.Pubcomp(1), x.v.Pubcomp(2))
			x.expectEvents(`message a "" qos 2`, `message a "" qos 2`)
			x.expectNothing()
		}
		require.Equal(t, receiveMaximumStuck.actual.current(), got)
		x.end()
	})
}

var receiveMaximumStuck = row{"3.1.2.11.3", "a QoS 1 message in a new session, after the receive maximum was used up by QoS 2 messages of the old session", nil,
	probeReceived, all("closed: protocol")}
