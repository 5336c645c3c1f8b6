package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// lasting makes a client of this version whose session outlives a connection.
func lasting(t testing.TB, id string, version int) (*mosquitto.Client, *events) {
	t.Helper()
	return newVersion(t, id, false, version)
}

// connectLasting connects it; MQTT 5 wants the session's length said as well.
func connectLasting(t testing.TB, c *mosquitto.Client, e *events, port, version int) (present bool, ended <-chan error) {
	t.Helper()
	if version == mosquitto.ProtocolV5 {
		props := mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 3600}}
		require.NoError(t, c.ConnectBindV5("127.0.0.1", port, keepalive, "", props))
	} else {
		require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	}
	ended = loop(t, c)
	ack := wait.For(t, e.connect, "OnConnect")
	require.NoError(t, ack.Err())
	settle(t, c, e)
	return ack.SessionPresent, ended
}

// The broker keeps subscriptions and messages of a client that is away; MQTT
// 3.1 has no flag that says so.
func TestSessionQueuesMessages(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			c, e := lasting(t, "id", v.version)
			present, ended := connectLasting(t, c, e, b.Port, v.version)
			require.False(t, present)
			subscribe(t, c, e, "a/b", 2)
			leave(t, c, e, ended)

			sender, se := newClient(t, "sender", true)
			sent := connect(t, sender, se, b.Port)
			for _, qos := range []mosquitto.QoS{1, 2, 1} {
				_, err := sender.Publish("a/b", []byte{'0' + byte(qos)}, qos, false)
				require.NoError(t, err)
				wait.For(t, se.publish, "OnPublish")
			}
			_, err := sender.Publish("a/b", []byte("0"), 0, false)
			require.NoError(t, err)
			wait.For(t, se.publish, "OnPublish")
			leave(t, sender, se, sent)

			present, ended = connectLasting(t, c, e, b.Port, v.version)
			require.Equal(t, v.version != mosquitto.ProtocolV31, present)
			var kept []string // QoS 2 takes longer
			for range 3 {
				kept = append(kept, string(wait.For(t, e.message, "a queued message").Payload))
			}
			require.ElementsMatch(t, []string{"1", "2", "1"}, kept)
			mark(t, c, e, "a/b")
			received(t, e, "mark")
			leave(t, c, e, ended)

			// A clean session forgets.
			fresh, fe := newVersion(t, "id", true, v.version)
			require.NoError(t, fresh.Connect("127.0.0.1", b.Port, keepalive))
			freshEnded := loop(t, fresh)
			require.False(t, wait.For(t, fe.connect, "OnConnect").SessionPresent)
			mark(t, fresh, fe, "a/b")
			leave(t, fresh, fe, freshEnded)
			wait.None(t, fe.message, "message of a subscription that is gone")
		})
	}
}

// MQTT 5 sessions end when they expire, and by default with the connection.
func TestSessionExpiry(t *testing.T) {
	b := plain(t)
	c, e := newV5(t, "id", false)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a/b", 1)
	leave(t, c, e, ended)

	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended = loop(t, c)
	require.False(t, wait.For(t, e.connect, "OnConnect").SessionPresent)
	settle(t, c, e)
	leave(t, c, e, ended)

	_, ended = connectLasting(t, c, e, b.Port, mosquitto.ProtocolV5)
	subscribe(t, c, e, "a/b", 1)
	leave(t, c, e, ended)
	present, ended := connectLasting(t, c, e, b.Port, mosquitto.ProtocolV5)
	require.True(t, present)
	props := mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 0}}
	require.NoError(t, c.DisconnectV5(mosquitto.RCNormalDisconnection, props)) // ends it now
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
	present, ended = connectLasting(t, c, e, b.Port, mosquitto.ProtocolV5)
	require.False(t, present)
	leave(t, c, e, ended)
}

// LoopForever and LoopStart reconnect by themselves when the broker comes back,
// and the session is what it was.
func TestSessionSurvivesABrokerRestart(t *testing.T) {
	t.Parallel()
	for _, v := range protocols {
		for _, kill := range []bool{false, true} {
			name := v.name + " stopped"
			if kill {
				name = v.name + " killed"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := broker.Start(t, broker.Config{Persistence: true})
				c, e := lasting(t, "id", v.version)
				require.NoError(t, c.ReconnectDelaySet(3*time.Second, 3*time.Second, false)) // the broker has ended by then
				_, ended := connectLasting(t, c, e, b.Port, v.version)
				subscribe(t, c, e, "a/b", 1)
				// Persistence is written when the broker stops.
				b.Stop()
				require.Equal(t, int(mosquitto.ErrConnLost), wait.For(t, e.disconnect, "OnDisconnect").Code)
				mid, err := c.Publish("a/b", []byte("meanwhile"), 1, false)
				require.ErrorIs(t, err, mosquitto.ErrNoConn)
				b.Restart()
				ack := wait.For(t, e.connect, "OnConnect")
				require.NoError(t, ack.Err())
				require.Equal(t, v.version != mosquitto.ProtocolV31, ack.SessionPresent)
				require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
				received(t, e, "meanwhile") // nobody has subscribed again
				if kill {
					b.Kill()
					require.Equal(t, int(mosquitto.ErrConnLost), wait.For(t, e.disconnect, "OnDisconnect").Code)
					b.Restart()
					require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
					received(t, e)
					mark(t, c, e, "a/b")
					received(t, e, "mark")
				}
				leave(t, c, e, ended)
				wait.None(t, e.publish, "second OnPublish")
			})
		}
	}
}

// The same on the library's own thread.
func TestSessionLoopStartReconnects(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Persistence: true})
	c, e := newClient(t, "id", false)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.NoError(t, c.LoopStart())
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a/b", 1)
	b.Stop()
	wait.For(t, e.disconnect, "OnDisconnect")
	b.Restart()
	require.True(t, wait.For(t, e.connect, "OnConnect").SessionPresent)
	mark(t, c, e, "a/b")
	received(t, e, "mark")
	require.NoError(t, c.LoopStop(false))
	for wait.For(t, e.disconnect, "OnDisconnect for our goodbye").Code != 0 {
		// a connection to the broker that was about to end
	}
}

// LoopStop says goodbye even while the loop is busy in a callback: the peer sees
// DISCONNECT, the client OnDisconnect.
func TestSessionLoopStopSaysGoodbye(t *testing.T) {
	p := peer.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	require.NoError(t, c.LoopStart())
	conn := p.AcceptConnect()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	inside, finish := make(chan struct{}), make(chan struct{})
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {
		inside <- struct{}{}
		<-finish
	})
	conn.Send(peer.Publish(0, "a", 0, ""))
	wait.For(t, inside, "the handler")
	stopped := make(chan error, 1)
	go func() { stopped <- c.LoopStop(false) }()
	wait.Until(t, "LoopStop's own Disconnect", func() bool { return c.WantWrite() })
	close(finish)
	conn.Expect(peer.DISCONNECT)
	conn.Close()
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
	require.NoError(t, wait.For(t, stopped, "LoopStop"))
}

// The first reconnect may find nobody; the loop goes on trying.
func TestSessionRetriesUntilTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newClient(t, "id", false)
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, false))
	conn, ended := meet(t, c, e, p)
	for range 2 { // accepted, and dropped before the CONNACK
		conn.Close()
		conn = p.Accept()
		conn.Expect(peer.CONNECT)
	}
	conn.Send(peer.Bytes(peer.CONNACK, 1, 0))
	require.True(t, wait.For(t, e.connect, "OnConnect").SessionPresent)
	part(t, c, conn, ended)
}

// A second client with the same id takes the session over.
func TestSessionTakenOver(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			first, fe := newVersion(t, "id", true, v.version)
			firstEnded := connect(t, first, fe, b.Port)
			second, se := newVersion(t, "id", true, v.version)
			gone := make(chan mosquitto.Disconnection, 1)
			first.OnDisconnect(func(c *mosquitto.Client, d mosquitto.Disconnection) {
				gone <- d
				c.Disconnect() // or they would take turns for ever
			})
			secondEnded := connect(t, second, se, b.Port)
			d := wait.For(t, gone, "OnDisconnect")
			if v.version == mosquitto.ProtocolV5 && atLeast(2, 0, 12) { // the broker of 2.0.11 does not say why
				require.Equal(t, int(mosquitto.RCSessionTakenOver), d.Code)
				require.ErrorIs(t, d.Err, mosquitto.ReasonError{Code: mosquitto.RCSessionTakenOver})
			} else {
				require.Equal(t, int(mosquitto.ErrConnLost), d.Code)
			}
			require.NoError(t, wait.For(t, firstEnded, "the end of the first loop"))
			leave(t, second, se, secondEnded)
		})
	}
}

// serverDisconnect is a broker's DISCONNECT with a reason and a property.
func serverDisconnect(code mosquitto.ReasonCode) []byte {
	props := mosquitto.Properties{{ID: mosquitto.PropReasonString, Text: "because"}}
	return peer.Bytes(peer.DISCONNECT, append([]byte{byte(code)}, wire(props)...)...)
}

// A broker of MQTT 5 says why it ends the connection. The library keeps the
// properties to itself; 2.0.11 takes it for the client's own wish to leave.
func TestSessionServerDisconnect(t *testing.T) {
	t.Parallel()
	for _, code := range []mosquitto.ReasonCode{
		mosquitto.RCUnspecified, mosquitto.RCServerBusy, mosquitto.RCServerShuttingDown, mosquitto.RCKeepAliveTimeout,
		mosquitto.RCSessionTakenOver, mosquitto.RCQuotaExceeded, mosquitto.RCAdministrativeAction, mosquitto.RCServerMoved,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			p := peer.Listen(t)
			c, e := newV5(t, "id", true)
			conn, ended := meet(t, c, e, p)
			conn.Send(serverDisconnect(code))
			d := wait.For(t, e.disconnect, "OnDisconnect")
			require.Equal(t, int(code), d.Code)
			require.ErrorIs(t, d.Err, mosquitto.ReasonError{Code: code})
			require.Nil(t, d.Properties)
			if !atLeast(2, 0, 15) {
				require.NoError(t, wait.For(t, ended, "the end of the loop"))
				return
			}
			conn = p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			part(t, c, conn, ended)
		})
	}
}

// Reason 0 looks like the client's own DISCONNECT, in OnDisconnect at least.
func TestSessionServerDisconnectNormally(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(serverDisconnect(mosquitto.RCNormalDisconnection))
	require.Equal(t, mosquitto.Disconnection{}, wait.For(t, e.disconnect, "OnDisconnect"))
	if !atLeast(2, 0, 15) {
		require.NoError(t, wait.For(t, ended, "the end of the loop"))
		return
	}
	conn = p.AcceptConnect()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}

// A DISCONNECT without a reason is legal; the library takes it for an error.
func TestSessionServerDisconnectWithoutReason(t *testing.T) {
	p := peer.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(peer.Bytes(peer.DISCONNECT))
	d := wait.For(t, e.disconnect, "OnDisconnect")
	if atLeast(2, 0, 21) {
		refusal(t, d, mosquitto.ErrMalformedPacket)
		return
	}
	refusal(t, d, mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}

// A broker of MQTT 3 sends no DISCONNECT: that is a protocol error.
func TestSessionServerDisconnectV3(t *testing.T) {
	p := peer.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(peer.Bytes(peer.DISCONNECT))
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}
