package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// exchange is a client with a running loop, and the fake broker's end of its current
// connection.
type exchange struct {
	*fakebroker.Dialog
	t      testing.TB
	v      fakebroker.Version
	p      *fakebroker.Broker
	c      *mosquitto.Client
	setup  setup
	alone  bool        // outcome sends no probe
	events chan string // the callbacks, each as a line of text
	ended  chan error  // the result of the loop
}

// setup holds the settings of an exchange's client. The zero value is a client with
// the client id "id", a clean session and Run.
type setup struct {
	id        string                        // "-" for an empty client id, "" for "id"
	kept      bool                          // no clean session
	keepalive time.Duration                 // 0 for a minute
	props     mosquitto.Properties          // of CONNECT
	prepare   func(*mosquitto.Client)       // called before the client connects
	loop      func(*mosquitto.Client) error // nil for Run
}

// dial connects a client to a new fake broker, which has not read the CONNECT yet.
func dial(t testing.TB, v fakebroker.Version, s setup) *exchange {
	t.Helper()
	x := &exchange{t: t, v: v, p: fakebroker.Listen(t), setup: s, events: make(chan string, 10000), ended: make(chan error, 1)}
	id := map[string]string{"": "id", "-": ""}[s.id] + strings.TrimPrefix(s.id, "-")
	var err error
	x.c, err = mosquitto.New(id, !s.kept, nil)
	require.NoError(t, err)
	t.Cleanup(func() { x.c.Close() })
	require.NoError(t, x.c.IntOption(mosquitto.OptProtocolVersion, int(v)))
	x.listen()
	if s.prepare != nil {
		s.prepare(x.c)
	}
	x.connect()
	x.Dialog = x.p.Accept().Dialog()
	return x
}

// connect connects the client and runs its loop until the test ends.
func (x *exchange) connect() {
	x.t.Helper()
	keepalive := x.setup.keepalive
	if keepalive == 0 {
		keepalive = time.Minute
	}
	require.NoError(x.t, x.c.ConnectBindV5("127.0.0.1", x.p.Port, keepalive, "", x.setup.props))
	ctx, cancel := context.WithCancel(context.Background())
	returned, loop := make(chan struct{}), x.setup.loop
	if loop == nil {
		loop = func(c *mosquitto.Client) error { return c.Run(ctx) }
	}
	go func() {
		defer close(returned)
		x.ended <- loop(x.c)
	}()
	x.t.Cleanup(func() {
		cancel()
		x.c.Close()
		wait.For(x.t, returned, "the end of the loop")
	})
}

// dialAccepted connects a client to a new fake broker, which accepts the CONNECT.
func dialAccepted(t testing.TB, v fakebroker.Version, s setup) *exchange {
	t.Helper()
	x := dial(t, v, s)
	x.Expect("10 **")
	x.accept(false)
	return x
}

// accept sends CONNACK after a CONNECT that was read, and awaits OnConnect.
func (x *exchange) accept(present bool, props ...fakebroker.Property) {
	x.t.Helper()
	x.Send(x.v.Connack(present, 0, props...))
	line := "connected"
	if present {
		line += ", session present"
	}
	require.Equal(x.t, line, strings.Split(x.nextEvent(), " {")[0])
}

// awaitReconnect waits for the client's next connection and reads its CONNECT.
func (x *exchange) awaitReconnect() (connect []byte) {
	x.t.Helper()
	connect, err := x.awaitReconnectOrEnd()
	require.NoError(x.t, err, "the loop has ended")
	return connect
}

// awaitReconnectOrEnd is like awaitReconnect, for a client whose loop may have ended.
// In that case it connects the client again and returns the loop's error in ended. The
// first reconnect of 2.1 may fail, because the client still reads old input.
func (x *exchange) awaitReconnectOrEnd() (connect []byte, ended error) {
	x.t.Helper()
	for {
		conns, errs := make(chan *fakebroker.Conn, 1), make(chan error, 1)
		go func() {
			conn, err := x.p.TryAccept()
			conns <- conn
			errs <- err
		}()
		var conn *fakebroker.Conn
		select {
		case conn = <-conns:
		case ended = <-x.ended:
			require.Error(x.t, ended, "the loop has ended")
			x.connect()
			conn = <-conns
		}
		require.NoError(x.t, <-errs, "the client does not reconnect")
		x.Dialog = conn.Dialog()
		if connect, err := x.NextBytes(); err == nil {
			return connect, ended
		}
		x.Close()
	}
}

// lose closes the connection, waits for the next one and accepts it.
func (x *exchange) lose(present bool) {
	x.t.Helper()
	x.loseAs("lost", present)
}

func (x *exchange) loseAs(reason string, present bool) {
	x.t.Helper()
	x.Close()
	x.expectEvents("disconnected: " + reason)
	x.awaitReconnect()
	x.accept(present)
}

// nextEvent returns the next callback.
func (x *exchange) nextEvent() string {
	x.t.Helper()
	select {
	case line := <-x.events:
		return line
	case err := <-x.ended:
		x.ended <- err
		select {
		case line := <-x.events: // a callback before the end
			return line
		default:
		}
		require.FailNow(x.t, "the loop has ended", "%v", err)
	case <-time.After(wait.Patience):
		require.FailNow(x.t, "timeout while waiting for a callback")
	}
	return ""
}

// expectEvents asserts the next callbacks.
func (x *exchange) expectEvents(lines ...string) {
	x.t.Helper()
	for _, line := range lines {
		require.Equal(x.t, line, x.nextEvent())
	}
}

// The topic and the packet id of the probe. The client acknowledges this QoS 1 message
// after it has handled all earlier packets.
const probeTopic, probeID = "probe", 65535

func (x *exchange) probe() []byte { return x.v.Publish(2, probeTopic, probeID, "") }

const probeReceived = "message probe \"\" qos 1"

// expectNothing asserts that the client sends no packet and calls no callback. It sends
// a probe, and the next packet and callback must be those of the probe.
func (x *exchange) expectNothing() {
	x.t.Helper()
	x.Send(x.probe())
	x.expectEvents(probeReceived)
	x.Expect(x.v.Puback(probeID))
}

// disconnecting is the client's user data after end has called Disconnect.
const disconnecting = "disconnecting"

// end disconnects the client. The next packet must be its DISCONNECT.
func (x *exchange) end() {
	x.t.Helper()
	x.c.SetUserData(disconnecting)
	require.NoError(x.t, x.c.Disconnect())
	x.Expect("E0 00")
	x.Close()
	x.expectEvents("disconnected")
	require.NoError(x.t, wait.For(x.t, x.ended, "the end of the loop"))
	require.Empty(x.t, x.events, "callbacks after OnDisconnect")
}

// publish publishes a message and returns its packet id.
func (x *exchange) publish(topic, payload string, qos mosquitto.QoS) uint16 {
	x.t.Helper()
	mid, err := x.c.Publish(topic, []byte(payload), qos, false)
	require.NoError(x.t, err)
	return uint16(mid)
}

// listen sets callbacks that send a line of text to events.
func (x *exchange) listen() {
	line := func(format string, args ...any) { x.events <- fmt.Sprintf(format, args...) }
	x.c.OnConnect(func(_ *mosquitto.Client, a mosquitto.Connack) {
		text := "connected"
		if a.Code != 0 {
			text = fmt.Sprintf("refused 0x%02X", int(a.Code))
		}
		if a.SessionPresent {
			text += ", session present"
		}
		line("%s%s", text, list(a.Properties))
	})
	x.c.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		line("disconnected%s%s", reason(d.Code), list(d.Properties))
	})
	x.c.OnPublish(func(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, props mosquitto.Properties) {
		line("published %d%s%s", mid, failure(code), list(props))
	})
	x.c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		text := fmt.Sprintf("message %s %q qos %d", m.Topic, m.Payload, m.QoS)
		if m.Retain {
			text += " retained"
		}
		line("%s%s", text, list(m.Properties))
	})
	x.c.OnSubscribe(func(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, props mosquitto.Properties) {
		line("subscribed %d %s%s", mid, hexCodes(codes), list(props))
	})
	x.c.OnUnsubscribe(func(_ *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, props mosquitto.Properties) {
		line("unsubscribed %d %s%s", mid, hexCodes(codes), list(props))
	})
}

// reason describes the code of OnDisconnect.
func reason(code int) string {
	if code == 0 {
		return ""
	}
	if code >= 128 {
		return fmt.Sprintf(": 0x%02X", code)
	}
	for name, err := range map[string]mosquitto.Error{
		"lost": mosquitto.ErrConnLost, "protocol": mosquitto.ErrProtocol, "malformed": mosquitto.ErrMalformedPacket,
		"UTF-8": mosquitto.ErrMalformedUTF8, "duplicate": mosquitto.ErrDuplicateProperty, "refused": mosquitto.ErrConnRefused,
		"keepalive": mosquitto.ErrKeepalive, "auth": mosquitto.ErrAuth, "memory": mosquitto.ErrNoMem,
		"not found": mosquitto.ErrNotFound, "argument": mosquitto.ErrInval, "no connection": mosquitto.ErrNoConn, "errno": mosquitto.ErrErrno,
	} {
		if int(err) == code {
			return ": " + name
		}
	}
	return fmt.Sprintf(": %d", code)
}

func failure(code mosquitto.ReasonCode) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf(" 0x%02X", int(code))
}

func hexText(b []byte) string { return fmt.Sprintf("% X", b) }

func hexCodes(codes []mosquitto.ReasonCode) string {
	var all []string
	for _, code := range codes {
		all = append(all, fmt.Sprintf("%02X", int(code)))
	}
	return "[" + strings.Join(all, " ") + "]"
}

// list formats the properties of a callback in the order of the packet.
func list(props mosquitto.Properties) string {
	var all []string
	for _, p := range props {
		value := p.Text + string(p.Data)
		if p.Name != "" {
			value = p.Name + "=" + value
		}
		switch p.ID.Type() {
		case mosquitto.TypeByte, mosquitto.TypeInt16, mosquitto.TypeInt32, mosquitto.TypeVarint:
			value = fmt.Sprint(p.Number)
		}
		all = append(all, fmt.Sprintf("%v:%s", p.ID, value))
	}
	if all == nil {
		return ""
	}
	return " {" + strings.Join(all, " ") + "}"
}

// both runs an exchange with MQTT 3.1.1 and with MQTT 5. The clauses name the two
// subtests.
func both(t *testing.T, clause311, clause5 string, exchange func(t *testing.T, v fakebroker.Version)) {
	t.Helper()
	t.Parallel()
	for v, clause := range map[fakebroker.Version]string{fakebroker.V311: clause311, fakebroker.V5: clause5} {
		t.Run(fmt.Sprintf("%v %s", v, clause), func(t *testing.T) {
			t.Parallel()
			exchange(t, v)
		})
	}
}

// byVersion has an outcome for each version of the library.
type byVersion struct{ v2011, v2021, v212 string }

// all returns the same outcome for all versions.
func all(outcome string) byVersion { return byVersion{outcome, outcome, outcome} }

// current returns the outcome for the loaded library.
func (d byVersion) current() string {
	major, minor, revision := mosquitto.LibVersion()
	switch number := major*1000000 + minor*1000 + revision; {
	case number >= 2001000:
		return d.v212
	case number >= 2000021:
		return d.v2021
	}
	return d.v2011
}

func has21() bool { return byVersion{"", "", "2.1"}.current() != "" }
