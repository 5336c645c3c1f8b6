package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// slowly sets an OnMessage callback that takes this long for each message. The channels
// receive the payloads when the callback starts and when it returns.
func slowly(c *mosquitto.Client, takes time.Duration) (begun, done chan string) {
	begun, done = make(chan string, 10000), make(chan string, 10000)
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		begun <- string(m.Payload)
		time.Sleep(takes)
		done <- string(m.Payload)
	})
	return begun, done
}

// slowClient is a client in Run whose OnMessage is slow.
type slowClient struct {
	*mosquitto.Client
	*events
	*running
	begun, done chan string // see slowly
}

// startSlow connects a client with the shortest keepalive, a session, and an OnMessage
// that takes this long.
func startSlow(t *testing.T, port int, takes time.Duration) *slowClient {
	t.Helper()
	c, e := newClient(t, "slow", false)
	begun, done := slowly(c, takes)
	require.NoError(t, c.Connect("127.0.0.1", port, shortest))
	return &slowClient{c, e, run(t, c), begun, done}
}

// meetSlow is startSlow with a fake broker, which accepts the client.
func meetSlow(t *testing.T, p *fakebroker.Broker, takes time.Duration) (*slowClient, *fakebroker.Conn) {
	t.Helper()
	s := startSlow(t, p.Port, takes)
	conn := p.AcceptConnect()
	wait.For(t, s.connect, "OnConnect")
	return s, conn
}

// slowBurst is startSlow with a real broker. A second client publishes a burst of
// messages, and slowBurst asserts that they arrive in order.
func slowBurst(t *testing.T, qos mosquitto.QoS, messages int, takes time.Duration) *slowClient {
	t.Helper()
	b := plain(t)
	s := startSlow(t, b.Port, takes)
	wait.For(t, s.connect, "OnConnect")
	subscribe(t, s.Client, s.events, "a", qos)
	sender, e := newClient(t, "", true)
	connectRun(t, sender, e, b.Port)
	for i := range messages {
		_, err := sender.Publish("a", fmt.Append(nil, i), qos, false)
		require.NoError(t, err)
	}
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, s.done, "OnMessage"))
	}
	return s
}

// mixed returns encoded messages with these QoS levels and the payloads 0, 1, 2, and so
// on.
func mixed(qos ...byte) []byte {
	var all []byte
	for i, q := range qos {
		all = append(all, fakebroker.Publish(q<<1, "a", uint16(i+1), fmt.Sprint(i))...)
	}
	return all
}

// A slow callback does not delay the acknowledgement of the previous message.
func TestSlowCallback_AcknowledgementLeavesBeforeTheNextCallback(t *testing.T) {
	for name, test := range map[string]struct {
		qos  []byte
		acks int
	}{
		"QoS 1":       {[]byte{1, 1, 1, 1, 1, 1, 1, 1}, 8},
		"QoS 0 and 1": {[]byte{1, 0, 1, 0, 0, 1, 0, 1}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "slow", true)
			goOn := make(chan struct{})
			begun := make(chan mosquitto.Message, 10)
			c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
				begun <- m
				time.Sleep(30 * time.Millisecond)
				<-goOn
			})
			conn, _ := meetRun(t, c, e, p)
			conn.Send(mixed(test.qos...))
			var behind *mosquitto.Message // its acknowledgement has not arrived yet
			for i := range test.qos {
				m := wait.For(t, begun, "OnMessage")
				require.Equal(t, fmt.Sprint(i), string(m.Payload))
				if behind != nil { // this callback still waits
					require.Equal(t, uint16(behind.MID), conn.Expect(fakebroker.PUBACK).MID())
					behind = nil
				}
				silent(t, conn)
				if m.QoS > 0 {
					behind = &m
				}
				goOn <- struct{}{}
			}
		})
	}
}

func TestSlowCallback_FastCallbacksKeepTheOrder(t *testing.T) {
	const messages = 2000
	p := fakebroker.Listen(t)
	c, e := newClient(t, "slow", true)
	received := make(chan string, messages)
	n := 0
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		if n++; n%500 == 0 {
			time.Sleep(30 * time.Millisecond)
		}
		received <- string(m.Payload)
	})
	conn, _ := meetRun(t, c, e, p)
	go func() {
		for {
			if _, err := conn.Next(); err != nil {
				return
			}
		}
	}()
	var all []byte
	for i := range messages {
		qos := byte(0)
		if i%7 == 0 {
			qos = 1
		}
		all = append(all, fakebroker.Publish(qos<<1, "a", uint16(i+1), fmt.Sprint(i))...)
	}
	conn.Send(all)
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, received, "OnMessage"))
	}
}

func TestSlowCallback_NoMessageArrivesTwice(t *testing.T) {
	t.Parallel()
	const messages = 6
	s := slowBurst(t, 1, messages, 3*time.Second)
	turned(t, s.Client)
	require.Len(t, s.begun, messages)
	wait.None(t, s.disconnect, "OnDisconnect")
}

// The broker sends the PINGRESP after the messages, which take 13 s in total.
func TestSlowCallback_BacklogOfQoS0KeepsTheConnection(t *testing.T) {
	t.Parallel()
	s := slowBurst(t, 0, 26, 500*time.Millisecond)
	wait.None(t, s.disconnect, "OnDisconnect")
}

// The messages are too large to be read ahead in a batch, and the PINGRESP follows
// them.
func TestSlowCallback_ReadsAheadForThePingresp(t *testing.T) {
	t.Parallel()
	const messages, takes = 100, 150 * time.Millisecond // 15 s and 200 kB in total
	s, conn := meetSlow(t, fakebroker.Listen(t), takes)
	conn.Send(bytes.Repeat(fakebroker.Publish(0, "a", 0, string(make([]byte, 2000))), messages))
	pings := make(chan struct{}, 10)
	go answerPings(conn, func() { pings <- struct{}{} })
	for range messages {
		wait.For(t, s.done, "OnMessage")
	}
	wait.None(t, s.disconnect, "OnDisconnect")
	require.GreaterOrEqual(t, len(pings), 2)
}

// answerPings answers each PINGREQ until the connection is closed.
func answerPings(conn *fakebroker.Conn, note func()) {
	for {
		packet, err := conn.Next()
		if err != nil {
			return
		}
		if packet.Type() == fakebroker.PINGREQ {
			note()
			_ = conn.SetWriteDeadline(time.Now().Add(wait.Patience))
			_, _ = conn.Write(fakebroker.Bytes(fakebroker.PINGRESP))
		}
	}
}

// Before the PINGRESP there are more messages than a pass of Run reads. Some are
// pending when the PINGREQ is sent.
func TestSlowCallback_ReadsAheadBesidePendingMessages(t *testing.T) {
	t.Parallel()
	const messages, takes = 20, 400 * time.Millisecond // 16 s in total
	s, conn := meetSlow(t, fakebroker.Listen(t), takes)
	conn.Send(numbered(messages))
	wait.For(t, s.begun, "OnMessage")
	conn.Send(numbered(messages))
	go answerPings(conn, func() {})
	for range 2 * messages {
		wait.For(t, s.done, "OnMessage")
	}
	wait.None(t, s.disconnect, "OnDisconnect")
}

func TestSlowCallback_SilentBrokerIsDetected(t *testing.T) {
	t.Parallel()
	s, conn := meetSlow(t, fakebroker.Listen(t), time.Second)
	conn.Send(numbered(60))
	conn.Expect(fakebroker.PINGREQ)
	_, err := conn.Next()
	require.ErrorIs(t, err, io.EOF)
	s.cancel() // callbacks of pending messages must not delay the end of Run
	require.ErrorIs(t, wait.For(t, s.ended, "the end of Run"), context.Canceled)
}

// The callback takes longer than the keepalive. The broker closes the connection and
// sends the message again.
func TestSlowCallback_LongerThanTheKeepaliveCausesOneRedelivery(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	s, conn := meetSlow(t, p, shortest+time.Second)
	conn.Send(fakebroker.Publish(2, "a", 7, "long"))
	wait.For(t, s.begun, "OnMessage")
	conn.Close()
	require.Equal(t, "long", wait.For(t, s.done, "OnMessage"))
	conn = p.AcceptConnect()
	conn.Send(append(fakebroker.Publish(8|2, "a", 7, "long"), fakebroker.Publish(2, "a", 8, "next")...))
	require.Equal(t, "long", wait.For(t, s.begun, "OnMessage"))
	require.Equal(t, uint16(7), conn.Expect(fakebroker.PUBACK).MID())
	wait.None(t, s.done, "return of the callback")
	require.Equal(t, "long", wait.For(t, s.done, "OnMessage"))
	require.Equal(t, "next", wait.For(t, s.begun, "OnMessage"))
}

// backlog connects a client whose OnMessage waits for goOn at each message. The first
// message takes long, so that later messages are pending. order receives the name of
// each callback.
func backlog(t *testing.T, p *fakebroker.Broker) (c *mosquitto.Client, order chan string, goOn chan struct{}) {
	t.Helper()
	c, _ = newClient(t, "slow", true)
	order, goOn = make(chan string, 100), make(chan struct{})
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { order <- "connected" })
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) { order <- "disconnected" })
	c.OnUnsubscribe(func(*mosquitto.Client, int, []mosquitto.ReasonCode, mosquitto.Properties) { order <- "unsubscribed" })
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		order <- string(m.Payload)
		select {
		case <-goOn:
		case <-t.Context().Done(): // the test has ended
		}
		time.Sleep(60 * time.Millisecond) // much longer than a pass of the loop
	})
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, false))
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	return c, order, goOn
}

// runBacklog runs the client of backlog, and sends messages to it. It returns when the
// callback of the first message, "0", waits.
func runBacklog(t *testing.T, p *fakebroker.Broker, c *mosquitto.Client, order chan string, messages []byte) (*fakebroker.Conn, *running) {
	t.Helper()
	r := run(t, c)
	conn := p.AcceptConnect()
	require.Equal(t, "connected", wait.For(t, order, "connected"))
	conn.Send(messages)
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	return conn, r
}

// expectOrder asserts that these callbacks run next. Messages have a digit as payload.
func expectOrder(t *testing.T, order chan string, goOn chan struct{}, callbacks ...string) {
	t.Helper()
	for _, want := range callbacks {
		require.Equal(t, want, wait.For(t, order, want))
		if want < "a" {
			goOn <- struct{}{}
		}
	}
}

// Pending QoS 0 messages are delivered on the next connection, before its messages.
// OnDisconnect does not wait for them.
func TestBacklog_LossDeliversQoS0OnTheNextConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, _ := runBacklog(t, p, c, order, mixed(0, 0, 0, 0, 0, 0))
	conn.Reset()
	_, _ = c.Publish("a", nil, 0, false) // this write detects the loss
	goOn <- struct{}{}
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
	conn = p.AcceptConnect()
	conn.Send(fakebroker.Publish(0, "a", 0, "6"))
	expectOrder(t, order, goOn, "1", "connected", "2", "3", "4", "5", "6")
}

// RunOnce keeps the pending messages for the next RunOnce.
func TestBacklog_NextRunOnceDeliversQoS0(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	ended := make(chan error, 1)
	once := func() { ended <- c.RunOnce(context.Background()) }
	go once()
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(mixed(0, 0, 0, 0))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	conn.Reset()
	_, _ = c.Publish("a", nil, 0, false)
	goOn <- struct{}{}
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
	require.Error(t, wait.For(t, ended, "the end of RunOnce"))
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	go once()
	conn = p.AcceptConnect()
	expectOrder(t, order, goOn, "1", "connected", "2", "3")
	require.NoError(t, c.Disconnect())
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, ended, "the end of RunOnce"))
}

// A pending QoS 1 message is not acknowledged and not delivered after the loss, because
// the broker sends it again. Pending events are reported before OnDisconnect.
func TestBacklog_LossDropsUnacknowledgedMessages(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, _ := runBacklog(t, p, c, order, append(append(mixed(0, 0), fakebroker.Publish(2, "a", 7, "2")...), fakebroker.Ack(fakebroker.UNSUBACK, 9)...))
	silent(t, conn)
	conn.Reset()
	goOn <- struct{}{}
	expectOrder(t, order, goOn, "1", "unsubscribed", "disconnected")
	conn = p.AcceptConnect()
	conn.Send(fakebroker.Publish(8|2, "a", 7, "2"))
	expectOrder(t, order, goOn, "connected", "2")
	require.Equal(t, uint16(7), conn.Expect(fakebroker.PUBACK).MID())
}

// When ctx ends, pending QoS 0 messages are dropped.
func TestBacklog_EndOfContextDropsQoS0(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, r := runBacklog(t, p, c, order, mixed(0, 0, 0, 0))
	r.cancel()
	goOn <- struct{}{}
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
	wait.None(t, order, "callback")
}

// The last QoS 1 message is delivered, because its acknowledgement is queued before the
// DISCONNECT.
func TestBacklog_EndOfContextDeliversQoS1(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, r := runBacklog(t, p, c, order, append(mixed(0, 0, 0), fakebroker.Publish(2, "a", 7, "3")...))
	r.cancel()
	goOn <- struct{}{}
	expectOrder(t, order, goOn, "3")
	require.Equal(t, uint16(7), conn.Expect(fakebroker.PUBACK).MID())
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
}

// Close starts no callback, and acknowledges only messages whose callback has run.
func TestBacklog_CloseAcknowledgesNothing(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, r := runBacklog(t, p, c, order, append(mixed(0, 0, 0), fakebroker.Publish(2, "a", 7, "3")...))
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	wait.Until(t, "Close", func() bool { return errors.Is(c.Post(func() {}), mosquitto.ErrClosed) })
	goOn <- struct{}{}
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
	require.NoError(t, wait.For(t, closed, "the end of Close"))
	_, err := conn.Next()
	require.Error(t, err)
	wait.None(t, order, "callback")
}

// Disconnect delivers pending messages before the connection ends.
func TestBacklog_DisconnectDeliversIt(t *testing.T) {
	p := fakebroker.Listen(t)
	c, order, goOn := backlog(t, p)
	conn, r := runBacklog(t, p, c, order, mixed(0, 0, 0))
	require.NoError(t, c.Disconnect())
	goOn <- struct{}{}
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	expectOrder(t, order, goOn, "1", "2", "disconnected")
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
}
