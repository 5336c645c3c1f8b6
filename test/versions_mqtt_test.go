package test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// connectPacket is a parsed CONNECT.
type connectPacket struct {
	name      string
	level     byte
	flags     byte
	keepalive uint16
	props     []byte // without their length
	id        string
	willProps []byte
	willTopic string
	will      string
	username  string
	password  string
}

const (
	connectClean    = 0x02
	connectWill     = 0x04
	connectRetain   = 0x20
	connectPassword = 0x40
	connectUsername = 0x80
)

// readConnect expects a CONNECT and parses it.
func readConnect(t testing.TB, conn *fakebroker.Conn) (p connectPacket) {
	t.Helper()
	body := conn.Expect(fakebroker.CONNECT).Body
	take := func(n int) []byte {
		require.GreaterOrEqual(t, len(body), n, "CONNECT is too short")
		taken := body[:n]
		body = body[n:]
		return taken
	}
	text := func() string { return string(take(int(binary.BigEndian.Uint16(take(2))))) }
	props := func() []byte {
		if p.level != 5 {
			return nil
		}
		n, length := binary.Uvarint(body) // same encoding as MQTT's variable byte integer
		take(length)
		return take(int(n))
	}
	p.name, p.level, p.flags = text(), take(1)[0], take(1)[0]
	p.keepalive = binary.BigEndian.Uint16(take(2))
	p.props, p.id = props(), text()
	if p.flags&connectWill != 0 {
		p.willProps, p.willTopic, p.will = props(), text(), text()
	}
	if p.flags&connectUsername != 0 {
		p.username = text()
	}
	if p.flags&connectPassword != 0 {
		p.password = text()
	}
	require.Empty(t, body, "CONNECT is too long")
	return p
}

// An option chooses the MQTT version of a client.
func TestVersions_ConnectHasTheSetVersion(t *testing.T) {
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			require.NoError(t, c.UsernamePwSet("user", "secret"))
			require.NoError(t, c.WillSet("will/topic", []byte("gone"), 2, true))
			require.NoError(t, c.Connect("127.0.0.1", p.Port, 77*time.Second))
			ended := loop(t, c)
			conn := p.Accept()
			got := readConnect(t, conn)
			require.Equal(t, byte(v.version), got.level)
			require.Equal(t, uint16(77), got.keepalive)
			require.Equal(t, byte(connectUsername|connectPassword|connectRetain|2<<3|connectWill|connectClean), got.flags)
			require.Equal(t, []string{"id", "will/topic", "gone", "user", "secret"}, []string{got.id, got.willTopic, got.will, got.username, got.password})
			answer := []byte{0, 0}
			if v.version == mosquitto.ProtocolV31 {
				require.Equal(t, "MQIsdp", got.name)
			} else {
				require.Equal(t, "MQTT", got.name)
			}
			if v.version == mosquitto.ProtocolV5 {
				require.Empty(t, got.willProps)
				answer = append(answer, 0)
			}
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, answer...))
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			part(t, c, conn, ended)
		})
	}
}

func TestVersions_DefaultIs311(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", false)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	got := readConnect(t, conn)
	require.Equal(t, byte(mosquitto.ProtocolV311), got.level)
	require.Zero(t, got.flags, "clean session, will, username or password")
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	wait.For(t, e.connect, "OnConnect")
	part(t, c, conn, ended)
}

func TestVersions_UnknownIsRefused(t *testing.T) {
	c, _ := newClient(t, "id", true)
	for _, version := range []int{-1, 0, 2, 6} {
		require.ErrorIs(t, c.IntOption(mosquitto.OptProtocolVersion, version), mosquitto.ErrInval)
	}
}

// A client of each version publishes to a client of each version.
func TestVersions_ExchangeMessages(t *testing.T) {
	b := plain(t)
	for _, from := range protocols {
		for _, to := range protocols {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				sender, se := newVersion(t, "sender", true, from.version)
				receiver, re := newVersion(t, "receiver", true, to.version)
				sent := connect(t, sender, se, b.Port)
				received := connect(t, receiver, re, b.Port)
				subscribe(t, receiver, re, "a/b", 2)
				for _, qos := range []mosquitto.QoS{0, 1, 2} {
					mid, err := sender.Publish("a/b", []byte("hello"), qos, false)
					require.NoError(t, err)
					require.Equal(t, mid, wait.For(t, se.publish, "OnPublish").mid)
					m := wait.For(t, re.message, "the message")
					require.Equal(t, qos, m.QoS)
					require.Equal(t, "hello", string(m.Payload))
				}
				leave(t, sender, se, sent)
				leave(t, receiver, re, received)
			})
		}
	}
}

// The MQTT version of a client can be changed between connections.
func TestVersions_ChangeBetweenConnections(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	for _, v := range protocols {
		require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, v.version))
		ended := connect(t, c, e, b.Port)
		subscribe(t, c, e, "a/b", 1)
		leave(t, c, e, ended)
	}
}
