package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// shortest is the shortest keepalive that the library accepts.
const shortest = 5 * time.Second

// An idle client sends PINGREQ. If the broker stops answering, the connection is lost.
func TestKeepalive_SilentBrokerIsDetected(t *testing.T) {
	t.Parallel()
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
			ended := loop(t, c)
			conn := p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.Equal(t, fakebroker.Packet{First: fakebroker.PINGREQ, Body: []byte{}}, conn.Expect(fakebroker.PINGREQ))
			wait.None(t, e.disconnect, "OnDisconnect")
			conn.Send(fakebroker.Bytes(fakebroker.PINGRESP))
			conn.Expect(fakebroker.PINGREQ) // from now on the broker does not answer
			refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrKeepalive)
			conn = p.AcceptConnect() // the loop reconnects
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			part(t, c, conn, ended)
		})
	}
}

// A paused broker process is detected in the same way. When it runs again, the client
// reconnects.
func TestKeepalive_PausedBrokerIsDetected(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, shortest))
	ended := loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	b.Pause()
	var d mosquitto.Disconnection
	select {
	case d = <-e.disconnect: // at most two keepalives later
	case <-time.After(2*shortest + wait.Patience):
	}
	b.Resume()
	refusal(t, d, mosquitto.ErrKeepalive)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a/b", 1)
	leave(t, c, e, ended)
}

// The client waits for the CONNACK at most for the keepalive.
func TestKeepalive_LimitsTheWaitForConnack(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrKeepalive)
	wait.None(t, e.connect, "OnConnect")
	conn = p.AcceptConnect() // the loop tries again
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}

func TestKeepalive_ServerCanShortenIt(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Hour))
	ended := loop(t, c)
	conn := p.Accept()
	require.Equal(t, uint16(3600), readConnect(t, conn).keepalive)
	props := mosquitto.Properties{{ID: mosquitto.PropServerKeepAlive, Number: 5}}
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, append([]byte{0, 0}, wire(props)...)...))
	require.Equal(t, props, wait.For(t, e.connect, "OnConnect").Properties)
	conn.Expect(fakebroker.PINGREQ)
	part(t, c, conn, ended)
}

// Without a keepalive the client sends no PINGREQ.
func TestKeepalive_ZeroSendsNoPings(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, 0))
	ended := loop(t, c)
	conn := p.Accept()
	require.Zero(t, readConnect(t, conn).keepalive)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}
