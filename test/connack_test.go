package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// refusal asserts that a disconnection reports this error of the library.
func refusal(t testing.TB, d mosquitto.Disconnection, want mosquitto.Error) {
	t.Helper()
	require.Equal(t, int(want), d.Code)
	require.ErrorIs(t, d.Err, want)
}

// An MQTT 3 broker refuses the connection. LoopForever retries until Disconnect.
func TestConnack_MQTT3RefusalIsRetried(t *testing.T) {
	t.Parallel()
	for code := 1; code <= 5; code++ {
		for _, version := range []int{mosquitto.ProtocolV31, mosquitto.ProtocolV311} {
			t.Run(fmt.Sprintf("code %d of version %d", code, version), func(t *testing.T) {
				t.Parallel()
				p := fakebroker.Listen(t)
				c, e := newVersion(t, "id", true, version)
				require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
				ended := loop(t, c)
				refuse := func() {
					conn := p.Accept()
					conn.Expect(fakebroker.CONNECT)
					conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, byte(code)))
					conn.ExpectClosed()
				}
				refuse()
				ack := wait.For(t, e.connect, "OnConnect")
				require.Equal(t, mosquitto.Connack{Code: mosquitto.ConnackCode(code)}, ack)
				require.ErrorIs(t, ack.Err(), mosquitto.ConnackError{Code: mosquitto.ConnackCode(code)})
				require.Contains(t, strings.ToLower(ack.Err().Error()), strings.ToLower(ack.Code.String()))
				refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrConnRefused)

				c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
					e.connect <- ack
					c.Disconnect()
				})
				refuse()
				require.Equal(t, mosquitto.ConnackCode(code), wait.For(t, e.connect, "OnConnect of the retry").Code)
				require.NoError(t, wait.For(t, ended, "the end of the loop"))
				require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code, "Disconnect was called")
			})
		}
	}
}

// Codes that MQTT 3 does not define are protocol errors, which end the loop.
func TestConnack_UnknownMQTT3CodeEndsTheLoop(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 6))
	ack := wait.For(t, e.connect, "OnConnect")
	require.Equal(t, mosquitto.ConnackCode(6), ack.Code)
	require.Error(t, ack.Err())
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}

// An MQTT 5 broker refuses the connection, and LoopForever returns an error.
func TestConnack_MQTT5RefusalEndsTheLoop(t *testing.T) {
	for code, text := range map[byte]string{
		0x80: "Unspecified error",
		0x81: "Malformed Packet",
		0x84: "Unsupported Protocol Version",
		0x85: "Client Identifier not valid",
		0x86: "Bad User Name or Password",
		0x87: "Not authorized",
		0x88: "Server unavailable",
		0x89: "Server busy",
		0x8A: "Banned",
		0x8C: "Bad authentication method",
		0x95: "Packet too large",
		0x97: "Quota exceeded",
		0x9C: "Use another server",
		0x9D: "Server moved",
		0x9F: "Connection rate exceeded",
	} {
		t.Run(fmt.Sprintf("%#x", code), func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newV5(t, "id", true)
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			ended := loop(t, c)
			conn := p.Accept()
			conn.Expect(fakebroker.CONNECT)
			props := mosquitto.Properties{
				{ID: mosquitto.PropReasonString, Text: "try again later"},
				{ID: mosquitto.PropServerReference, Text: "other:1883"},
			}
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, append([]byte{0, code}, wire(props)...)...))
			ack := wait.For(t, e.connect, "OnConnect")
			want := mosquitto.ConnackCode(code)
			require.Equal(t, mosquitto.Connack{Code: want, Properties: props}, ack)
			require.Equal(t, mosquitto.ConnackError{Code: want}, ack.Err())
			require.Equal(t, text, ack.Code.String())
			require.Equal(t, text, mosquitto.ReasonCode(code).String())
			refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
			require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
		})
	}
}

// A broker of MQTT 3 refuses an MQTT 5 client with a CONNACK without properties. The
// library 2.0.21 and later takes it for a malformed packet and retries.
func TestConnack_MQTT3RefusalOfMQTT5IsReported(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 1))
	if atLeast(2, 0, 21) {
		refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrMalformedPacket)
		wait.None(t, e.connect, "OnConnect")
		return
	}
	require.Equal(t, mosquitto.ConnackCode(mosquitto.RCUnsupportedProtocolVersion), wait.For(t, e.connect, "OnConnect").Code)
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
	require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
}

func TestConnack_BadCredentialsAreRefused(t *testing.T) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "secret"}})
	want := map[int]mosquitto.ConnackCode{
		mosquitto.ProtocolV31:  mosquitto.ConnackRefusedNotAuthorized,
		mosquitto.ProtocolV311: mosquitto.ConnackRefusedNotAuthorized,
		mosquitto.ProtocolV5:   mosquitto.ConnackCode(mosquitto.RCNotAuthorized),
	}
	for _, v := range protocols {
		for _, user := range []struct{ name, password string }{{"", ""}, {"user", "wrong"}, {"other", "secret"}} {
			t.Run(v.name+" "+user.name, func(t *testing.T) {
				c, e := newVersion(t, "id", true, v.version)
				require.NoError(t, c.UsernamePwSet(user.name, user.password))
				c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
					e.connect <- ack
					c.Disconnect()
				})
				require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
				ended := loop(t, c)
				require.Equal(t, want[v.version], wait.For(t, e.connect, "OnConnect").Code)
				wait.For(t, ended, "the end of the loop")
			})
		}
		t.Run(v.name+" right", func(t *testing.T) {
			c, e := newVersion(t, "id", true, v.version)
			require.NoError(t, c.UsernamePwSet("user", "secret"))
			leave(t, c, e, connect(t, c, e, b.Port))
		})
	}
}

// libmosquitto 2.1 reports a Disconnect inside OnConnect as a lost connection. The
// binding reports it as a Disconnect.
func TestConnack_DisconnectInsideOnConnectSucceeds(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			c, e := newVersion(t, "id", true, v.version)
			c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
				e.connect <- ack
				c.Disconnect()
			})
			require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
			ended := loop(t, c)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.Equal(t, mosquitto.Disconnection{}, wait.For(t, e.disconnect, "OnDisconnect"))
			require.NoError(t, wait.For(t, ended, "the end of the loop"))
			wait.None(t, e.connect, "second connection")
		})
	}
}

// A connection that is lost before the CONNACK is reported only to OnDisconnect.
func TestConnack_MissingCallsOnlyOnDisconnect(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	conn := p.Accept()
	loop(t, c)
	conn.Expect(fakebroker.CONNECT)
	conn.Close()
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrConnLost)
	wait.None(t, e.connect, "OnConnect")
}

// The CONNACK reports a session although the client asked for a clean one. The library
// 2.1 treats this as an error.
func TestConnack_SessionPresentAfterCleanStartIsAnErrorSince21(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 1, 0))
	if has21() {
		refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrProtocol)
		require.ErrorIs(t, wait.For(t, ended, "the end of the loop"), mosquitto.ErrProtocol)
		wait.None(t, e.connect, "OnConnect")
		return
	}
	require.Equal(t, mosquitto.Connack{SessionPresent: true}, wait.For(t, e.connect, "OnConnect"))
	part(t, c, conn, ended)
}
