package paho_test

import (
	"fmt"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// A dialog is a program and how the fake broker serves it.
type dialog struct {
	program   string
	transport string // "", tls or websocket
	serve     func(b *fakeBroker)
}

var dialogs = []dialog{
	{"will", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.published()
		b.disconnect()
	}},
	{"plain", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.disconnect()
	}},
	{"publish", "", func(b *fakeBroker) {
		b.connect(false, 0)
		for range 5 { // the number is refused
			b.published()
		}
		first, second := b.expect(fakebroker.PUBLISH), b.expect(fakebroker.PUBLISH)
		b.send(fakebroker.Ack(fakebroker.PUBACK, messageID(second)))
		b.process.await("second before first")
		b.process.step()
		b.send(fakebroker.Ack(fakebroker.PUBACK, messageID(first)))
		b.disconnect()
	}},
	{"subscribe", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.grant(0)
		b.grant(1)
		b.grant(1) // less than was asked for
		b.grant(1)
		b.grant(0x80)
		b.deliver(0, "s/0", 0, "zero")
		b.deliver(1, "s/0", 0, "retained")
		b.deliver(2, "s/1", 7, "one")
		b.deliver(4, "s/2", 8, "two")
		b.deliver(2, "m/a/x/b/c", 9, "")
		b.unsubscribed()
		b.unsubscribed()
		b.disconnect()
	}},
	{"invalid", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.expect(fakebroker.PUBLISH) // not acknowledged
		b.disconnect()
	}},
	{"reconnect", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.grant(1)
		b.expect(fakebroker.PUBLISH)
		b.expect(fakebroker.PUBLISH)
		b.process.await("published")
		b.lose()
		// The session is clean: ours sends the messages as new messages, and paho repeats
		// them. paho sets DUP on the third message too, which it has not sent before.
		b.ignoreDup("r/first", "r/second", "r/third")
		b.onlyOurs = "r/dropped" // paho drops messages of QoS 0 while it is offline
		b.connect(false, 0)
		// OnConnect runs in a goroutine of its own, beside the messages of the store, and
		// paho's memory store has no order: SUBSCRIBE, three PUBLISH, PUBREL.
		b.anyOrder(5)
		b.process.step()
		b.disconnect()
	}},
	{"resend", "", func(b *fakeBroker) {
		b.connect(false, 0)
		for range 4 {
			b.expect(fakebroker.PUBLISH)
		}
		b.process.await("published")
		b.lose()
		b.connect(true, 0)
		var again []fakebroker.Packet
		for range 4 {
			again = append(again, b.expect(fakebroker.PUBLISH))
		}
		for _, p := range again {
			b.acknowledge(p)
		}
		b.process.step()
		b.process.step()
		b.disconnect()
	}},
	{"noreconnect", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.expect(fakebroker.PUBLISH)
		b.lose()
		b.connect(false, 0)
		b.published()
		b.disconnect()
	}},
	{"again", "", func(b *fakeBroker) {
		for range 3 {
			b.connect(false, 0)
			b.grant(1)
			b.published()
			b.deliver(2, "again", 5, "y")
			b.process.step() // the PUBACK is sent after the handler has returned
			b.disconnect()
		}
	}},
	{"routes", "", func(b *fakeBroker) {
		b.connect(false, 0)
		for range 5 {
			b.grant(1)
		}
		b.unsubscribed()
		b.process.await("ready")
		for i, topic := range []string{"a/b", "a/c", "other", "c", "c/d/e", "d", "gone", "ignored", "end"} {
			b.deliver(2, topic, uint16(i+1), "x")
		}
		b.deliver(2, "end", 99, "end")
		b.disconnect()
	}},
	{"unordered", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.grant(1)
		b.process.await("ready")
		b.send(fakebroker.Publish(2, "question", 3, "?"))
		// Without order paho acknowledges when the handler has returned, libmosquitto when
		// the handler begins: PUBACK, PUBLISH, SUBSCRIBE.
		b.anyOrder(3)
		b.process.step()
		b.disconnect()
	}},
	{"refused", "", func(b *fakeBroker) {
		for code := range byte(5) {
			b.connect(false, code+1)
			b.closed()
		}
	}},
	{"oldversion", "", func(b *fakeBroker) {
		b.connect(false, 1)
		b.closed()
		for range 2 {
			b.connect(false, 0)
			b.published()
			b.disconnect()
		}
	}},
	{"session", "", func(b *fakeBroker) {
		b.connect(true, 0)
		b.deliver(2, "stored", 1, "1")
		b.process.step() // the PUBACK is sent after the handler has returned
		b.expect(fakebroker.SUBSCRIBE)
		b.lose()
		b.connect(true, 0)
		b.grant(2)
		b.deliver(4, "session/x", 2, "2")
		b.process.step()
		b.disconnect()
	}},
	{"retry", "", func(b *fakeBroker) {
		b.accept()
		b.process.await("ready")
		b.lose()
		b.ignoreDup("retry/early") // paho sends DUP with messages that it has not sent before
		b.connect(false, 0)
		b.published()
		b.disconnect()
	}},
	{"stop", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.grant(0)
		b.process.await("ready")
		b.deliver(0, "stop", 0, "now")
		b.disconnect()
	}},
	{"notify", "", func(b *fakeBroker) {
		b.connect(false, 5)
		b.closed()
		b.connect(false, 0)
		b.process.await("connected")
		b.process.step()
		b.lose()
		b.connect(false, 0)
		b.disconnect()
	}},
	{"opener", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.published()
		b.disconnect()
		b.connect(false, 0)
		require.Contains(b.t, b.conn.RemoteAddr().String(), "127.0.0.9")
		b.process.step()
		b.disconnect()
	}},
	{"credentials", "", func(b *fakeBroker) {
		for range 2 {
			b.connect(false, 0)
			b.process.await("connect")
			b.process.step()
			b.lose()
			b.connect(false, 0)
			b.disconnect()
		}
	}},
	{"order", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.grant(1)
		b.process.await("ready")
		var packets [][]byte
		for i := range 300 {
			qos := byte(i % 2 << 1)
			packets = append(packets, fakebroker.Publish(qos, fmt.Sprintf("o/%d", i%7), uint16(i+1), fmt.Sprint(i)))
		}
		b.send(packets...)
		b.anyOrder(450) // each handler answers from a goroutine of its own, beside the PUBACKs
		b.process.step()
		b.disconnect()
	}},
	{"store", "", func(b *fakeBroker) {
		b.connect(false, 0)
		b.expect(fakebroker.PUBLISH)
		b.process.step()
		b.expect(fakebroker.PUBLISH)
		require.NoError(b.t, b.process.cmd.Process.Kill())
		b.ignoreDup("store/1", "store/2") // libmosquitto sends no DUP with messages of another process
		b.process = start(b.t, b.process.side, "store", append(b.process.args, "again")...)
		b.connect(true, 0)
		b.anyOrder(3) // PUBLISH, PUBLISH, PUBREL
		b.process.step()
		b.published()
		b.disconnect()
	}},
	{"secure", "tls", func(b *fakeBroker) {
		for range 4 {
			b.connect(false, 0)
			b.published()
			b.disconnect()
		}
		b.conn = b.Accept() // the TLS handshake of this connection fails
		_, err := b.conn.NextBytes()
		require.Error(b.t, err)
	}},
	{"websockets", "websocket", func(b *fakeBroker) {
		b.connect(false, 0)
		b.published()
		b.disconnect()
		b.packets = append(b.packets, packet{text: wait.For(b.t, b.requests, "a request")})
	}},
}
