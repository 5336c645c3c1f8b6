package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// An idle client pings within its keepalive, and gives up a broker that does
// not answer. The shortest keepalive is five seconds.
func TestKeepalive(t *testing.T) {
	both(t, "MQTT-3.1.2-23 and 3.1.2.10", "MQTT-3.1.2-20 and 3.1.2.10", func(t *testing.T, v peer.Version) {
		x := meet(t, v, setup{keepalive: 5 * time.Second})
		x.Expect("C0 00")
		x.hears("disconnected: keepalive")
		x.ExpectClosed()
		x.again()
		x.accept(false)
		x.end()
	})
}

// The broker's keepalive replaces ours, shorter than any that we could ask for.
func TestServerKeepalive(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, seconds uint16) *exchange {
		x := dial(t, peer.V5, setup{keepalive: time.Hour})
		x.Expect("10 < 'MQTT' 05 02 0E 10 < 21 00 14 > 'id' >")
		x.accept(false, peer.ServerKeepalive(seconds))
		return x
	}
	t.Run("5 MQTT-3.2.2-21 of one second", func(t *testing.T) {
		t.Parallel()
		x := serve(t, 1)
		for range 3 {
			x.Expect("C0 00")
			x.Send("D0 00")
		}
		x.end()
	})
	t.Run("5 4.8 and no answer", func(t *testing.T) {
		t.Parallel()
		x := serve(t, 1)
		x.Expect("C0 00")
		x.hears("disconnected: keepalive")
		x.again()
		x.accept(false, peer.ServerKeepalive(60))
		x.end()
	})
	t.Run("5 3.2.2.3.14 none at all", func(t *testing.T) {
		t.Parallel()
		x := serve(t, 0)
		x.quiet()
		x.end()
	})
}

var keepaliveAgain = row{"3.2.2.3.14", "the keepalive of a CONNECT, when the broker shortened the one before", nil,
	"3600", all("1")}

// It is for one connection; the next CONNECT asks for our own again.
func TestServerKeepaliveAfterLoss(t *testing.T) {
	t.Parallel()
	t.Run("5 "+keepaliveAgain.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, peer.V5, setup{keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(false, peer.ServerKeepalive(1))
		x.Close()
		x.hears("disconnected: lost")
		got := "3600"
		if connect := x.again(); connect[10] == 0 && connect[11] == 1 {
			got = "1"
		}
		require.Equal(t, keepaliveAgain.does.here(), got)
		x.accept(false)
		x.end()
	})
}

var keepaliveOneWay = row{"MQTT-3.1.2-20", "PINGREQ of a client that only receives, when the broker shortened the keepalive", nil,
	"C0 00", all("none")}

// Only what is sent is a sign of life: a client that receives without a pause
// pings all the same. The library goes by the keepalive that it had asked for.
func TestKeepaliveOneWay(t *testing.T) {
	t.Parallel()
	t.Run("5 "+keepaliveOneWay.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, peer.V5, setup{keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(false, peer.ServerKeepalive(2))
		for range 40 { // for two keepalives; the library counts whole seconds
			x.Send(x.v.Publish(0, "a", 0, ""))
			x.hears(`message a "" qos 0`)
			time.Sleep(100 * time.Millisecond) // the pace of the messages
		}
		x.Send(x.probe())
		got := "none"
		if answers := x.answers(x.v.Puback(probeID)); len(answers) > 0 {
			got = strings.TrimPrefix(answers[0], "> ")
		}
		require.Equal(t, keepaliveOneWay.does.here(), got)
		x.hears(probeHeard)
		x.end()
	})
}

// Messages that are lost in a broker that stands still come again after it.
func TestKeepaliveLoss(t *testing.T) {
	t.Parallel()
	t.Run("5 MQTT-4.4.0-1 after a keepalive without an answer", func(t *testing.T) {
		t.Parallel()
		x := dial(t, peer.V5, setup{kept: true, keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(true, peer.ServerKeepalive(1))
		mid := x.publish("a", "x", mosquitto.QoS(1))
		x.Expect(x.v.Publish(2, "a", mid, "x"), "C0 00")
		x.hears("disconnected: keepalive")
		x.again()
		x.accept(true)
		x.Expect(x.v.Publish(8|2, "a", mid, "x"))
		x.Send(x.v.Puback(mid))
		x.hears(published(mid))
		x.end()
	})
}
