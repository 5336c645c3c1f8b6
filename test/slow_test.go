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
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// slowly sets an OnMessage that takes some time for each message. The channels
// report the payloads when the callback begins and when it returns.
func slowly(c *mosquitto.Client, takes time.Duration) (begun, done chan string) {
	begun, done = make(chan string, 10000), make(chan string, 10000)
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		begun <- string(m.Payload)
		time.Sleep(takes)
		done <- string(m.Payload)
	})
	return begun, done
}

// mixed returns messages with the given QoS, in one piece, with their numbers as payload.
func mixed(qos ...byte) []byte {
	var all []byte
	for i, q := range qos {
		all = append(all, peer.Publish(q<<1, "a", uint16(i+1), fmt.Sprint(i))...)
	}
	return all
}

// A slow callback of one message does not delay the acknowledgement of the message before.
func TestSlowCallback_AcknowledgementLeavesBeforeTheNextCallback(t *testing.T) {
	for name, test := range map[string]struct {
		qos  []byte
		acks int
	}{
		"QoS 1":       {[]byte{1, 1, 1, 1, 1, 1, 1, 1}, 8},
		"QoS 0 and 1": {[]byte{1, 0, 1, 0, 0, 1, 0, 1}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := peer.Listen(t)
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
				if behind != nil { // while this callback waits
					require.Equal(t, uint16(behind.MID), conn.Expect(peer.PUBACK).MID())
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
	p := peer.Listen(t)
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
		all = append(all, peer.Publish(qos<<1, "a", uint16(i+1), fmt.Sprint(i))...)
	}
	conn.Send(all)
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, received, "OnMessage"))
	}
}

func TestSlowCallback_NoMessageComesTwice(t *testing.T) {
	t.Parallel()
	const messages, takes = 6, 3 * time.Second
	b := plain(t)
	c, e := newClient(t, "slow", false)
	begun, done := slowly(c, takes)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, shortest))
	run(t, c)
	wait.For(t, e.connect, "OnConnect")
	subscribe(t, c, e, "a", 1)
	sender, _ := newClient(t, "", true)
	senderRun(t, sender, b.Port)
	for i := range messages {
		_, err := sender.Publish("a", fmt.Append(nil, i), 1, false)
		require.NoError(t, err)
	}
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, done, "OnMessage"))
	}
	turned(t, c)
	require.Len(t, begun, messages)
	wait.None(t, e.disconnect, "OnDisconnect")
}

func senderRun(t *testing.T, c *mosquitto.Client, port int) {
	t.Helper()
	connected := make(chan struct{}, 1)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { connected <- struct{}{} })
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	run(t, c)
	wait.For(t, connected, "OnConnect of the sender")
}

// The PINGRESP lies behind the messages.
func TestSlowCallback_BacklogOfQoS0KeepsTheConnection(t *testing.T) {
	t.Parallel()
	const messages, takes = 26, 500 * time.Millisecond // 13 s
	b := plain(t)
	c, e := newClient(t, "slow", true)
	_, done := slowly(c, takes)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, shortest))
	run(t, c)
	wait.For(t, e.connect, "OnConnect")
	subscribe(t, c, e, "a", 0)
	sender, _ := newClient(t, "", true)
	senderRun(t, sender, b.Port)
	for i := range messages {
		_, err := sender.Publish("a", fmt.Append(nil, i), 0, false)
		require.NoError(t, err)
	}
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, done, "OnMessage"))
	}
	wait.None(t, e.disconnect, "OnDisconnect")
}

// Messages too large to be gathered, behind which the PINGRESP waits in the kernel.
func TestSlowCallback_ReadsAheadForThePingresp(t *testing.T) {
	t.Parallel()
	const messages, takes = 100, 150 * time.Millisecond // 15 s, 200 kB
	p := peer.Listen(t)
	c, e := newClient(t, "slow", true)
	_, done := slowly(c, takes)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(bytes.Repeat(peer.Publish(0, "a", 0, string(make([]byte, 2000))), messages))
	pings := make(chan struct{}, 10)
	go answerPings(conn, func() { pings <- struct{}{} })
	for range messages {
		wait.For(t, done, "OnMessage")
	}
	wait.None(t, e.disconnect, "OnDisconnect")
	require.GreaterOrEqual(t, len(pings), 2)
}

// answerPings answers each PINGREQ, until the connection ends.
func answerPings(conn *peer.Conn, note func()) {
	for {
		packet, err := conn.Next()
		if err != nil {
			return
		}
		if packet.Type() == peer.PINGREQ {
			note()
			_ = conn.SetWriteDeadline(time.Now().Add(wait.Patience))
			_, _ = conn.Write(peer.Bytes(peer.PINGRESP))
		}
	}
}

// More messages than one pass of Run reads lie before the PINGRESP, and some are pending
// when the PINGREQ leaves.
func TestSlowCallback_ReadsAheadBesidePendingMessages(t *testing.T) {
	t.Parallel()
	const messages, takes = 20, 400 * time.Millisecond // 16 s in all
	p := peer.Listen(t)
	c, e := newClient(t, "slow", true)
	begun, done := slowly(c, takes)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(numbered(messages))
	wait.For(t, begun, "OnMessage")
	conn.Send(numbered(messages))
	go answerPings(conn, func() {})
	for range 2 * messages {
		wait.For(t, done, "OnMessage")
	}
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestSlowCallback_SilentBrokerIsNoticed(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newClient(t, "slow", true)
	slowly(c, time.Second)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	r := run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(numbered(60))
	conn.Expect(peer.PINGREQ)
	_, err := conn.Next()
	require.ErrorIs(t, err, io.EOF)
	r.cancel() // and the callbacks of the pending messages do not hold Run
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
}

// A callback that outlasts the keepalive, each time: the broker ends the connection, and
// sends the message once more.
func TestSlowCallback_LongerThanTheKeepaliveCostsOneRedelivery(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	c, e := newClient(t, "slow", false)
	begun, done := make(chan string, 10), make(chan string, 10)
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		begun <- string(m.Payload)
		time.Sleep(shortest + time.Second)
		done <- string(m.Payload)
	})
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(peer.Publish(2, "a", 7, "long"))
	wait.For(t, begun, "OnMessage")
	conn.Close()
	require.Equal(t, "long", wait.For(t, done, "OnMessage"))

	conn = p.AcceptConnect()
	conn.Send(append(peer.Publish(8|2, "a", 7, "long"), peer.Publish(2, "a", 8, "next")...))
	require.Equal(t, "long", wait.For(t, begun, "OnMessage"))
	require.Equal(t, uint16(7), conn.Expect(peer.PUBACK).MID())
	wait.None(t, done, "return of the callback")
	require.Equal(t, "long", wait.For(t, done, "OnMessage"))
	require.Equal(t, "next", wait.For(t, begun, "OnMessage"))
}

// backlog is a client in Run whose OnMessage waits for goOn for each message, behind
// a first message that took long. order reports all callbacks.
func backlog(t *testing.T, p *peer.Peer) (c *mosquitto.Client, order chan string, goOn chan struct{}) {
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
		time.Sleep(60 * time.Millisecond) // much longer than the time of a pass
	})
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, false))
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	return c, order, goOn
}

// expectOrder asserts which callbacks run next. Messages are digits.
func expectOrder(t *testing.T, order chan string, goOn chan struct{}, callbacks ...string) {
	t.Helper()
	for _, want := range callbacks {
		require.Equal(t, want, wait.For(t, order, want))
		if want < "a" {
			goOn <- struct{}{}
		}
	}
}

// Messages of QoS 0 that are pending when the connection is lost are delivered on the
// next connection, before its messages. OnDisconnect does not wait for them.
func TestLossBesideABacklog_QoS0IsDeliveredOnTheNextConnection(t *testing.T) {
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(mixed(0, 0, 0, 0, 0, 0))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	conn.Reset()
	_, _ = c.Publish("a", nil, 0, false) // the write finds the loss
	goOn <- struct{}{}
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
	conn = p.AcceptConnect()
	conn.Send(peer.Publish(0, "a", 0, "6"))
	expectOrder(t, order, goOn, "1", "connected", "2", "3", "4", "5", "6")
}

// RunOnce keeps them for the next RunOnce.
func TestLossBesideABacklog_NextRunOnceDeliversQoS0(t *testing.T) {
	p := peer.Listen(t)
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
	conn.Expect(peer.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, ended, "the end of RunOnce"))
}

// A message of QoS 1 that is pending is not acknowledged, and not delivered after the
// loss: the broker sends it again. Events that are pending come before OnDisconnect.
func TestLossBesideABacklog_UnacknowledgedMessageIsDropped(t *testing.T) {
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(append(append(mixed(0, 0), peer.Publish(2, "a", 7, "2")...), peer.Ack(peer.UNSUBACK, 9)...))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	silent(t, conn)
	conn.Reset()
	goOn <- struct{}{}
	expectOrder(t, order, goOn, "1", "unsubscribed", "disconnected")
	conn = p.AcceptConnect()
	conn.Send(peer.Publish(8|2, "a", 7, "2"))
	expectOrder(t, order, goOn, "connected", "2")
	require.Equal(t, uint16(7), conn.Expect(peer.PUBACK).MID())
}

// The end of ctx drops pending messages of QoS 0.
func TestBacklog_EndOfContextDropsQoS0(t *testing.T) {
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	r := run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(mixed(0, 0, 0, 0))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	r.cancel()
	goOn <- struct{}{}
	conn.Expect(peer.DISCONNECT)
	conn.Close()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
	wait.None(t, order, "callback")
}

// A message of QoS 1 is delivered, because its acknowledgement is queued before the
// DISCONNECT.
func TestBacklog_EndOfContextDeliversQoS1(t *testing.T) {
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	r := run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(append(mixed(0, 0, 0), peer.Publish(2, "a", 7, "3")...))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	r.cancel()
	goOn <- struct{}{}
	expectOrder(t, order, goOn, "3")
	require.Equal(t, uint16(7), conn.Expect(peer.PUBACK).MID())
	conn.Expect(peer.DISCONNECT)
	conn.Close()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	require.Equal(t, "disconnected", wait.For(t, order, "OnDisconnect"))
}

// Close starts no callback, and acknowledges no message that had none.
func TestBacklog_CloseAcknowledgesNothing(t *testing.T) {
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	r := run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(append(mixed(0, 0, 0), peer.Publish(2, "a", 7, "3")...))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
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
	p := peer.Listen(t)
	c, order, goOn := backlog(t, p)
	r := run(t, c)
	conn := p.AcceptConnect()
	expectOrder(t, order, goOn, "connected")
	conn.Send(mixed(0, 0, 0))
	require.Equal(t, "0", wait.For(t, order, "the first message"))
	require.NoError(t, c.Disconnect())
	goOn <- struct{}{}
	conn.Expect(peer.DISCONNECT)
	conn.Close()
	expectOrder(t, order, goOn, "1", "2", "disconnected")
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
}
