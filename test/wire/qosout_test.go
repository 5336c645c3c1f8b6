package wire

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// published is OnPublish for an accepted message.
func published(mid uint16) string { return fmt.Sprintf("published %d", mid) }

// The whole handshake with answers that come twice, late or never; each message
// is told once.
func TestPublishQoS1(t *testing.T) {
	both(t, "4.3.2 PUBACK twice", "4.3.2 PUBACK twice", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		mid := x.publish("a", "x", 1)
		x.Expect(v.Publish(2, "a", mid, "x"))
		x.Send(v.Puback(mid), v.Puback(mid))
		x.hears(published(mid))
		x.quiet()
		x.end()
	})
}

func TestPublishQoS1OutOfOrder(t *testing.T) {
	both(t, "4.6 PUBACKs out of order", "4.6 PUBACKs out of order", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		var mids []uint16
		for range 3 {
			mids = append(mids, x.publish("a", "x", 1))
			x.Expect(v.Publish(2, "a", mids[len(mids)-1], "x"))
		}
		for _, i := range []int{2, 0, 1} {
			x.Send(v.Puback(mids[i]))
			x.hears(published(mids[i]))
		}
		x.quiet()
		x.end()
	})
}

func TestPublishQoS1Lost(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBACK lost: DUP", "MQTT-4.4.0-1 PUBACK lost: DUP", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{kept: true})
		mid := x.publish("a", "x", 1)
		x.Expect(v.Publish(2, "a", mid, "x"))
		for range 2 {
			x.lose(true)
			x.Expect(v.Publish(8|2, "a", mid, "x"))
		}
		x.Send(v.Puback(mid))
		x.hears(published(mid))
		x.lose(true)
		x.quiet() // it is done with
		x.end()
	})
}

// What is sent again keeps its order, and its properties.
func TestPublishOrderAfterLoss(t *testing.T) {
	both(t, "MQTT-4.6.0-1 order after a loss", "MQTT-4.6.0-1 order after a loss", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{kept: true})
		var encoded []peer.Property
		var props mosquitto.Properties
		if v == peer.V5 {
			encoded, props = []peer.Property{peer.UserProperty("k", "v")}, mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "k", Text: "v"}}
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
		x.quiet()
		x.end()
	})
}

func TestPublishQoS2(t *testing.T) {
	both(t, "4.3.3 PUBREC and PUBCOMP twice", "4.3.3 PUBREC and PUBCOMP twice", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.Send(v.Pubrec(mid), v.Pubrec(mid))
		x.Expect(v.Pubrel(mid), v.Pubrel(mid))
		x.quiet()
		x.Send(v.Pubcomp(mid), v.Pubcomp(mid))
		x.hears(published(mid))
		x.quiet()
		x.end()
	})
}

func TestPublishQoS2PubrecLost(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBREC lost: PUBLISH with DUP", "MQTT-4.4.0-1 PUBREC lost: PUBLISH with DUP", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.lose(true)
		x.Expect(v.Publish(8|4, "a", mid, "x"))
		x.Send(v.Pubrec(mid))
		x.Expect(v.Pubrel(mid))
		x.Send(v.Pubcomp(mid))
		x.hears(published(mid))
		x.end()
	})
}

// After PUBREC the message itself is never sent again.
func TestPublishQoS2PubcompLost(t *testing.T) {
	both(t, "MQTT-4.3.3-1 PUBCOMP lost: PUBREL", "MQTT-4.3.3-6 PUBCOMP lost: PUBREL", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(v.Publish(4, "a", mid, "x"))
		x.Send(v.Pubrec(mid))
		x.Expect(v.Pubrel(mid))
		for range 2 {
			x.lose(true)
			x.Expect(v.Pubrel(mid))
		}
		x.Send(v.Pubrec(mid)) // out of date
		x.Expect(v.Pubrel(mid))
		x.Send(v.Pubcomp(mid))
		x.hears(published(mid))
		x.lose(true)
		x.quiet()
		x.end()
	})
}

var (
	pubcompEarly = row{"4.3.3", "PUBCOMP of a message without PUBREC", nil, closed, all("published 1")}
	pubackForTwo = row{"4.3.3", "PUBACK of a QoS 2 message", nil, closed, all("closed: protocol")}
	pubrecForOne = row{"4.3.2", "PUBREC of a QoS 1 message", nil, closed, all("closed: protocol")}
)

// Answers that do not belong to the message.
func TestPublishWrongAnswer(t *testing.T) {
	for _, test := range []struct {
		row
		qos    mosquitto.QoS
		answer byte
	}{{pubcompEarly, 2, peer.PUBCOMP}, {pubackForTwo, 2, peer.PUBACK}, {pubrecForOne, 1, peer.PUBREC}} {
		clause := test.clause + " " + test.name
		t.Run(clause, func(t *testing.T) {
			both(t, clause, clause, func(t *testing.T, v peer.Version) {
				x := meet(t, v, setup{})
				mid := x.publish("a", "x", test.qos)
				flags := byte(test.qos) << 1
				x.Expect(v.Publish(flags, "a", mid, "x"))
				x.Send(v.Answer(test.answer, mid, 0))
				got := x.next()
				if got == "disconnected: protocol" {
					got = "closed: protocol"
					x.Close()
					x.again()
					x.accept(false)
					x.Expect(v.Publish(flags|8, "a", mid, "x")) // it waits for its own answer
				}
				require.Equal(t, test.does.here(), got)
				x.quiet()
				x.end()
			})
		})
	}
}

// QoS 0 has no id and no answer.
func TestPublishQoS0(t *testing.T) {
	both(t, "MQTT-2.3.1-5 no id", "MQTT-2.2.1-2 no id", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		mid := x.publish("a", "x", 0)
		x.Expect(v.Publish(0, "a", 0, "x"))
		x.hears(published(mid))
		x.lose(false)
		x.quiet() // it is not sent again
		x.end()
	})
}

// Ids are not used twice while they are in use.
func TestPublishIDs(t *testing.T) {
	both(t, "MQTT-2.3.1-2 ids in use", "MQTT-2.2.1-4 ids in use", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
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
			x.Expect(v.Subscribe(uint16(sub), nil, peer.Filter{Name: "a"}))
		}
		x.end()
	})
}

// A broker of MQTT 5 that refuses ends the message, at either answer.
func TestPublishRefused(t *testing.T) {
	t.Parallel()
	t.Run("5 MQTT-4.3.3-4 PUBREC that refuses", func(t *testing.T) {
		t.Parallel()
		x := meet(t, peer.V5, setup{kept: true})
		mid := x.publish("a", "x", 2)
		x.Expect(x.v.Publish(4, "a", mid, "x"))
		x.Send(x.v.Answer(peer.PUBREC, mid, 0x97))
		x.hears(published(mid) + " 0x97")
		x.quiet() // no PUBREL
		x.lose(true)
		x.quiet()
		x.end()
	})
	t.Run("5 4.3.2 PUBACK that refuses", func(t *testing.T) {
		t.Parallel()
		x := meet(t, peer.V5, setup{kept: true})
		mid := x.publish("a", "x", 1)
		x.Expect(x.v.Publish(2, "a", mid, "x"))
		x.Send(x.v.Answer(peer.PUBACK, mid, 0x87))
		x.hears(published(mid) + " 0x87")
		x.lose(true)
		x.quiet()
		x.end()
	})
}

// The library's own receive maximum: a broker that exceeds it is cut off.
func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	two := setup{prepare: func(c *mosquitto.Client) { _ = c.IntOption(mosquitto.OptReceiveMaximum, 2) }}
	t.Run("5 MQTT-3.3.4-9 as many as there may be", func(t *testing.T) {
		t.Parallel()
		x := meet(t, peer.V5, two)
		for round := range 3 {
			x.Send(x.v.Publish(4, "a", 1, "1"), x.v.Publish(4, "a", 2, "2"))
			x.Expect(x.v.Pubrec(1), x.v.Pubrec(2))
			x.Send(x.v.Pubrel(2), x.v.Pubrel(1))
			x.Expect(x.v.Pubcomp(2), x.v.Pubcomp(1))
			x.hears(`message a "2" qos 2`, `message a "1" qos 2`)
			_ = round
		}
		x.quiet()
		x.end()
	})
	t.Run("5 3.3.4 one more than there may be", func(t *testing.T) {
		t.Parallel()
		x := meet(t, peer.V5, two)
		x.Send(x.v.Publish(4, "a", 1, ""), x.v.Publish(4, "a", 2, ""))
		x.Expect(x.v.Pubrec(1), x.v.Pubrec(2))
		x.Send(x.v.Publish(2, "a", 3, ""))
		x.hears("disconnected: protocol")
		x.Close()
		x.again()
		x.accept(false)
		x.Send(x.v.Publish(0, "a", 0, "x"))
		x.hears(`message a "x" qos 0`)
		x.Send(x.probe())
		got := x.next()
		if got == "disconnected: protocol" { // the old messages still count, until their PUBRELs
			got = "closed: protocol"
			x.Close()
			x.again()
			x.accept(false)
			x.Send(x.v.Pubrel(1), x.v.Pubrel(2))
			x.Expect(x.v.Pubcomp(1), x.v.Pubcomp(2))
			x.hears(`message a "" qos 2`, `message a "" qos 2`)
			x.quiet()
		}
		require.Equal(t, receiveMaximumStuck.does.here(), got)
		x.end()
	})
}

var receiveMaximumStuck = row{"3.1.2.11.3", "a QoS 1 message of a new session, when our receive maximum of QoS 2 messages was open in the old one", nil,
	probeHeard, all("closed: protocol")}
