package test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// heir returns a connected client that receives wills with their properties.
func heir(t testing.TB, b *broker.Broker) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newV5(t, "heir", true)
	connect(t, c, e, b.Port)
	subscribe(t, c, e, "will/#", 2)
	return c, e
}

// alive connects a client and runs its loop by hand. So Close closes the connection
// without a DISCONNECT, and the broker publishes the will.
func alive(t testing.TB, c *mosquitto.Client, e *events, port int) {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	turn(t, c, func() bool { return len(e.connect) > 0 })
	require.NoError(t, (<-e.connect).Err())
}

// nothing asserts that the heir receives no message before the mark.
func nothing(t testing.TB, c *mosquitto.Client, e *events) {
	t.Helper()
	mark(t, c, e, "will/mark")
	require.Equal(t, "will/mark", wait.For(t, e.message, "the mark").Topic)
}

func TestWill_IsSentAfterALostConnection(t *testing.T) {
	b := plain(t)
	_, he := heir(t, b)
	for _, v := range protocols {
		for _, qos := range []mosquitto.QoS{0, 1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", v.name, qos), func(t *testing.T) {
				c, e := newVersion(t, "id", true, v.version)
				payload := []byte{0, 1, 255}
				require.NoError(t, c.WillSet("will/topic", payload, qos, false))
				payload[0] = 9 // the library has copied it
				alive(t, c, e, b.Port)
				require.NoError(t, c.Close())
				m := wait.For(t, he.message, "the will")
				m.MID = 0
				require.Equal(t, mosquitto.Message{Topic: "will/topic", Payload: []byte{0, 1, 255}, QoS: qos}, m)
			})
		}
	}
}

func TestWill_MayBeEmptyOrLarge(t *testing.T) {
	b := plain(t)
	_, he := heir(t, b)
	for _, size := range []int{0, 65535} {
		c, e := newClient(t, "id", true)
		require.NoError(t, c.WillSet("will/size", make([]byte, size), 1, false))
		alive(t, c, e, b.Port)
		require.NoError(t, c.Close())
		require.Len(t, wait.For(t, he.message, "the will").Payload, size)
	}
}

func TestWill_CanBeRetained(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.WillSet("will/kept", []byte("gone"), 1, true))
	alive(t, c, e, b.Port)
	require.NoError(t, c.Close())
	h, he := newClient(t, "heir", true)
	connect(t, h, he, b.Port)
	subscribe(t, h, he, "will/kept", 1)
	m := wait.For(t, he.message, "the will")
	require.Equal(t, "gone", string(m.Payload)) // retained, or a normal message if the broker was slower
}

// willChild is the environment variable that makes the test binary a client with a will
// on this port.
const willChild = "MOSQUITTO_TEST_WILL_PORT"

func init() {
	port, err := strconv.Atoi(os.Getenv(willChild))
	if err != nil {
		return
	}
	fmt.Println(willChildMain(port)) // reached only after an error
	os.Exit(1)
}

func willChildMain(port int) error {
	c, err := mosquitto.New("child", true, nil)
	if err != nil {
		return err
	}
	if err := c.WillSet("will/child", []byte("killed"), 1, false); err != nil {
		return err
	}
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { fmt.Println("connected") })
	if err := c.Connect("127.0.0.1", port, keepalive); err != nil {
		return err
	}
	return c.LoopForever(-1)
}

func TestWill_IsSentAfterAKilledProcess(t *testing.T) {
	b := plain(t)
	_, he := heir(t, b)
	self, err := os.Executable()
	require.NoError(t, err)
	child := subprocess.Command(self)
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d", willChild, b.Port))
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line := make([]byte, len("connected"))
	_, err = io.ReadFull(output, line)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.NoError(t, err)
	require.Equal(t, "connected", string(line))
	m := wait.For(t, he.message, "the will")
	require.Equal(t, "will/child", m.Topic)
	require.Equal(t, "killed", string(m.Payload))
}

func TestWill_IsNotSentAfterDisconnect(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	for _, v := range protocols {
		c, e := newVersion(t, "id", true, v.version)
		require.NoError(t, c.WillSet("will/topic", []byte("gone"), 1, false))
		leave(t, c, e, connect(t, c, e, b.Port))
		require.NoError(t, c.Close())
		nothing(t, h, he)
	}
}

// If a loop runs, Close sends a DISCONNECT, so that the broker does not publish the
// will.
func TestWill_IsNotSentAfterCloseBesideALoop(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.WillSet("will/topic", []byte("gone"), 1, false))
	ended := connect(t, c, e, b.Port)
	require.NoError(t, c.Close())
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
	nothing(t, h, he)
}

func TestWill_ClearedIsNotSent(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.WillSet("will/topic", []byte("gone"), 1, false))
	require.NoError(t, c.WillClear())
	require.NoError(t, c.WillClear())
	alive(t, c, e, b.Port)
	require.NoError(t, c.Close())
	wait.Until(t, "the broker to notice", func() bool { return gone(b, "id") })
	nothing(t, h, he)
}

// A new will replaces the old one.
func TestWill_NewOneReplacesTheOld(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	c, e := newClient(t, "id", true)
	require.NoError(t, c.WillSet("will/old", []byte("old"), 1, false))
	require.NoError(t, c.WillSet("will/new", []byte("new"), 1, false))
	alive(t, c, e, b.Port)
	require.NoError(t, c.Close())
	require.Equal(t, "will/new", wait.For(t, he.message, "the will").Topic)
	nothing(t, h, he)
}

// allOfWill returns all properties that a will may have.
func allOfWill() mosquitto.Properties {
	return mosquitto.Properties{
		{ID: mosquitto.PropPayloadFormatIndicator, Number: 1},
		{ID: mosquitto.PropMessageExpiryInterval, Number: 3600},
		{ID: mosquitto.PropContentType, Text: "text/plain"},
		{ID: mosquitto.PropResponseTopic, Text: "answers/here"},
		{ID: mosquitto.PropCorrelationData, Data: []byte{0, 1, 255}},
		{ID: mosquitto.PropUserProperty, Name: "name", Text: "first"},
		{ID: mosquitto.PropUserProperty, Name: "name", Text: "second"},
		{ID: mosquitto.PropWillDelayInterval, Number: 0},
	}
}

func TestWill_PropertiesAreForwarded(t *testing.T) {
	b := plain(t)
	_, he := heir(t, b)
	c, e := newV5(t, "id", true)
	props := allOfWill()
	require.NoError(t, c.WillSetV5("will/topic", []byte("gone"), 1, false, props))
	props[2].Text = "changed" // the library has copied it
	alive(t, c, e, b.Port)
	require.NoError(t, c.Close())
	m := wait.For(t, he.message, "the will")
	want := allOfWill()
	want = want[:len(want)-1] // the broker does not forward the delay
	expiry, ok := m.Properties.Int32(mosquitto.PropMessageExpiryInterval)
	require.True(t, ok)
	require.LessOrEqual(t, expiry, uint32(3600))
	for i := range m.Properties { // the broker subtracts the time that has passed
		if m.Properties[i].ID == mosquitto.PropMessageExpiryInterval {
			m.Properties[i].Number = 3600
		}
	}
	require.ElementsMatch(t, want, m.Properties)
	require.Equal(t, []string{"first", "second"}, userProperties(m.Properties))
}

func userProperties(props mosquitto.Properties) (values []string) {
	for p := range props.All(mosquitto.PropUserProperty) {
		values = append(values, p.Text)
	}
	return values
}

func TestWill_PropertiesAreInTheConnect(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "id", true)
	require.NoError(t, c.WillSetV5("will/topic", []byte("gone"), 2, true, allOfWill()))
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := loop(t, c)
	conn := p.Accept()
	got := readConnect(t, conn)
	require.Equal(t, wireBody(allOfWill()), got.willProps)
	require.Equal(t, "gone", got.will)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
	wait.For(t, e.connect, "OnConnect")
	part(t, c, conn, ended)
}

// gone reports whether the broker has logged that the client's connection is closed.
func gone(b *broker.Broker, id string) bool {
	return regexp.MustCompile(`Client ` + id + ` (\[.*\] )?(closed its connection|disconnected)`).MatchString(b.Log())
}

// expiring connects an MQTT 5 client with a session and a will of this delay, and
// closes the connection without a DISCONNECT.
func expiring(t testing.TB, b *broker.Broker, delay uint32) {
	t.Helper()
	c, e := newV5(t, "id", true)
	props := mosquitto.Properties{{ID: mosquitto.PropWillDelayInterval, Number: delay}}
	require.NoError(t, c.WillSetV5("will/delayed", []byte("gone"), 1, false, props))
	session := mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 7200}}
	require.NoError(t, c.ConnectBindV5("127.0.0.1", b.Port, keepalive, "", session))
	turn(t, c, func() bool { return len(e.connect) > 0 })
	require.NoError(t, c.Close())
}

func TestWill_DelayedIsSentLater(t *testing.T) {
	t.Parallel()
	b := plain(t)
	_, he := heir(t, b)
	expiring(t, b, 1)
	require.Equal(t, "will/delayed", wait.For(t, he.message, "the will").Topic)
}

// A client that reconnects within the delay cancels its will.
func TestWill_ReconnectCancelsADelayedWill(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	expiring(t, b, 3600)
	wait.Until(t, "the broker to notice", func() bool { return gone(b, "id") })
	nothing(t, h, he)
	c, e := newV5(t, "id", false)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	require.True(t, wait.For(t, e.connect, "OnConnect").SessionPresent)
	settle(t, c, e)
	leave(t, c, e, ended)
	nothing(t, h, he)
}

// A DISCONNECT can request the will.
func TestWill_DisconnectCanRequestIt(t *testing.T) {
	b := plain(t)
	h, he := heir(t, b)
	for _, reason := range []mosquitto.ReasonCode{mosquitto.RCDisconnectWithWillMsg, mosquitto.RCNormalDisconnection} {
		c, e := newV5(t, "id", true)
		require.NoError(t, c.WillSet("will/asked", []byte("gone"), 1, false))
		ended := connect(t, c, e, b.Port)
		require.NoError(t, c.DisconnectV5(reason, nil))
		require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
		require.NoError(t, wait.For(t, ended, "the end of the loop"))
		if reason == mosquitto.RCDisconnectWithWillMsg {
			require.Equal(t, "will/asked", wait.For(t, he.message, "the will").Topic)
		}
		nothing(t, h, he)
	}
}

// The reason code of a DISCONNECT is sent only with MQTT 5.
func TestWill_DisconnectReasonNeedsMQTT5(t *testing.T) {
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			conn, ended := meet(t, c, e, p)
			require.NoError(t, c.DisconnectV5(mosquitto.RCDisconnectWithWillMsg, nil))
			got := conn.Expect(fakebroker.DISCONNECT)
			if v.version == mosquitto.ProtocolV5 {
				require.Equal(t, byte(4), got.Body[0])
			} else {
				require.Empty(t, got.Body)
			}
			conn.Close()
			require.NoError(t, wait.For(t, ended, "the end of the loop"))
		})
	}
}
