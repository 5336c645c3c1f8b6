package test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/lowfds"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// running is a client in Run, on a goroutine of its own.
type running struct {
	cancel    context.CancelFunc
	ended     chan error
	goroutine chan string // id of the goroutine
}

// run runs the client until the test ends.
func run(t testing.TB, c *mosquitto.Client) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan error, 1), make(chan string, 1)}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.goroutine <- goroutine()
		r.ended <- c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		wait.For(t, gone, "the end of Run")
	})
	return r
}

// connectRun connects, calls Run and waits for the CONNACK.
func connectRun(t testing.TB, c *mosquitto.Client, e *events, port int) *running {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	r := run(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	return r
}

// meetRun connects a client in Run to a fake broker.
func meetRun(t testing.TB, c *mosquitto.Client, e *events, p *fakebroker.Broker) (*fakebroker.Conn, *running) {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	r := run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	return conn, r
}

// goroutine returns the id of the calling goroutine, from its stack trace.
func goroutine() string {
	stack := make([]byte, 64)
	stack = stack[:runtime.Stack(stack, false)]
	return string(bytes.Fields(stack)[1])
}

func TestRun_TransfersMessages(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	r := connectRun(t, c, e, b.Port)
	subscribe(t, c, e, "a/#", 2)
	for i := range 30 {
		_, err := c.Publish("a/b", fmt.Append(nil, i), mosquitto.QoS(i%3), false)
		require.NoError(t, err)
	}
	for range 30 {
		wait.For(t, e.message, "OnMessage")
		wait.For(t, e.publish, "OnPublish")
	}
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
	require.Equal(t, 0, wait.For(t, e.disconnect, "OnDisconnect").Code)
	require.Equal(t, -1, c.Socket())
}

func TestRun_InvalidCallsReturnErrors(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	require.ErrorIs(t, c.Run(context.Background()), mosquitto.ErrNoConn, "before any connect")

	inside := make(chan error, 1)
	c.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		inside <- c.Run(context.Background())
	})
	r := connectRun(t, c, e, b.Port)
	require.ErrorIs(t, c.Run(context.Background()), mosquitto.ErrBusy)
	require.ErrorIs(t, c.Loop(0), mosquitto.ErrBusy)
	require.ErrorIs(t, c.LoopStart(), mosquitto.ErrBusy)
	require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrBusy)
	_, err := c.Subscribe("a", 0)
	require.NoError(t, err)
	require.ErrorIs(t, wait.For(t, inside, "Run inside a callback"), mosquitto.ErrInCallback)

	require.NoError(t, c.Close())
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
	require.ErrorIs(t, c.Run(context.Background()), mosquitto.ErrClosed)
}

func TestRun_EndsWithItsContext(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	conn, r := meetRun(t, c, e, p)

	r.cancel()
	require.Empty(t, conn.Expect(fakebroker.DISCONNECT).Body)
	conn.ExpectClosed()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, 0, wait.For(t, e.disconnect, "OnDisconnect").Code)

	// The client can be used again.
	meetRun(t, c, e, p)
}

func TestRun_EndsWithItsContextDespiteTheBroker(t *testing.T) {
	for name, misbehave := range map[string]func(*fakebroker.Conn){
		"hangs inside a packet": func(conn *fakebroker.Conn) { conn.Send([]byte{0x30, 100, 0, 1, 'a'}) },
		"reads nothing":         func(*fakebroker.Conn) {},
		"floods": func(conn *fakebroker.Conn) {
			messages := bytes.Repeat(fakebroker.Publish(0, "a", 0, "flood"), 10000)
			go func() {
				for {
					if _, err := conn.Write(messages); err != nil {
						return
					}
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			c.OnMessage(nil)
			conn, r := meetRun(t, c, e, p)
			fill(t, c)
			misbehave(conn)
			r.cancel()
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
			require.Equal(t, 0, wait.For(t, e.disconnect, "OnDisconnect").Code)
			require.Equal(t, -1, c.Socket())
		})
	}
}

// fill publishes more bytes than the socket's buffers hold.
func fill(t testing.TB, c *mosquitto.Client) {
	t.Helper()
	payload := make([]byte, 1<<20)
	for range 20 {
		_, err := c.Publish("fill", payload, 0, false)
		require.NoError(t, err)
	}
}

func TestRun_EndsWithItsContextWhileConnecting(t *testing.T) {
	d := newSilentPort(t)
	d.fill()
	c, _ := newClient(t, "run", true)
	require.NoError(t, c.ConnectAsync("127.0.0.1", d.port, keepalive))
	r := run(t, c)
	<-r.goroutine
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.NoError(t, c.WillClear(), "no attempt is in progress")
}

func TestRun_DoesNotWaitForABlockingConnect(t *testing.T) {
	d := newSilentPort(t)
	c, _ := newClient(t, "run", true)
	require.NoError(t, c.Connect("localhost", d.port, keepalive)) // with a host name, connects block
	d.fill()
	require.NoError(t, syscall.Shutdown(c.Socket(), syscall.SHUT_RDWR))
	r := run(t, c)
	wait.Until(t, "the connect to hang", d.asked)
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.ErrorIs(t, c.Connect("127.0.0.1", d.port, keepalive), mosquitto.ErrBusy, "the attempt still uses the client")
	d.hangUp()
	wait.Until(t, "the attempt to end", func() bool { return c.WillClear() == nil })
}

func TestRun_EndsWithItsContextDuringBackoff(t *testing.T) {
	c, _ := newClient(t, "run", true)
	require.NoError(t, c.ReconnectDelaySet(time.Hour, time.Hour, false))
	require.Error(t, c.Connect("127.0.0.1", broker.FreePort(t), keepalive))
	r := run(t, c)
	<-r.goroutine
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
}

func TestRun_EndsWithDisconnectDuringBackoff(t *testing.T) {
	c, _ := newClient(t, "run", true)
	require.NoError(t, c.ReconnectDelaySet(time.Hour, time.Hour, false))
	require.Error(t, c.Connect("127.0.0.1", broker.FreePort(t), keepalive))
	r := run(t, c)
	// Unlike other calls, LoopStop does not disturb a Run that starts.
	wait.Until(t, "Run to start", func() bool { return errors.Is(c.LoopStop(false), mosquitto.ErrBusy) })
	require.ErrorIs(t, c.Disconnect(), mosquitto.ErrNoConn)
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
}

func TestRun_ReconnectsAfterALoss(t *testing.T) {
	v5Disconnect := fakebroker.Bytes(fakebroker.DISCONNECT, 0x8B, 0)
	for name, lose := range map[string]struct {
		v5  bool
		how func(*fakebroker.Conn)
	}{
		"EOF":                 {false, func(conn *fakebroker.Conn) { conn.Close() }},
		"reset":               {false, func(conn *fakebroker.Conn) { conn.Reset() }},
		"malformed packet":    {false, func(conn *fakebroker.Conn) { conn.Send([]byte{0x00, 0x00}) }},
		"second CONNACK, cut": {false, func(conn *fakebroker.Conn) { conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0)); conn.Close() }},
		"server's DISCONNECT": {true, func(conn *fakebroker.Conn) { conn.Send(v5Disconnect) }},
		"EOF inside a packet": {false, func(conn *fakebroker.Conn) { conn.Send([]byte{0x30, 10, 0}); conn.Close() }},
		"malformed, then more": {false, func(conn *fakebroker.Conn) {
			conn.Send(bytes.Repeat(append(fakebroker.Bytes(0), fakebroker.Publish(0, "a", 0, "stale")...), 5))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			if lose.v5 {
				require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
			}
			conn, _ := meetRun(t, c, e, p)
			lose.how(conn)
			require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
			acceptAgain(t, p, lose.v5)
			require.NoError(t, wait.For(t, e.connect, "the second OnConnect").Err())
			wait.None(t, e.message, "message of the old connection")
			wait.None(t, e.disconnect, "second OnDisconnect")
		})
	}
}

// acceptAgain accepts the next CONNECT. Before it, 2.1 may make connections without a
// CONNECT, to discard old input.
func acceptAgain(t testing.TB, p *fakebroker.Broker, v5 bool) *fakebroker.Conn {
	t.Helper()
	for {
		conn := p.Accept()
		packet, err := conn.Next()
		if err != nil && has21() {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, byte(fakebroker.CONNECT), packet.Type())
		if v5 {
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
		} else {
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
		}
		return conn
	}
}

func TestRun_ReconnectsWithTheSetDelays(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	require.NoError(t, c.ReconnectDelaySet(time.Second, 10*time.Second, true))
	conn, _ := meetRun(t, c, e, p)
	lost := time.Now()
	conn.Close()
	p.Accept().Close() // after 1 s
	p.Accept().Close() // after 4 s more
	require.GreaterOrEqual(t, time.Since(lost), 5*time.Second)
}

func TestRun_ReconnectsAfterARestart(t *testing.T) {
	for name, end := range map[string]func(*broker.Broker){
		"killed": (*broker.Broker).Kill, "stopped": (*broker.Broker).Stop,
	} {
		t.Run(name, func(t *testing.T) {
			b := plain(t)
			c, e := newClient(t, "run", true)
			connectRun(t, c, e, b.Port)
			end(b)
			require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
			b.Restart()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			subscribe(t, c, e, "a", 1)
		})
	}
}

func TestRun_RetriesTheFirstConnect(t *testing.T) {
	b := plain(t)
	b.Kill()
	c, e := newClient(t, "run", true)
	require.Error(t, c.Connect("127.0.0.1", b.Port, keepalive))
	run(t, c)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestRun_DetectsASilentBroker(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, 5*time.Second))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Expect(fakebroker.PINGREQ) // from now on the broker does not answer
	select {
	case d := <-e.disconnect:
		require.ErrorIs(t, d.Err, mosquitto.ErrKeepalive)
	case <-time.After(2 * wait.Patience):
		require.FailNow(t, "waited in vain for OnDisconnect")
	}
}

func TestRun_UsesTheBrokersKeepalive(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newV5(t, "run", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Hour))
	run(t, c)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 3, 19, 0, 5)) // server keep-alive of 5 s
	wait.For(t, e.connect, "OnConnect")
	conn.Expect(fakebroker.PINGREQ)
}

func TestRun_ReturnsPermanentRefusals(t *testing.T) {
	type refusal struct {
		v5    bool
		code  byte
		fatal bool
	}
	refusals := []refusal{
		{false, 1, true}, {false, 2, true}, {false, 3, false}, {false, 4, true}, {false, 5, true},
		{true, 0x80, false}, {true, 0x81, true}, {true, 0x82, true}, {true, 0x83, false}, {true, 0x84, true},
		{true, 0x85, true}, {true, 0x86, true}, {true, 0x87, true}, {true, 0x88, false}, {true, 0x89, false},
		{true, 0x8A, true}, {true, 0x8C, true}, {true, 0x90, true}, {true, 0x95, true}, {true, 0x97, false},
		{true, 0x99, true}, {true, 0x9A, true}, {true, 0x9B, true}, {true, 0x9C, false}, {true, 0x9D, true},
		{true, 0x9F, false},
	}
	for _, r := range refusals {
		t.Run(fmt.Sprintf("v5 %v code %#x", r.v5, r.code), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			body := []byte{0, r.code}
			if r.v5 {
				require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
				body = append(body, 0)
			}
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			running := run(t, c)
			conn := p.Accept()
			conn.Expect(fakebroker.CONNECT)
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, body...))
			code := mosquitto.ConnackCode(r.code)
			require.Equal(t, code, wait.For(t, e.connect, "OnConnect").Code)
			if r.fatal {
				require.ErrorIs(t, wait.For(t, running.ended, "the end of Run"), mosquitto.ConnackError{Code: code})
				return
			}
			acceptAgain(t, p, r.v5)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		})
	}
}

func TestRun_UsesNoCPUWhileTheBrokerDoesNotRead(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	require.NoError(t, c.MaxInflightMessagesSet(1000))
	conn, _ := meetRun(t, c, e, p)
	const n = 200
	payload := make([]byte, 100_000) // all together more than the sockets' buffers hold
	_, err := rand.Read(payload)
	require.NoError(t, err)
	for range n {
		_, err := c.Publish("a", payload, 1, false)
		require.NoError(t, err)
	}
	conn.Send(fakebroker.Publish(0, "still", 0, "read"))
	require.Equal(t, "read", string(wait.For(t, e.message, "a message while the broker does not read").Payload))

	before := cpuTime(t)
	quiet := time.NewTimer(2 * time.Second) // the CPU time of these two seconds is measured
	<-quiet.C
	require.Less(t, cpuTime(t)-before, 200*time.Millisecond)

	for range n {
		packet := conn.Expect(fakebroker.PUBLISH)
		require.True(t, bytes.HasSuffix(packet.Body, payload))
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(packet.Body[3])<<8|uint16(packet.Body[4])))
	}
	for range n {
		wait.For(t, e.publish, "OnPublish")
	}
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestRun_SendsAtOnce(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Hour)) // the loop's next timer is minutes away
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	for i := range 100 {
		_, err := c.Publish("a", fmt.Append(nil, i), 0, false)
		require.NoError(t, err)
		require.True(t, bytes.HasSuffix(conn.Expect(fakebroker.PUBLISH).Body, fmt.Append(nil, i)))
	}
	_, err := c.Subscribe("a", 0)
	require.NoError(t, err)
	conn.Expect(fakebroker.SUBSCRIBE)
	_, err = c.Unsubscribe("a")
	require.NoError(t, err)
	conn.Expect(fakebroker.UNSUBSCRIBE)
}

// Publish waits while Run reads input, but not while a callback runs.
func TestRun_PublishReturnsWhileACallbackWaitsForIt(t *testing.T) {
	for name, size := range map[string]int{"in a batch": 10, "by itself": 2000} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			handled := make(chan error, 1)
			c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) {
				published := make(chan error, 1)
				go func() {
					_, err := c.Publish("answer", nil, 1, false)
					published <- err
				}()
				select {
				case err := <-published:
					handled <- err
				case <-time.After(5 * time.Second):
					handled <- context.DeadlineExceeded
				}
			})
			conn, _ := meetRun(t, c, e, p)
			conn.Send(fakebroker.Publish(0, "question", 0, string(make([]byte, size))))
			require.NoError(t, wait.For(t, handled, "the end of the callback"))
			conn.Expect(fakebroker.PUBLISH)
		})
	}
}

func TestRun_TransfersMessagesOverTLS(t *testing.T) {
	ca := broker.NewCA(t, "ca")
	tls := broker.Start(t, broker.Config{TLS: ca.Issue("server", "127.0.0.1", "localhost")})
	psk := broker.Start(t, broker.Config{PSK: map[string]string{"me": "abcdef0123456789"}})
	for name, with := range map[string]struct {
		b   *broker.Broker
		set func(*mosquitto.Client) error
	}{
		"certificates": {tls, func(c *mosquitto.Client) error { return c.TLSSet(ca.File, "", "", "", nil) }},
		"PSK":          {psk, func(c *mosquitto.Client) error { return c.TLSPSKSet("abcdef0123456789", "me", "") }},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "run", true)
			require.NoError(t, with.set(c))
			connectRun(t, c, e, with.b.Port)
			subscribe(t, c, e, "a", 1)
			for i, size := range []int{0, 1, 100, 16_000, 17_000, 100_000, 3_000_000} {
				payload := bytes.Repeat([]byte{byte(i + 1)}, size)
				_, err := c.Publish("a", payload, mosquitto.QoS(i%2), false)
				require.NoError(t, err)
				require.True(t, bytes.Equal(payload, wait.For(t, e.message, "a message").Payload), size)
			}
			for i := range 1000 { // many messages in one TLS record
				_, err := c.Publish("a", fmt.Append(nil, i), 1, false)
				require.NoError(t, err)
			}
			for i := range 1000 {
				require.Equal(t, fmt.Sprint(i), string(wait.For(t, e.message, "a message").Payload))
			}
			with.b.Kill() // no close_notify is sent
			require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
			with.b.Restart()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		})
	}
}

func TestRun_BadTLSCertificateEndsIt(t *testing.T) {
	b := broker.Start(t, broker.Config{TLS: broker.NewCA(t, "ca").Issue("server", "127.0.0.1")})
	c, e := newClient(t, "run", true)
	require.NoError(t, c.TLSSet(broker.NewCA(t, "another").File, "", "", "", nil))
	if err := c.Connect("127.0.0.1", b.Port, keepalive); err == nil {
		err = wait.For(t, run(t, c).ended, "the end of Run")
		require.Error(t, err)
	}
	wait.None(t, e.connect, "OnConnect")
}

func TestRun_ReconnectsToAUnixSocket(t *testing.T) {
	b := broker.Start(t, broker.Config{Unix: true})
	c, e := newClient(t, "run", true)
	require.NoError(t, c.Connect(b.Unix, 0, keepalive))
	run(t, c)
	wait.For(t, e.connect, "OnConnect")
	subscribe(t, c, e, "a", 1)
	b.Kill()
	wait.For(t, e.disconnect, "OnDisconnect")
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestRun_CompletesConnectAsync(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	require.NoError(t, c.ConnectAsync("127.0.0.1", b.Port, keepalive))
	run(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	subscribe(t, c, e, "a", 1)

	// A refused connect is tried again without a callback.
	b.Kill()
	late, e := newClient(t, "late", true)
	require.NoError(t, late.ConnectAsync("127.0.0.1", b.Port, keepalive))
	run(t, late)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestRun_EndsWithDisconnectInsideOnMessage(t *testing.T) {
	for name, leave := range map[string]func(*mosquitto.Client) error{
		"Disconnect": (*mosquitto.Client).Disconnect, "Close": (*mosquitto.Client).Close,
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			left := make(chan error, 100)
			c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
				if m.Topic == "go" {
					left <- leave(c)
				}
			})
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			r := run(t, c)
			conn := p.Accept()
			conn.Expect(fakebroker.CONNECT)
			more := bytes.Repeat(fakebroker.Publish(0, "more", 0, "x"), 20)
			conn.Send(append(append(fakebroker.Bytes(fakebroker.CONNACK, 0, 0), fakebroker.Publish(0, "go", 0, "")...), more...))
			require.NoError(t, wait.For(t, left, name))
			conn.Expect(fakebroker.DISCONNECT)
			conn.ExpectClosed()
			if name == "Close" {
				require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
				return
			}
			require.NoError(t, wait.For(t, r.ended, "the end of Run"))
			require.Equal(t, 0, wait.For(t, e.disconnect, "OnDisconnect").Code)

			wait.For(t, e.connect, "the first OnConnect")
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			run(t, c)
			acceptAgain(t, p, false)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		})
	}
}

func TestRun_DisconnectV5SendsReasonAndProperties(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "run", true)
	conn, r := meetRun(t, c, e, p)
	require.ErrorIs(t, c.DisconnectV5(0, mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 1}}), mosquitto.ErrProtocol)
	require.NoError(t, c.DisconnectV5(mosquitto.RCDisconnectWithWillMsg, mosquitto.Properties{{ID: mosquitto.PropReasonString, Text: "bye"}}))
	require.Equal(t, []byte{4, 6, 31, 0, 3, 'b', 'y', 'e'}, conn.Expect(fakebroker.DISCONNECT).Body)
	conn.Close()
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))

	c3, e := newClient(t, "v3", true)
	require.NoError(t, c3.Connect("127.0.0.1", p.Port, keepalive))
	run(t, c3)
	p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	require.ErrorIs(t, c3.DisconnectV5(0, mosquitto.Properties{{ID: mosquitto.PropReasonString, Text: "bye"}}), mosquitto.ErrNotSupported)
}

func TestRun_CallbacksRunOnItsGoroutine(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "run", true)
	const n = 500
	where := make(chan string, 4*n)
	busy := make(chan struct{}, 1) // full while a callback runs, so that a concurrent callback blocks
	note := func() {
		busy <- struct{}{}
		where <- goroutine()
		<-busy
	}
	var order []string
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		note()
		order = append(order, string(m.Payload))
		e.message <- m
	})
	c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		note()
		e.publish <- published{mid: mid}
	})
	r := connectRun(t, c, e, b.Port)
	me := wait.For(t, r.goroutine, "the goroutine of Run")
	subscribe(t, c, e, "a", 0)
	for i := range n {
		_, err := c.Publish("a", fmt.Append(nil, i), 0, false)
		require.NoError(t, err)
	}
	for i := range n {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, e.message, "OnMessage").Payload))
		wait.For(t, e.publish, "OnPublish")
	}
	require.NoError(t, c.Disconnect())
	wait.For(t, r.ended, "the end of Run")
	require.Len(t, order, n)
	close(where)
	for got := range where {
		require.Equal(t, me, got)
	}
}

func TestRun_ReconnectInsideOnDisconnectSucceeds(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	reconnected := make(chan error, 10)
	c.OnDisconnect(func(c *mosquitto.Client, d mosquitto.Disconnection) {
		if d.Code != 0 {
			reconnected <- c.Reconnect()
		}
	})
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	run(t, c)
	for range 3 {
		conn := p.AcceptConnect()
		wait.For(t, e.connect, "OnConnect")
		conn.Close()
		require.NoError(t, wait.For(t, reconnected, "Reconnect"))
	}
	p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
}

func TestRun_PanicLeavesRunAsPanicError(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) { panic("ouch") })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	raised := make(chan any, 1)
	go func() {
		defer func() { raised <- recover() }()
		_ = c.Run(context.Background())
	}()
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(bytes.Repeat(fakebroker.Publish(0, "a", 0, "x"), 10))
	err, ok := wait.For(t, raised, "the panic").(*mosquitto.PanicError)
	require.True(t, ok)
	require.Equal(t, "ouch", err.Value)
	require.Contains(t, string(err.Stack), "TestRun_PanicLeavesRunAsPanicError")
	conn.ExpectClosed()

	c.OnMessage(nil)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	run(t, c)
	acceptAgain(t, p, false)
	wait.For(t, e.connect, "OnConnect")
}

func TestRun_AcceptsFileDescriptorsAbove1023(t *testing.T) {
	lowfds.Descriptors(t)
	b := plain(t)
	c, e := newClient(t, "run", true)
	connectRun(t, c, e, b.Port)
	require.Greater(t, c.Socket(), 1023)
	subscribe(t, c, e, "a", 1)
	_, err := c.Publish("a", []byte("x"), 1, false)
	require.NoError(t, err)
	wait.For(t, e.message, "OnMessage")
}

// publishOn publishes continuously until stop is called or the test ends.
func publishOn(t testing.TB, c *mosquitto.Client, goroutines int) (stop func()) {
	t.Helper()
	var ending atomic.Bool
	var wg sync.WaitGroup
	payload := make([]byte, 64)
	for range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for !ending.Load() {
				_, _ = c.Publish("flood", payload, 0, false)
			}
		}()
	}
	stop = func() {
		ending.Store(true)
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// A flood is written in several passes. No message is lost, duplicated or out of order.
func TestRun_FloodArrivesCompletely(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	secure := tlsFakeBroker(t, ca.Issue("broker", "127.0.0.1"), stapling(nil))
	for name, p := range map[string]*fakebroker.Broker{"plain": fakebroker.Listen(t), "TLS": secure} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "run", true)
			if p == secure {
				require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
			}
			conn, r := meetRun(t, c, e, p)
			c.OnPublish(nil)
			const messages = 300_000
			received := make(chan int, 1)
			go func() {
				n := 0
				for ; n < messages; n++ {
					if m, err := conn.Next(); err != nil || string(m.Body[3:]) != fmt.Sprint(n) {
						break
					}
				}
				received <- n
			}()
			for i := range messages {
				_, err := c.Publish("a", fmt.Append(nil, i), 0, false)
				require.NoError(t, err)
			}
			require.Equal(t, messages, wait.For(t, received, "all messages"))
			r.cancel()
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
		})
	}
}

// OnPublish waits for the goroutine that publishes. Publish must not wait for the
// callback.
func TestRun_FloodMayBlockInACallback(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "run", true)
	conn, r := meetRun(t, c, e, p)
	sent := make(chan int)
	c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) { sent <- mid })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_ = conn.SetReadDeadline(time.Time{})
		_, _ = io.Copy(io.Discard, conn)
	}()
	const messages, window = 50_000, 1000
	for published, confirmed := 0, 0; confirmed < messages; {
		if published < messages && published-confirmed < window {
			_, err := c.Publish("flood", nil, 0, false)
			require.NoError(t, err)
			published++
			continue
		}
		wait.For(t, sent, "a message that was sent")
		confirmed++
	}
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	wait.For(t, drained, "the end of the connection")
}

// The library writes as long as packets are queued. Continuous publishing must not keep
// Run from reading, or from its end.
func TestRun_ReadsDuringAFlood(t *testing.T) {
	for _, goroutines := range []int{1, 2, 200} {
		t.Run(fmt.Sprint(goroutines), func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "run", true)
			conn, r := meetRun(t, c, e, p)
			c.OnPublish(nil)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				_ = conn.SetReadDeadline(time.Time{})
				_, _ = io.Copy(io.Discard, conn)
			}()
			stop := publishOn(t, c, goroutines)
			for range 5 {
				conn.Send(fakebroker.Publish(0, "a", 0, "x"))
				wait.For(t, e.message, "a message during the flood")
			}
			r.cancel()
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
			stop()
			wait.For(t, drained, "the end of the connection")
		})
	}
}
