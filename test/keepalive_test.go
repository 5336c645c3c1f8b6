package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// shortest is the shortest keepalive that the library takes.
const shortest = 5 * time.Second

// An idle client pings; a broker that answers keeps the connection, one that
// does not is given up.
func TestKeepalivePings(t *testing.T) {
	t.Parallel()
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := peer.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
			ended := loop(t, c)
			conn := p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.Equal(t, peer.Packet{First: peer.PINGREQ, Body: []byte{}}, conn.Expect(peer.PINGREQ))
			wait.None(t, e.disconnect, "OnDisconnect")
			conn.Send(peer.Bytes(peer.PINGRESP))
			conn.Expect(peer.PINGREQ) // and now silence
			refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrKeepalive)
			conn = p.AcceptConnect() // the loop reconnects
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			part(t, c, conn, ended)
		})
	}
}

// A broker process that stands still looks the same; when it goes on, the
// client comes back by itself.
func TestKeepaliveBrokerStandsStill(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, shortest))
	ended := loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	b.Pause()
	var d mosquitto.Disconnection
	select {
	case d = <-e.disconnect: // after a ping and another keepalive of waiting
	case <-time.After(2*shortest + wait.Patience):
	}
	b.Resume()
	refusal(t, d, mosquitto.ErrKeepalive)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a/b", 1)
	leave(t, c, e, ended)
}

// The broker's answer to CONNECT is waited for no longer than the keepalive.
func TestKeepaliveNoConnack(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(peer.CONNECT)
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrKeepalive)
	wait.None(t, e.connect, "OnConnect")
	conn = p.AcceptConnect() // the loop tries again
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}

// A broker of MQTT 5 can shorten the keepalive.
func TestKeepaliveOfTheServer(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newV5(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Hour))
	ended := loop(t, c)
	conn := p.Accept()
	require.Equal(t, uint16(3600), readConnect(t, conn).keepalive)
	props := mosquitto.Properties{{ID: mosquitto.PropServerKeepAlive, Number: 5}}
	conn.Send(peer.Bytes(peer.CONNACK, append([]byte{0, 0}, wire(props)...)...))
	require.Equal(t, props, wait.For(t, e.connect, "OnConnect").Properties)
	conn.Expect(peer.PINGREQ)
	part(t, c, conn, ended)
}

// Without keepalive nothing is sent; the loop still runs.
func TestKeepaliveOff(t *testing.T) {
	p := peer.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, 0))
	ended := loop(t, c)
	conn := p.Accept()
	require.Zero(t, readConnect(t, conn).keepalive)
	conn.Send(peer.Bytes(peer.CONNACK, 0, 0))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}
