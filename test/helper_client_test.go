package test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

const keepalive = time.Minute

// events receives the callbacks of a client through channels.
type events struct {
	connect     chan mosquitto.Connack
	disconnect  chan mosquitto.Disconnection
	publish     chan published
	message     chan mosquitto.Message
	subscribe   chan granted
	unsubscribe chan granted
}

type published struct {
	mid   int
	code  mosquitto.ReasonCode
	props mosquitto.Properties
}

type granted struct {
	mid   int
	codes []mosquitto.ReasonCode
	props mosquitto.Properties
}

func listen(c *mosquitto.Client) *events {
	const room = 10000
	e := &events{
		make(chan mosquitto.Connack, room), make(chan mosquitto.Disconnection, room), make(chan published, room),
		make(chan mosquitto.Message, room), make(chan granted, room), make(chan granted, room),
	}
	c.OnConnect(func(_ *mosquitto.Client, a mosquitto.Connack) { e.connect <- a })
	c.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) { e.disconnect <- d })
	c.OnPublish(func(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, p mosquitto.Properties) {
		e.publish <- published{mid, code, p}
	})
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { e.message <- m })
	c.OnSubscribe(func(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, p mosquitto.Properties) {
		e.subscribe <- granted{mid, codes, p}
	})
	c.OnUnsubscribe(func(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, p mosquitto.Properties) {
		e.unsubscribe <- granted{mid, codes, p}
	})
	return e
}

// newClient returns a client that is closed when the test ends.
func newClient(t testing.TB, id string, cleanSession bool) (*mosquitto.Client, *events) {
	t.Helper()
	c, err := mosquitto.New(id, cleanSession, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, listen(c)
}

// newV5 is newClient for MQTT 5.
func newV5(t testing.TB, id string, cleanSession bool) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, id, cleanSession)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	return c, e
}

// loop runs LoopForever until the test ends. The channel receives its result.
func loop(t testing.TB, c *mosquitto.Client) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ended <- c.LoopForever(-1)
	}()
	t.Cleanup(func() {
		c.Close()
		wait.For(t, gone, "the end of LoopForever")
	})
	return ended
}

// connect connects to a local port, runs the loop and waits for the CONNACK.
func connect(t testing.TB, c *mosquitto.Client, e *events, port int) (ended <-chan error) {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	ended = loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	settle(t, c, e)
	return ended
}

// settle waits until the loop has left OnConnect. On 2.1 a Disconnect during OnConnect
// is reported as a lost connection.
func settle(t testing.TB, c *mosquitto.Client, e *events) {
	t.Helper()
	mid, err := c.Unsubscribe("settle")
	require.NoError(t, err)
	require.Equal(t, mid, wait.For(t, e.unsubscribe, "OnUnsubscribe").mid)
}

// subscribe subscribes and waits until the broker grants this QoS.
func subscribe(t testing.TB, c *mosquitto.Client, e *events, filter string, qos mosquitto.QoS) {
	t.Helper()
	mid, err := c.Subscribe(filter, qos)
	require.NoError(t, err)
	g := wait.For(t, e.subscribe, "OnSubscribe")
	require.Equal(t, mid, g.mid)
	require.Equal(t, []mosquitto.ReasonCode{mosquitto.ReasonCode(qos)}, g.codes)
}

// has21 reports whether the library is 2.1 or later.
func has21() bool {
	major, minor, _ := mosquitto.LibVersion()
	return major*1000+minor >= 2001
}

// atLeast reports whether the library is this version or later. All 2.1.x report 2.1.0.
func atLeast(major, minor, revision int) bool {
	a, b, c := mosquitto.LibVersion()
	return a*1000000+b*1000+c >= major*1000000+minor*1000+revision
}

// plain starts a broker that accepts every client.
func plain(t testing.TB) *broker.Broker { return broker.Start(t, broker.Config{}) }

// awaitThread waits until the thread of LoopStart has ended. The system lists a thread
// for a moment after it was joined.
func awaitThread(t testing.TB) {
	t.Helper()
	wait.Until(t, "the end of the thread", func() bool { return leak.LibraryThreads() == 0 })
}

var protocols = []struct {
	name    string
	version int
}{{"3.1", mosquitto.ProtocolV31}, {"3.1.1", mosquitto.ProtocolV311}, {"5", mosquitto.ProtocolV5}}

// newVersion is newClient for a version of MQTT.
func newVersion(t testing.TB, id string, cleanSession bool, version int) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, id, cleanSession)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, version))
	return c, e
}

// leave disconnects from a real broker and waits for the end of the loop.
func leave(t testing.TB, c *mosquitto.Client, e *events, ended <-chan error) {
	t.Helper()
	require.NoError(t, c.Disconnect())
	require.Zero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
}

// meet connects to a fake broker, which accepts, and runs the loop.
func meet(t testing.TB, c *mosquitto.Client, e *events, p *fakebroker.Broker) (conn *fakebroker.Conn, ended <-chan error) {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended = loop(t, c)
	conn = p.Accept()
	accept, settle := []byte{0, 0}, []byte{0, 1}
	if readConnect(t, conn).level == mosquitto.ProtocolV5 {
		accept, settle = append(accept, 0), append(settle, 0, 0)
	}
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, accept...))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	conn.Send(fakebroker.Bytes(fakebroker.UNSUBACK, settle...)) // as settle does
	wait.For(t, e.unsubscribe, "OnUnsubscribe")
	return conn, ended
}

// part is leave for a fake broker. DISCONNECT must be the next packet.
func part(t testing.TB, c *mosquitto.Client, conn *fakebroker.Conn, ended <-chan error) {
	t.Helper()
	require.NoError(t, c.Disconnect())
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
}

// silent asserts that the client has sent no further bytes. This is certain only while
// its loop waits inside a callback.
func silent(t testing.TB, conn *fakebroker.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	n, err := conn.Read(make([]byte, 100))
	require.Zero(t, n, "bytes from the client")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// startExtra starts a broker with additional lines in mosquitto.conf.
func startExtra(t testing.TB, lines ...string) *broker.Broker {
	t.Helper()
	return broker.Start(t, broker.Config{Extra: strings.Join(lines, "\n")})
}
