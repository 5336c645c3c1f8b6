package paho_test

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPrograms_SendTheSameBytes runs each program against a fake broker, compiled
// against paho.mqtt.golang and against ours. Both must send the same packets and print
// the same lines, which tell the order of their callbacks. What may differ:
//
//   - Packet ids: the specification leaves their choice to the client, and
//     libmosquitto takes an id for QoS 0 messages too. The test replaces each id by a
//     number. A new SUBSCRIBE, UNSUBSCRIBE or PUBLISH takes a new number; a PUBLISH with
//     DUP and a PUBREL have the number of their message. So a packet with a wrong id
//     differs.
//   - PINGREQ: its time depends on when the client last sent or received. It is
//     answered and not compared.
//   - A second SUBSCRIBE for the same filters after a reconnect: package mqtt renews the
//     subscriptions itself, and the program does it again in OnConnect. It is granted
//     and not compared.
//   - Differences that the dialog of a program permits. The dialog states the reason.
func TestPrograms_SendTheSameBytes(t *testing.T) {
	for _, d := range dialogs {
		t.Run(d.program, func(t *testing.T) {
			t.Parallel()
			var packets, lines [][]string
			for _, s := range sides {
				t.Run(s.name, func(t *testing.T) {
					b := newFakeBroker(t, d.transport)
					t.Cleanup(func() {
						if t.Failed() {
							t.Logf("%s sent:\n%s", s.name, strings.Join(b.transcript(), "\n"))
						}
					})
					b.process = start(t, s, d.program, b.address, b.file)
					d.serve(b)
					lines = append(lines, b.process.end())
					packets = append(packets, b.transcript())
				})
			}
			require.Len(t, packets, len(sides), "a side failed")
			require.NotEmpty(t, packets[0])
			require.NotEmpty(t, lines[0])
			assert.Equal(t, packets[0], packets[1], "packets")
			assert.Equal(t, lines[0], lines[1], "lines")
		})
	}
}

// fakeBroker is the broker of one program. It keeps what the program sends.
type fakeBroker struct {
	*fakebroker.Broker
	process  *process
	conn     *fakebroker.Conn
	packets  []packet
	address  string        // for the program
	file     string        // for the program: a folder that does not exist, or the CA with TLS
	requests <-chan string // of the websockets

	t          *testing.T
	groups     int
	group      int             // of the packets that come now
	lost       bool            // a connection was lost
	subscribed map[string]bool // the SUBSCRIBE packets of the connection, without their ids
	noDup      map[string]bool // topics whose DUP is not compared
	onlyOurs   string          // the topic of a QoS 0 message that paho drops
}

func newFakeBroker(t *testing.T, transport string) *fakeBroker {
	t.Helper()
	b := &fakeBroker{t: t, file: filepath.Join(t.TempDir(), "new")}
	switch transport {
	case "tls":
		l, ca := tlsListener(t)
		b.Broker, b.file = fakebroker.On(t, l), ca
		b.Port = l.Addr().(*net.TCPAddr).Port
	default:
		b.Broker = fakebroker.Listen(t)
	}
	b.address = fmt.Sprintf("127.0.0.1:%d", b.Port)
	if transport == "websocket" {
		b.address, b.requests = gateway(t, b.Broker)
	}
	return b
}

// packet is a packet that the client sent.
type packet struct {
	before, after string // in hex: the bytes before and after the packet id
	hasID, isNew  bool   // isNew: the client has chosen the packet id for a new exchange
	id            uint16
	text          string // for a person
	group         int    // packets of a group have no fixed order; 0: not in a group
}

// connect waits for a client and answers its CONNECT.
func (b *fakeBroker) connect(present bool, code byte) {
	b.t.Helper()
	b.accept()
	b.conn.Send(fakebroker.V311.Connack(present, code))
}

// expect reads the next packet, which must be of this type.
func (b *fakeBroker) expect(kind byte) fakebroker.Packet {
	b.t.Helper()
	p := b.read()
	require.Equal(b.t, fmt.Sprintf("%x", kind), fmt.Sprintf("%x", p.Type()), "the packet %v", p)
	return p
}

// read reads the next packet that is no PINGREQ.
func (b *fakeBroker) read() fakebroker.Packet {
	b.t.Helper()
	for {
		raw, err := b.conn.NextBytes()
		require.NoError(b.t, err, "the client closed the connection, or sent nothing")
		switch p := decode(raw); {
		case p.Type() == fakebroker.PINGREQ:
			b.send(fakebroker.Bytes(fakebroker.PINGRESP))
		case p.Type() == fakebroker.SUBSCRIBE && b.lost && b.subscribed[string(p.Body[2:])]:
			b.send(fakebroker.V311.Suback(p.MID(), p.Body[len(p.Body)-1:]))
		case p.Type() == fakebroker.PUBLISH && p.First&6 == 0 && string(p.Body[2:2+binary.BigEndian.Uint16(p.Body)]) == b.onlyOurs:
		default:
			if p.Type() == fakebroker.SUBSCRIBE {
				b.subscribed[string(p.Body[2:])] = true
			}
			b.packets = append(b.packets, b.record(raw, p))
			return p
		}
	}
}

// ignoreDup permits each PUBLISH with a topic to have DUP and its old packet id, or not.
func (b *fakeBroker) ignoreDup(topics ...string) {
	b.noDup = map[string]bool{}
	for _, topic := range topics {
		b.noDup[topic] = true
	}
}

// disconnect reads a DISCONNECT and the end of the connection.
func (b *fakeBroker) disconnect() {
	b.t.Helper()
	b.expect(fakebroker.DISCONNECT)
	b.closed()
}

// closed waits until the client has closed the connection.
func (b *fakeBroker) closed() {
	b.t.Helper()
	raw, err := b.conn.NextBytes()
	require.Error(b.t, err, "the packet %x", raw)
}

func (b *fakeBroker) send(packets ...[]byte) {
	b.t.Helper()
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	b.conn.Send(all)
}

// accept waits for a client and reads its CONNECT. With libmosquitto 2.1 a client that
// falls back to MQTT 3.1 first opens and closes a connection without sending a packet.
func (b *fakeBroker) accept() {
	b.t.Helper()
	b.subscribed = map[string]bool{}
	for {
		b.conn = b.Accept()
		raw, err := b.conn.NextBytes()
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			continue
		}
		require.NoError(b.t, err)
		p := decode(raw)
		require.Equal(b.t, fakebroker.CONNECT, int(p.Type()), "the packet %v", p)
		b.packets = append(b.packets, b.record(raw, p))
		return
	}
}

// lose closes the connection.
func (b *fakeBroker) lose() {
	b.lost = true
	b.conn.Close()
}

// grant reads a SUBSCRIBE and grants it.
func (b *fakeBroker) grant(codes ...byte) {
	b.t.Helper()
	p := b.expect(fakebroker.SUBSCRIBE)
	b.send(fakebroker.V311.Suback(p.MID(), codes))
}

// unsubscribed reads an UNSUBSCRIBE and acknowledges it.
func (b *fakeBroker) unsubscribed() {
	b.t.Helper()
	b.send(fakebroker.V311.Unsuback(b.expect(fakebroker.UNSUBSCRIBE).MID(), nil))
}

// published reads a PUBLISH and acknowledges it, in as many steps as its QoS has.
func (b *fakeBroker) published() {
	b.t.Helper()
	b.acknowledge(b.expect(fakebroker.PUBLISH))
}

// acknowledge acknowledges a PUBLISH that was read.
func (b *fakeBroker) acknowledge(p fakebroker.Packet) {
	b.t.Helper()
	switch p.First >> 1 & 3 {
	case 1:
		b.send(fakebroker.Ack(fakebroker.PUBACK, messageID(p)))
	case 2:
		b.send(fakebroker.Ack(fakebroker.PUBREC, messageID(p)))
		b.send(fakebroker.Ack(fakebroker.PUBCOMP, b.expect(fakebroker.PUBREL).MID()))
	}
}

// deliver sends a PUBLISH and reads its acknowledgements.
func (b *fakeBroker) deliver(flags byte, topic string, mid uint16, payload string) {
	b.t.Helper()
	b.send(fakebroker.Publish(flags, topic, mid, payload))
	switch flags >> 1 & 3 {
	case 1:
		require.Equal(b.t, mid, b.expect(fakebroker.PUBACK).MID())
	case 2:
		require.Equal(b.t, mid, b.expect(fakebroker.PUBREC).MID())
		b.send(fakebroker.Ack(fakebroker.PUBREL, mid))
		require.Equal(b.t, mid, b.expect(fakebroker.PUBCOMP).MID())
	}
}

// decode takes the length off a packet.
func decode(raw []byte) fakebroker.Packet {
	n := 1
	for raw[n]&0x80 != 0 {
		n++
	}
	return fakebroker.Packet{First: raw[0], Body: raw[n+1:]}
}

// messageID is the packet id of a PUBLISH.
func messageID(p fakebroker.Packet) uint16 {
	return binary.BigEndian.Uint16(p.Body[2+int(binary.BigEndian.Uint16(p.Body)):])
}

// record returns the parts of a packet that the test compares.
func (b *fakeBroker) record(raw []byte, p fakebroker.Packet) packet {
	at := -1 // of the id
	switch body := len(raw) - len(p.Body); {
	case p.Type() == fakebroker.PUBLISH && p.First&6 != 0:
		at = body + 2 + int(binary.BigEndian.Uint16(p.Body))
		if b.noDup[string(raw[body+2:at])] {
			raw, p.First = append([]byte{raw[0] &^ 8}, raw[1:]...), p.First&^8
		}
	case p.Type() == fakebroker.SUBSCRIBE || p.Type() == fakebroker.UNSUBSCRIBE || p.Type() == fakebroker.PUBREL:
		at = body
	}
	if at < 0 {
		return packet{before: hex.EncodeToString(raw), text: printable(raw), group: b.group}
	}
	return packet{
		before: hex.EncodeToString(raw[:at]), after: hex.EncodeToString(raw[at+2:]),
		hasID: true, id: binary.BigEndian.Uint16(raw[at:]),
		isNew: p.Type() != fakebroker.PUBREL && (p.Type() != fakebroker.PUBLISH || p.First&8 == 0),
		text:  printable(raw), group: b.group,
	}
}

// transcript lists the packets. Those of a group are sorted, and packet ids
// are replaced by numbers.
func (b *fakeBroker) transcript() (lines []string) {
	slices.SortStableFunc(b.packets, func(p, q packet) int {
		if p.group == 0 || p.group != q.group {
			return 0
		}
		return cmp.Or(strings.Compare(p.before, q.before), strings.Compare(p.after, q.after))
	})
	ids, last := map[uint16]int{}, 0
	for _, p := range b.packets {
		id := ""
		if p.hasID {
			if p.isNew {
				last++
				ids[p.id] = last
			}
			id = fmt.Sprintf(" (id %d) ", ids[p.id])
		}
		lines = append(lines, p.before+id+p.after+" "+p.text)
	}
	return lines
}

// anyOrder acknowledges n packets. The test then compares them without their order.
func (b *fakeBroker) anyOrder(n int) {
	b.t.Helper()
	b.groups++
	b.group = b.groups
	defer func() { b.group = 0 }()
	for range n {
		switch p := b.read(); p.Type() {
		case fakebroker.SUBSCRIBE:
			b.send(fakebroker.V311.Suback(p.MID(), []byte{1}))
		case fakebroker.PUBLISH:
			switch p.First >> 1 & 3 {
			case 1:
				b.send(fakebroker.Ack(fakebroker.PUBACK, messageID(p)))
			case 2:
				b.send(fakebroker.Ack(fakebroker.PUBREC, messageID(p)))
			}
		case fakebroker.PUBREL:
			b.send(fakebroker.Ack(fakebroker.PUBCOMP, p.MID()))
		default:
			require.Equal(b.t, fakebroker.PUBACK, int(p.Type()), "the packet %v", p)
		}
	}
}

// printable is a packet without the bytes that are no text.
func printable(raw []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(raw[2:min(len(raw), 60)]))
}
