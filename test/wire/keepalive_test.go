package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// An idle client sends PINGREQ within its keepalive. It closes the connection if no
// PINGRESP arrives. The shortest keepalive is five seconds.
func TestKeepalive_UnansweredPingClosesConnection(t *testing.T) {
	both(t, "MQTT-3.1.2-23 and 3.1.2.10", "MQTT-3.1.2-20 and 3.1.2.10", func(t *testing.T, v fakebroker.Version) {
		x := dialAccepted(t, v, setup{keepalive: 5 * time.Second})
		x.Expect("C0 00")
		x.expectEvents("disconnected: keepalive")
		x.ExpectClosed()
		x.awaitReconnect()
		x.accept(false)
		x.end()
	})
}

// The broker's keepalive replaces the client's. It can be shorter than the shortest
// keepalive of the library.
func TestServerKeepalive_ReplacesKeepalive(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, seconds uint16) *exchange {
		x := dial(t, fakebroker.V5, setup{keepalive: time.Hour})
		x.Expect("10 < 'MQTT' 05 02 0E 10 < 21 00 14 > 'id' >")
		x.accept(false, fakebroker.ServerKeepalive(seconds))
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
	t.Run("5 4.8 without PINGRESP", func(t *testing.T) {
		t.Parallel()
		x := serve(t, 1)
		x.Expect("C0 00")
		x.expectEvents("disconnected: keepalive")
		x.awaitReconnect()
		x.accept(false, fakebroker.ServerKeepalive(60))
		x.end()
	})
	t.Run("5 3.2.2.3.14 of zero", func(t *testing.T) {
		t.Parallel()
		x := serve(t, 0)
		x.expectNothing()
		x.end()
	})
}

var keepaliveAgain = row{"3.2.2.3.14", "the keepalive in CONNECT after the broker has shortened it on the previous connection", nil,
	"3600", all("1")}

// The broker's keepalive applies to one connection. The next CONNECT should have the
// client's keepalive again.
func TestServerKeepalive_NextConnect(t *testing.T) {
	t.Parallel()
	t.Run("5 "+keepaliveAgain.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(false, fakebroker.ServerKeepalive(1))
		x.Close()
		x.expectEvents("disconnected: lost")
		got := "3600"
		if connect := x.awaitReconnect(); connect[10] == 0 && connect[11] == 1 {
			got = "1"
		}
		require.Equal(t, keepaliveAgain.actual.current(), got)
		x.accept(false)
		x.end()
	})
}

var keepaliveOneWay = row{"MQTT-3.1.2-20", "PINGREQ of a client that only receives, after the broker has shortened the keepalive", nil,
	"C0 00", all("none")}

// A client must send a packet within the keepalive, even if it receives messages all
// the time. The library uses its own keepalive in that case.
func TestKeepalive_ReceivingClientSendsPing(t *testing.T) {
	t.Parallel()
	t.Run("5 "+keepaliveOneWay.clause, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(false, fakebroker.ServerKeepalive(2))
		for range 40 { // two keepalives, because the library counts whole seconds
			x.Send(x.v.Publish(0, "a", 0, ""))
			x.expectEvents(`message a "" qos 0`)
			time.Sleep(100 * time.Millisecond) // the interval between messages
		}
		x.Send(x.probe())
		got := "none"
		if answers := x.answers(x.v.Puback(probeID)); len(answers) > 0 {
			got = strings.TrimPrefix(answers[0], "> ")
		}
		require.Equal(t, keepaliveOneWay.actual.current(), got)
		x.expectEvents(probeReceived)
		x.end()
	})
}

// The client sends unacknowledged messages again after a keepalive timeout.
func TestKeepalive_TimeoutRepeatsMessages(t *testing.T) {
	t.Parallel()
	t.Run("5 MQTT-4.4.0-1 after a keepalive timeout", func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, setup{kept: true, keepalive: time.Hour})
		x.Expect("10 **")
		x.accept(true, fakebroker.ServerKeepalive(1))
		mid := x.publish("a", "x", mosquitto.QoS(1))
		x.Expect(x.v.Publish(2, "a", mid, "x"), "C0 00")
		x.expectEvents("disconnected: keepalive")
		x.awaitReconnect()
		x.accept(true)
		x.Expect(x.v.Publish(8|2, "a", mid, "x"))
		x.Send(x.v.Puback(mid))
		x.expectEvents(published(mid))
		x.end()
	})
}
