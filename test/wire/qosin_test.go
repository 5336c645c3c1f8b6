package wire

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// Messages that come twice, and handshakes that are not finished.
func TestReceiveQoS1(t *testing.T) {
	both(t, "4.3.2 PUBLISH twice", "4.3.2 PUBLISH twice", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(2, "a", 7, "x"))
		x.Expect(v.Puback(7))
		x.Send(v.Publish(8|2, "a", 7, "x"))
		x.Expect(v.Puback(7))
		x.hears(`message a "x" qos 1`, `message a "x" qos 1`) // at least once
		x.end()
	})
}

func TestReceiveQoS1Border(t *testing.T) {
	both(t, "2.3.1 lowest and highest id", "2.2.1 lowest and highest id", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		for _, mid := range []uint16{1, 255, 256, 65535} {
			x.Send(v.Publish(2, "a", mid, "x"))
			x.Expect(v.Puback(mid))
			x.hears(`message a "x" qos 1`)
		}
		x.end()
	})
}

func TestReceiveQoS2(t *testing.T) {
	both(t, "MQTT-4.3.3-2 PUBREL twice", "MQTT-4.3.3-11 PUBREL twice", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.Send(v.Pubrel(7), v.Pubrel(7))
		x.Expect(v.Pubcomp(7))
		x.hears(`message a "x" qos 2`)
		x.Expect(pubrelAgain(v))
		x.quiet()
		x.end()
	})
}

// pubrelAgain is the library's answer to a PUBREL of an id that it has done
// with. MQTT 5 would let it say so.
func pubrelAgain(v peer.Version) []byte { return v.Pubcomp(7) }

var qos2Twice = row{"MQTT-4.3.3-10", "a QoS 2 PUBLISH sent again before its PUBREL, then a new one of the same id", nil,
	`message a "old" qos 2, message a "new" qos 2`, all(`message a "old" qos 2, message a "old" qos 2`)}

// Exactly once, where the broker repeats the PUBLISH: the library keeps both,
// and gives the second when its id is used next.
func TestReceiveQoS2Twice(t *testing.T) {
	both(t, "MQTT-4.3.3-2 PUBLISH twice", "MQTT-4.3.3-10 PUBLISH twice", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		release := func() string {
			x.Send(v.Pubrel(7))
			x.Expect(v.Pubcomp(7))
			return x.next()
		}
		x.Send(v.Publish(4, "a", 7, "old"), v.Publish(8|4, "a", 7, "old"))
		x.Expect(v.Pubrec(7), v.Pubrec(7))
		first := release()
		x.Send(v.Publish(4, "a", 7, "new"))
		x.Expect(v.Pubrec(7))
		require.Equal(t, qos2Twice.does.here(), first+", "+release())
		x.end()
	})
}

// An id is free when its handshake is over.
func TestReceiveQoS2SameID(t *testing.T) {
	both(t, "4.3.3 the same id again", "4.3.3 the same id again", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		for _, payload := range []string{"one", "two"} {
			x.Send(v.Publish(4, "a", 7, payload))
			x.Expect(v.Pubrec(7))
			x.quiet() // not told before PUBREL
			x.Send(v.Pubrel(7))
			x.Expect(v.Pubcomp(7))
			x.hears(`message a "` + payload + `" qos 2`)
		}
		x.end()
	})
}

// Messages are told in the order of their PUBRELs.
func TestReceiveQoS2OutOfOrder(t *testing.T) {
	both(t, "4.6 PUBRELs out of order", "4.6 PUBRELs out of order", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(4, "a", 1, "1"), v.Publish(4, "a", 2, "2"), v.Publish(4, "a", 3, "3"))
		x.Expect(v.Pubrec(1), v.Pubrec(2), v.Pubrec(3))
		for _, mid := range []uint16{3, 1, 2} {
			x.Send(v.Pubrel(mid))
			x.Expect(v.Pubcomp(mid))
		}
		x.hears(`message a "3" qos 2`, `message a "1" qos 2`, `message a "2" qos 2`)
		x.end()
	})
}

// The handshake goes on where it was, when the session is kept.
func TestReceiveQoS2PubrelAfterLoss(t *testing.T) {
	both(t, "MQTT-4.4.0-1 PUBREL after a loss", "4.4 PUBREL after a loss", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{kept: true})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.lose(true)
		x.Send(v.Pubrel(7))
		x.Expect(v.Pubcomp(7))
		x.hears(`message a "x" qos 2`)
		x.lose(true)
		x.Send(v.Pubrel(7)) // PUBCOMP was lost
		x.Expect(pubrelAgain(v))
		x.quiet()
		x.end()
	})
}

var qos2CleanLoss = row{"3.1.2.4", "PUBREL of a message of a session that was clean and is over", nil,
	"not told", all(`message a "x" qos 2`)}

// A clean session should forget the message; its PUBREL is answered all the same.
func TestReceiveQoS2CleanSession(t *testing.T) {
	both(t, "MQTT-3.1.2-6 clean session", "MQTT-3.1.2-4 clean start", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(4, "a", 7, "x"))
		x.Expect(v.Pubrec(7))
		x.lose(false)
		x.Send(v.Pubrel(7), x.probe())
		got := "not told"
		for line := x.next(); line != probeHeard; line = x.next() {
			got = line
		}
		x.Expect(v.Pubcomp(7), v.Puback(probeID))
		require.Equal(t, qos2CleanLoss.does.here(), got)
		x.end()
	})
}

// Flags and contents of a received PUBLISH.
func TestReceiveFlags(t *testing.T) {
	both(t, "3.3.1.3 retain", "3.3.1.3 retain", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(1, "a/b", 0, ""), v.Publish(2|1, "a/b", 7, "x"), v.Publish(0, "ä/π/😀", 0, "\x00\xff"))
		x.hears(`message a/b "" qos 0 retained`, `message a/b "x" qos 1 retained`, `message ä/π/😀 "\x00\xff" qos 0`)
		x.Expect(v.Puback(7))
		x.end()
	})
}

// All three at once, in one segment: the answers come in order.
func TestReceiveInterleaved(t *testing.T) {
	both(t, "MQTT-4.6.0-2 answers in order", "MQTT-4.6.0-2 answers in order", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{})
		x.Send(v.Publish(4, "a", 1, "1"), v.Publish(2, "a", 2, "2"), v.Publish(4, "a", 3, "3"), v.Publish(2, "a", 4, "4"), v.Pubrel(1), v.Publish(0, "a", 0, "5"))
		x.Expect(v.Pubrec(1), v.Puback(2), v.Pubrec(3), v.Puback(4), v.Pubcomp(1))
		x.hears(`message a "2" qos 1`, `message a "4" qos 1`, `message a "1" qos 2`, `message a "5" qos 0`)
		x.quiet()
		x.end()
	})
}
