package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// lasting returns a client of this MQTT version whose session survives its connection.
func lasting(t testing.TB, id string, version int) (*mosquitto.Client, *events) {
	t.Helper()
	return newVersion(t, id, false, version)
}

// connectLasting connects it. With MQTT 5 the session also needs an expiry interval.
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

// The broker keeps the subscriptions and messages of an offline client. MQTT 3.1 has no
// session present flag.
func TestSession_QueuesMessagesWhileOffline(t *testing.T) {
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
			var kept []string // QoS 2 takes more packets, so its message may arrive last
			for range 3 {
				kept = append(kept, string(wait.For(t, e.message, "a queued message").Payload))
			}
			require.ElementsMatch(t, []string{"1", "2", "1"}, kept)
			mark(t, c, e, "a/b")
			received(t, e, "mark")
			leave(t, c, e, ended)

			// A clean session deletes the old one.
			fresh, fe := newVersion(t, "id", true, v.version)
			require.NoError(t, fresh.Connect("127.0.0.1", b.Port, keepalive))
			freshEnded := loop(t, fresh)
			require.False(t, wait.For(t, fe.connect, "OnConnect").SessionPresent)
			mark(t, fresh, fe, "a/b")
			leave(t, fresh, fe, freshEnded)
			wait.None(t, fe.message, "message of the deleted subscription")
		})
	}
}

// An MQTT 5 session ends when it expires. By default it ends with the connection.
func TestSession_EndsWithItsExpiry(t *testing.T) {
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
	require.NoError(t, c.DisconnectV5(mosquitto.RCNormalDisconnection, props)) // ends the session now
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
	present, ended = connectLasting(t, c, e, b.Port, mosquitto.ProtocolV5)
	require.False(t, present)
	leave(t, c, e, ended)
}

// LoopForever reconnects after a restart of the broker, and the session is still there.
func TestSession_SurvivesABrokerRestart(t *testing.T) {
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
				require.NoError(t, c.ReconnectDelaySet(3*time.Second, 3*time.Second, false)) // Publish returns before
				_, ended := connectLasting(t, c, e, b.Port, v.version)
				subscribe(t, c, e, "a/b", 1)
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					b.Stop() // may take longer than the reconnect delay: the broker writes its persistence file
				}()
				require.Equal(t, int(mosquitto.ErrConnLost), wait.For(t, e.disconnect, "OnDisconnect").Code)
				mid, err := c.Publish("a/b", []byte("meanwhile"), 1, false)
				require.ErrorIs(t, err, mosquitto.ErrNoConn)
				wait.For(t, stopped, "the end of the broker")
				b.Restart()
				ack := wait.For(t, e.connect, "OnConnect")
				require.NoError(t, ack.Err())
				require.Equal(t, v.version != mosquitto.ProtocolV31, ack.SessionPresent)
				require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
				received(t, e, "meanwhile") // the client has not subscribed again
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

// The thread of LoopStart reconnects, too.
func TestSession_LoopStartReconnects(t *testing.T) {
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
	for wait.For(t, e.disconnect, "OnDisconnect after LoopStop").Code != 0 {
		// this call reports an earlier connection, to the broker that was stopping
	}
}

// LoopStop is called during a callback. The client still sends DISCONNECT and calls
// OnDisconnect.
func TestSession_LoopStopSendsDisconnect(t *testing.T) {
	p := fakebroker.Listen(t)
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
	conn.Send(fakebroker.Publish(0, "a", 0, ""))
	wait.For(t, inside, "the callback")
	stopped := make(chan error, 1)
	go func() { stopped <- c.LoopStop(false) }()
	wait.Until(t, "the DISCONNECT of LoopStop", func() bool { return c.WantWrite() })
	close(finish)
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
	require.NoError(t, wait.For(t, stopped, "LoopStop"))
}

// The first reconnects fail, and the loop retries.
func TestSession_LoopRetriesUntilTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", false)
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, false))
	conn, ended := meet(t, c, e, p)
	for range 2 { // the broker accepts the connection and closes it before the CONNACK
		conn.Close()
		conn = p.Accept()
		conn.Expect(fakebroker.CONNECT)
	}
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 1, 0))
	require.True(t, wait.For(t, e.connect, "OnConnect").SessionPresent)
	part(t, c, conn, ended)
}

// A second client with the same id takes over the session.
func TestSession_IsTakenOverByASecondClient(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			first, fe := newVersion(t, "id", true, v.version)
			firstEnded := connect(t, first, fe, b.Port)
			second, se := newVersion(t, "id", true, v.version)
			gone := make(chan mosquitto.Disconnection, 1)
			first.OnDisconnect(func(c *mosquitto.Client, d mosquitto.Disconnection) {
				gone <- d
				c.Disconnect() // otherwise the clients would disconnect each other for ever
			})
			secondEnded := connect(t, second, se, b.Port)
			d := wait.For(t, gone, "OnDisconnect")
			if v.version == mosquitto.ProtocolV5 && atLeast(2, 0, 12) { // the broker 2.0.11 sends no reason
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

// serverDisconnect returns a DISCONNECT of a broker with a reason code and a property.
func serverDisconnect(code mosquitto.ReasonCode) []byte {
	props := mosquitto.Properties{{ID: mosquitto.PropReasonString, Text: "because"}}
	return fakebroker.Bytes(fakebroker.DISCONNECT, append([]byte{byte(code)}, wire(props)...)...)
}

// An MQTT 5 broker sends the reason in its DISCONNECT. The library drops the
// properties. 2.0.11 handles it like the client's own Disconnect.
func TestSession_DisconnectOfTheServerIsReported(t *testing.T) {
	t.Parallel()
	for _, code := range []mosquitto.ReasonCode{
		mosquitto.RCUnspecified, mosquitto.RCServerBusy, mosquitto.RCServerShuttingDown, mosquitto.RCKeepAliveTimeout,
		mosquitto.RCSessionTakenOver, mosquitto.RCQuotaExceeded, mosquitto.RCAdministrativeAction, mosquitto.RCServerMoved,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
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

// OnDisconnect reports a DISCONNECT of the broker with reason 0 like the client's own.
func TestSession_NormalDisconnectOfTheServerIsReported(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
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

// A DISCONNECT without a reason code is valid MQTT 5, but the library reports an error.
func TestSession_DisconnectWithoutReasonIsAnError(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(fakebroker.Bytes(fakebroker.DISCONNECT))
	d := wait.For(t, e.disconnect, "OnDisconnect")
	if atLeast(2, 0, 21) {
		refusal(t, d, mosquitto.ErrMalformedPacket)
		return
	}
	refusal(t, d, mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}

// In MQTT 3 a DISCONNECT of the broker is a protocol error.
func TestSession_DisconnectOfAnMQTT3ServerIsAnError(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(fakebroker.Bytes(fakebroker.DISCONNECT))
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}
