package mqtt_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/require"
)

// code returns the return code of a connect.
func code(token paho.Token) byte { return token.(*paho.ConnectToken).ReturnCode() }

func TestConnect_AgainAfterDisconnect(t *testing.T) {
	b := start(t)
	callback, got := collect()
	c := paho.NewClient(options(b.Port))
	for range 5 {
		succeed(t, c.Connect())
		succeed(t, c.Subscribe("a", 1, callback))
		succeed(t, c.Publish("a", 1, false, "x"))
		wait.For(t, got, "the message")
		c.Disconnect(100)
		require.False(t, c.IsConnected())
	}
	c.Disconnect(100)
	wait.None(t, got, "message")
}

func TestConnect_AgainDuringDisconnectWaitsForItsEnd(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	for range 10 {
		disconnected := make(chan struct{})
		go func() {
			c.Disconnect(0)
			close(disconnected)
		}()
		wait.Until(t, "the disconnect", func() bool { return !c.IsConnected() })
		succeed(t, c.Connect())
		require.True(t, c.IsConnectionOpen())
		wait.For(t, disconnected, "the disconnect")
	}
}

func TestConnect_DuringDisconnectUsesTheStoreAfterIt(t *testing.T) {
	p := fakebroker.Listen(t)
	s := paho.NewMemoryStore()
	c, conn := attach(t, p, kept(p.Port, s))
	c.Publish("a", 1, false, "x")
	conn.Expect(fakebroker.PUBLISH)
	disconnected := make(chan struct{})
	go func() {
		c.Disconnect(100) // nobody acknowledges the message
		close(disconnected)
	}()
	wait.Until(t, "the disconnect", func() bool { return !c.IsConnected() })
	token := c.Connect()
	conn.Expect(fakebroker.DISCONNECT)
	conn = p.AcceptConnect()
	succeed(t, token)
	wait.For(t, disconnected, "Disconnect")
	conn.Expect(fakebroker.PUBLISH)
	require.Len(t, s.All(), 1, "the store is open")
}

func TestConnect_Twice(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	succeed(t, c.Connect())
	require.True(t, c.IsConnectionOpen())

	manual := connect(t, options(b.Port).SetAutoReconnect(false))
	require.Error(t, outcome(t, manual.Connect()))
	require.True(t, manual.IsConnectionOpen())

	p := fakebroker.Listen(t)
	slow := paho.NewClient(options(p.Port))
	first := slow.Connect()
	require.Error(t, outcome(t, slow.Connect()), "the first Connect has not returned")
	p.AcceptConnect()
	succeed(t, first)
	slow.Disconnect(0)
}

func TestConnect_WithoutServerFails(t *testing.T) {
	closed := broker.FreePort(t)
	c := paho.NewClient(options(closed))
	token := c.Connect()
	err := outcome(t, token)
	require.ErrorIs(t, err, packets.ErrorNetworkError)
	require.Contains(t, err.Error(), "refused")
	require.EqualValues(t, packets.ErrNetworkError, code(token))
	require.False(t, c.IsConnected())
	require.Error(t, outcome(t, c.Connect()), "a failed Connect can be repeated")

	require.Error(t, outcome(t, paho.NewClient(paho.NewClientOptions()).Connect()), "no broker")
}

func TestConnect_RefusalIsTheErrorOfItsCode(t *testing.T) {
	p := fakebroker.Listen(t)
	for _, refusal := range []struct {
		code byte
		err  error
	}{
		{2, packets.ErrorRefusedIDRejected}, {3, packets.ErrorRefusedServerUnavailable},
		{4, packets.ErrorRefusedBadUsernameOrPassword}, {5, packets.ErrorRefusedNotAuthorised},
	} {
		token := paho.NewClient(options(p.Port).SetProtocolVersion(4)).Connect()
		conn := p.Accept()
		conn.Expect(fakebroker.CONNECT)
		conn.Send(fakebroker.V311.Connack(false, refusal.code))
		require.Equal(t, refusal.err, outcome(t, token))
		require.Equal(t, refusal.code, code(token))
		require.False(t, token.(*paho.ConnectToken).SessionPresent())
	}
}

func TestConnect_SessionPresent(t *testing.T) {
	p := fakebroker.Listen(t)
	for _, present := range []bool{true, false} {
		c := paho.NewClient(options(p.Port).SetClientID("me").SetCleanSession(false))
		token := c.Connect()
		conn := p.Accept()
		conn.Expect(fakebroker.CONNECT)
		conn.Send(fakebroker.V311.Connack(present, 0))
		succeed(t, token)
		require.Equal(t, present, token.(*paho.ConnectToken).SessionPresent())
		require.EqualValues(t, packets.Accepted, code(token))
		c.Disconnect(0)
	}
}

func TestConnect_SecondBroker(t *testing.T) {
	b := start(t)
	c := connect(t, options(broker.FreePort(t), b.Port))
	succeed(t, c.Publish("a", 1, false, "x"))
}

func TestConnect_ProtocolVersions(t *testing.T) {
	p := fakebroker.Listen(t)
	expect := func(t *testing.T, version byte) *fakebroker.Conn {
		for {
			conn := p.Accept()
			connect, err := conn.Next()
			if err != nil { // libmosquitto 2.1.2 opens a connection without a CONNECT after a refusal
				continue
			}
			require.Equal(t, version, connect.Body[2+int(connect.Body[1])])
			return conn
		}
	}
	t.Run("default", func(t *testing.T) {
		c := paho.NewClient(options(p.Port).SetClientID("me")) // MQTT 3.1 needs one
		token := c.Connect()
		expect(t, 4).Send(fakebroker.V311.Connack(false, 1))
		expect(t, 3).Send(fakebroker.V31.Connack(false, 0))
		succeed(t, token)
		c.Disconnect(0)
	})
	for _, version := range []uint{3, 4} {
		c := paho.NewClient(options(p.Port).SetClientID("me").SetProtocolVersion(version))
		token := c.Connect()
		expect(t, byte(version)).Send(fakebroker.V311.Connack(false, 1))
		require.Equal(t, packets.ErrorRefusedBadProtocolVersion, outcome(t, token))
		require.EqualValues(t, 1, code(token))
	}
	o := options(p.Port).SetProtocolVersion(5).SetProtocolVersion(2).SetProtocolVersion(0)
	require.Zero(t, o.ProtocolVersion)
}

// connectOf connects and returns the CONNECT packet.
func connectOf(t *testing.T, o *paho.ClientOptions) *packets.ConnectPacket {
	t.Helper()
	p := fakebroker.Listen(t)
	for _, broker := range o.Servers {
		broker.Host = "127.0.0.1:" + port(p.Port)
	}
	c := paho.NewClient(o)
	token := c.Connect()
	conn := p.Accept()
	packet, err := packets.ReadPacket(conn)
	require.NoError(t, err)
	conn.Send(fakebroker.V311.Connack(false, 0))
	succeed(t, token)
	c.Disconnect(0)
	return packet.(*packets.ConnectPacket)
}

func TestConnect_SendsTheOptions(t *testing.T) {
	sent := connectOf(t, options(1).SetClientID("me").SetUsername("user").SetPassword("secret").SetKeepAlive(7*time.Second))
	require.Equal(t, "me", sent.ClientIdentifier)
	require.Equal(t, "user", sent.Username)
	require.Equal(t, "secret", string(sent.Password))
	require.EqualValues(t, 7, sent.Keepalive)
	require.True(t, sent.CleanSession)
	require.False(t, sent.WillFlag)

	sent = connectOf(t, options(1).SetClientID("me").SetCleanSession(false).SetWill("will", "text", 1, true))
	require.EqualValues(t, 30, sent.Keepalive)
	require.False(t, sent.CleanSession)
	require.False(t, sent.UsernameFlag)
	require.True(t, sent.WillFlag)
	require.True(t, sent.WillRetain)
	require.EqualValues(t, 1, sent.WillQos)
	require.Equal(t, "will", sent.WillTopic)
	require.Equal(t, "text", string(sent.WillMessage))

	require.False(t, connectOf(t, options(1).SetWill("will", "text", 1, true).UnsetWill()).WillFlag)
	require.Equal(t, []byte{0, 255}, connectOf(t, options(1).SetBinaryWill("will", []byte{0, 255}, 2, false)).WillMessage)
	require.Zero(t, connectOf(t, options(1).SetKeepAlive(0)).Keepalive)
	require.False(t, connectOf(t, options(1).SetPassword("secret")).PasswordFlag, "a password without a username")
}

func TestConnect_Credentials(t *testing.T) {
	withURL := func() *paho.ClientOptions {
		o := options(1).SetUsername("option").SetPassword("p")
		o.Servers[0].User = url.UserPassword("url", "u")
		return o
	}
	sent := connectOf(t, withURL())
	require.Equal(t, "url", sent.Username, "the URL replaces the options")
	require.Equal(t, "u", string(sent.Password))
	sent = connectOf(t, withURL().SetCredentialsProvider(func() (string, string) { return "function", "f" }))
	require.Equal(t, "function", sent.Username, "the function replaces the URL")
	require.Equal(t, "f", string(sent.Password))
}

func TestConnect_CredentialsProviderIsCalledForEachAttempt(t *testing.T) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "second"}})
	passwords := make(chan string, 2)
	passwords <- "first"
	passwords <- "second"
	o := options(b.Port).SetProtocolVersion(4)
	o.SetCredentialsProvider(func() (string, string) { return "user", <-passwords })
	c := paho.NewClient(o)
	require.Equal(t, packets.ErrorRefusedNotAuthorised, outcome(t, c.Connect()))
	succeed(t, c.Connect())
	c.Disconnect(0)
}

func TestConnectRetry_ConnectsWhenTheBrokerIsThere(t *testing.T) {
	b := start(t)
	b.Kill()
	callback, got := collect()
	c := paho.NewClient(options(b.Port).SetConnectRetry(true).SetResumeSubs(true))
	t.Cleanup(func() { c.Disconnect(0) })
	token := c.Connect()
	require.True(t, c.IsConnected(), "the client connects by itself")
	require.False(t, c.IsConnectionOpen())
	subscribed := c.Subscribe("a", 1, callback)
	payload := []byte("0")
	var published []paho.Token
	for i := range 3 {
		payload[0] = '0' + byte(i)
		published = append(published, c.Publish("a", byte(i), false, payload))
	}
	require.False(t, token.WaitTimeout(50*time.Millisecond))
	require.False(t, published[0].WaitTimeout(0))
	require.ErrorIs(t, paho.WaitTokenTimeout(published[1], 0), paho.TimedOut)
	b.Restart()
	succeed(t, token)
	succeed(t, subscribed)
	for i, token := range published {
		succeed(t, token)
		require.Equal(t, string('0'+byte(i)), string(wait.For(t, got, "the message").Payload()))
	}
}

func TestConnectRetry_RetriesARefusal(t *testing.T) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "other"}})
	c := paho.NewClient(options(b.Port).SetUsername("user").SetPassword("right").SetConnectRetry(true))
	t.Cleanup(func() { c.Disconnect(0) })
	token := c.Connect()
	require.False(t, token.WaitTimeout(100*time.Millisecond))
	b.SetUsers(map[string]string{"user": "right"})
	b.Stop()
	b.Restart()
	succeed(t, token)
}

func TestConnectRetry_DisconnectEndsEverything(t *testing.T) {
	c := paho.NewClient(options(broker.FreePort(t)).SetConnectRetry(true).SetConnectRetryInterval(time.Hour))
	connecting := c.Connect()
	published := c.Publish("a", 1, false, "x")
	c.Disconnect(0)
	require.Error(t, outcome(t, connecting))
	require.Error(t, outcome(t, published))
	require.False(t, c.IsConnected())
}

func TestConnect_DisconnectCancelsIt(t *testing.T) {
	p := fakebroker.Listen(t)
	c := paho.NewClient(options(p.Port))
	token := c.Connect()
	p.Accept().Expect(fakebroker.CONNECT)
	require.False(t, c.IsConnected(), "without SetConnectRetry")
	c.Disconnect(0)
	require.Error(t, outcome(t, token))
}

func TestConnect_TimeoutLimitsTheAttempt(t *testing.T) {
	p := fakebroker.Listen(t)
	token := paho.NewClient(options(p.Port).SetConnectTimeout(50 * time.Millisecond)).Connect()
	p.Accept().Expect(fakebroker.CONNECT)
	err := outcome(t, token)
	require.ErrorIs(t, err, packets.ErrorNetworkError)
	var timeout interface{ Timeout() bool }
	require.True(t, errors.As(err, &timeout) && timeout.Timeout())
}

func TestConnectTimeout_ZeroMeansNone(t *testing.T) {
	b := start(t)
	succeed(t, connect(t, options(b.Port).SetConnectTimeout(0)).Publish("a", 1, false, "x"))
}

func TestConnectRetry_DoesNotRetryInvalidOptions(t *testing.T) {
	b := start(t)
	c := paho.NewClient(options(b.Port).SetConnectRetry(true).SetWill("a/#", "", 0, false))
	err := outcome(t, c.Connect())
	require.ErrorContains(t, err, "WithWill")
	require.NotErrorIs(t, err, packets.ErrorNetworkError)
}

func TestDisconnect_WithoutConnect(t *testing.T) {
	c := paho.NewClient(options(1))
	c.Disconnect(100)
	require.False(t, c.IsConnected())
	require.False(t, c.IsConnectionOpen())
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.Publish("a", 0, false, "")))
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.Subscribe("a", 0, nil)))
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.SubscribeMultiple(map[string]byte{"a": 0}, nil)))
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.Unsubscribe("a")))
}

func TestDisconnect_WaitsForAcknowledgements(t *testing.T) {
	p := fakebroker.Listen(t)
	c := paho.NewClient(options(p.Port))
	token := c.Connect()
	conn := p.AcceptConnect()
	succeed(t, token)
	published := c.Publish("a", 1, false, "x")
	disconnected := make(chan struct{})
	go func() {
		c.Disconnect(uint(wait.Patience.Milliseconds()))
		close(disconnected)
	}()
	m := conn.Expect(fakebroker.PUBLISH)
	wait.Until(t, "the disconnect", func() bool { return !c.IsConnected() })
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.Publish("a", 1, false, "x")))
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
	conn.Expect(fakebroker.DISCONNECT)
	wait.For(t, disconnected, "Disconnect")
	succeed(t, published)
}

func TestDisconnect_EndsPendingTokens(t *testing.T) {
	p := fakebroker.Listen(t)
	c := paho.NewClient(options(p.Port))
	token := c.Connect()
	conn := p.AcceptConnect()
	succeed(t, token)
	published := c.Publish("a", 1, false, "x")
	subscribed := c.Subscribe("b", 1, nil)
	unsubscribed := c.Unsubscribe("c")
	for range 3 { // SUBSCRIBE may be sent before PUBLISH
		_, err := conn.Next()
		require.NoError(t, err)
	}
	c.Disconnect(10)
	require.Error(t, outcome(t, published))
	require.Error(t, outcome(t, subscribed))
	require.Error(t, outcome(t, unsubscribed))
}
