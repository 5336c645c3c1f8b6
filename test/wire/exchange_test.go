package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// exchange is a client in its loop, and the connection it has at present, seen
// from the broker's side.
type exchange struct {
	*peer.Dialog
	t      testing.TB
	v      peer.Version
	p      *peer.Peer
	c      *mosquitto.Client
	setup  setup
	alone  bool        // outcome sends no probe
	events chan string // callbacks, as lines
	ended  chan error  // the loop's end
}

// setup is how the client of an exchange differs from the usual one.
type setup struct {
	id        string // "-" for none, "" for "id"
	kept      bool   // no clean session
	keepalive time.Duration
	props     mosquitto.Properties // of CONNECT
	prepare   func(*mosquitto.Client)
	loop      func(*mosquitto.Client) error // Run when nil
}

// dial makes the client connect to a new peer, which has not read its CONNECT.
func dial(t testing.TB, v peer.Version, s setup) *exchange {
	t.Helper()
	x := &exchange{t: t, v: v, p: peer.Listen(t), setup: s, events: make(chan string, 10000), ended: make(chan error, 1)}
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

// connect connects, and runs the loop until the test ends.
func (x *exchange) connect() {
	x.t.Helper()
	keepalive := x.setup.keepalive
	if keepalive == 0 {
		keepalive = time.Minute
	}
	require.NoError(x.t, x.c.ConnectBindV5("127.0.0.1", x.p.Port, keepalive, "", x.setup.props))
	ctx, cancel := context.WithCancel(context.Background())
	gone, loop := make(chan struct{}), x.setup.loop
	if loop == nil {
		loop = func(c *mosquitto.Client) error { return c.Run(ctx) }
	}
	go func() {
		defer close(gone)
		x.ended <- loop(x.c)
	}()
	x.t.Cleanup(func() {
		cancel()
		x.c.Close()
		wait.For(x.t, gone, "the end of the loop")
	})
}

// meet connects, and accepts the client's CONNECT, whatever it says.
func meet(t testing.TB, v peer.Version, s setup) *exchange {
	t.Helper()
	x := dial(t, v, s)
	x.Expect("10 **")
	x.accept(false)
	return x
}

// accept answers a CONNECT that was read.
func (x *exchange) accept(present bool, props ...peer.Property) {
	x.t.Helper()
	x.Send(x.v.Connack(present, 0, props...))
	line := "connected"
	if present {
		line += ", session present"
	}
	require.Equal(x.t, line, strings.Split(x.next(), " {")[0])
}

// again waits for the client's next connection, and reads its CONNECT.
func (x *exchange) again() (connect []byte) {
	x.t.Helper()
	connect, err := x.anew()
	require.NoError(x.t, err, "the loop has ended")
	return connect
}

// anew is again for a client whose loop may have ended; then it is connected
// once more. 2.1 may come and go before, while it forgets what it had read of
// the last connection.
func (x *exchange) anew() (connect []byte, ended error) {
	x.t.Helper()
	for {
		conns, errs := make(chan *peer.Conn, 1), make(chan error, 1)
		go func() {
			conn, err := x.p.TryAccept()
			conns <- conn
			errs <- err
		}()
		var conn *peer.Conn
		select {
		case conn = <-conns:
		case ended = <-x.ended:
			require.Error(x.t, ended, "the loop has ended")
			x.connect()
			conn = <-conns
		}
		require.NoError(x.t, <-errs, "the client does not come back")
		x.Dialog = conn.Dialog()
		if connect, err := x.NextBytes(); err == nil {
			return connect, ended
		}
		x.Close()
	}
}

// lose cuts the connection and waits for the next one, which is accepted.
func (x *exchange) lose(present bool) {
	x.t.Helper()
	x.loseAs("lost", present)
}

func (x *exchange) loseAs(reason string, present bool) {
	x.t.Helper()
	x.Close()
	x.hears("disconnected: " + reason)
	x.again()
	x.accept(present)
}

// next is the next callback.
func (x *exchange) next() string {
	x.t.Helper()
	select {
	case line := <-x.events:
		return line
	case err := <-x.ended:
		x.ended <- err
		select {
		case line := <-x.events: // what it said before
			return line
		default:
		}
		require.FailNow(x.t, "the loop has ended", "%v", err)
	case <-time.After(wait.Patience):
		require.FailNow(x.t, "timeout while waiting for a callback")
	}
	return ""
}

// hears asserts the next callbacks.
func (x *exchange) hears(lines ...string) {
	x.t.Helper()
	for _, line := range lines {
		require.Equal(x.t, line, x.next())
	}
}

// probe is a message that the client acknowledges after all that came before.
const probeTopic, probeID = "probe", 65535

func (x *exchange) probe() []byte { return x.v.Publish(2, probeTopic, probeID, "") }

const probeHeard = "message probe \"\" qos 1"

// quiet asserts that the client has nothing to send and nothing to tell, by a
// message that it acknowledges in its turn.
func (x *exchange) quiet() {
	x.t.Helper()
	x.Send(x.probe())
	x.hears(probeHeard)
	x.Expect(x.v.Puback(probeID))
}

// leaving is the client's user data when it has been told to disconnect.
const leaving = "leaving"

// end disconnects: nothing but a DISCONNECT may come before.
func (x *exchange) end() {
	x.t.Helper()
	x.c.SetUserData(leaving)
	require.NoError(x.t, x.c.Disconnect())
	x.Expect("E0 00")
	x.Close()
	x.hears("disconnected")
	require.NoError(x.t, wait.For(x.t, x.ended, "the end of the loop"))
	require.Empty(x.t, x.events, "callbacks after the last")
}

// publish publishes, and returns the message id.
func (x *exchange) publish(topic, payload string, qos mosquitto.QoS) uint16 {
	x.t.Helper()
	mid, err := x.c.Publish(topic, []byte(payload), qos, false)
	require.NoError(x.t, err)
	return uint16(mid)
}

// listen writes each callback as a line.
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

// reason says why a connection has ended, in a word.
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

// list is the properties of a callback, as they came.
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

// both runs an exchange with MQTT 3.1.1 and with MQTT 5; the clauses of the two
// are its names.
func both(t *testing.T, clause311, clause5 string, exchange func(t *testing.T, v peer.Version)) {
	t.Helper()
	t.Parallel()
	for v, clause := range map[peer.Version]string{peer.V311: clause311, peer.V5: clause5} {
		t.Run(fmt.Sprintf("%v %s", v, clause), func(t *testing.T) {
			t.Parallel()
			exchange(t, v)
		})
	}
}

// The columns of what differs between versions of the library.
type does struct{ v2011, v2021, v212 string }

// all is a row on which the versions agree.
func all(outcome string) does { return does{outcome, outcome, outcome} }

// here is the column of the library that is loaded.
func (d does) here() string {
	major, minor, revision := mosquitto.LibVersion()
	switch number := major*1000000 + minor*1000 + revision; {
	case number >= 2001000:
		return d.v212
	case number >= 2000021:
		return d.v2021
	}
	return d.v2011
}

func has21() bool { return does{"", "", "2.1"}.here() != "" }
