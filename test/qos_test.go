package test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// record makes the client write a line for each callback.
func record(c *mosquitto.Client) <-chan string {
	lines := make(chan string, 10000)
	line := func(format string, args ...any) { lines <- fmt.Sprintf(format, args...) }
	c.OnConnect(func(_ *mosquitto.Client, a mosquitto.Connack) { line("OnConnect %d", a.Code) })
	c.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) { line("OnDisconnect %d", d.Code) })
	c.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		line("OnPublish %d", mid)
	})
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { line("OnMessage %s %s", m.Topic, m.Payload) })
	c.OnSubscribe(func(_ *mosquitto.Client, mid int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		line("OnSubscribe %d %d", mid, granted)
	})
	c.OnUnsubscribe(func(_ *mosquitto.Client, mid int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		line("OnUnsubscribe %d", mid)
	})
	return lines
}

// lines asserts that these lines are recorded next.
func lines(t testing.TB, recorded <-chan string, want ...string) {
	t.Helper()
	for _, line := range want {
		require.Equal(t, line, wait.For(t, recorded, line))
	}
}

// One client receives its own message. The order of OnMessage and OnPublish depends on
// the QoS.
func TestQoS_OneClientGetsCallbacksInOrder(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		for _, qos := range []mosquitto.QoS{0, 1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", v.name, qos), func(t *testing.T) {
				c, _ := newVersion(t, "id", true, v.version)
				recorded := record(c)
				require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
				ended := loop(t, c)
				lines(t, recorded, "OnConnect 0")
				mid, err := c.Subscribe("a/b", qos)
				require.NoError(t, err)
				lines(t, recorded, fmt.Sprintf("OnSubscribe %d [%d]", mid, qos))
				mid, err = c.Publish("a/b", []byte("hello"), qos, false)
				require.NoError(t, err)
				published := fmt.Sprintf("OnPublish %d", mid)
				if qos == 1 {
					lines(t, recorded, "OnMessage a/b hello", published)
				} else {
					lines(t, recorded, published, "OnMessage a/b hello")
				}
				mid, err = c.Unsubscribe("a/b")
				require.NoError(t, err)
				lines(t, recorded, fmt.Sprintf("OnUnsubscribe %d", mid))
				require.NoError(t, c.Disconnect())
				lines(t, recorded, "OnDisconnect 0")
				require.NoError(t, wait.For(t, ended, "the end of the loop"))
				wait.None(t, recorded, "callback after the last")
			})
		}
	}
}

// Each of two clients gets its callbacks in order, once per message.
func TestQoS_TwoClientsGetCallbacksInOrder(t *testing.T) {
	const messages = 100
	b := plain(t)
	for _, v := range protocols {
		for _, qos := range []mosquitto.QoS{0, 1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", v.name, qos), func(t *testing.T) {
				sender, se := newVersion(t, "sender", true, v.version)
				receiver, re := newVersion(t, "receiver", true, v.version)
				// The broker 2.0.11 exceeds the receive maximum of a client at QoS 2.
				require.NoError(t, receiver.IntOption(mosquitto.OptReceiveMaximum, 0))
				received := connect(t, receiver, re, b.Port)
				subscribe(t, receiver, re, "a/b", qos)
				sent := connect(t, sender, se, b.Port)
				var mids []int
				for i := range messages {
					mid, err := sender.Publish("a/b", fmt.Append(nil, i), qos, false)
					require.NoError(t, err)
					mids = append(mids, mid)
				}
				for i, mid := range mids {
					require.Equal(t, mid, wait.For(t, se.publish, "OnPublish").mid)
					m := wait.For(t, re.message, "OnMessage")
					require.Equal(t, fmt.Sprint(i), string(m.Payload))
					require.Equal(t, qos, m.QoS)
					require.Equal(t, qos == 0, m.MID == 0)
				}
				leave(t, sender, se, sent)
				leave(t, receiver, re, received)
				wait.None(t, se.publish, "OnPublish")
				wait.None(t, re.message, "OnMessage")
				wait.None(t, se.message, "OnMessage at the sender")
				wait.None(t, re.publish, "OnPublish at the receiver")
			})
		}
	}
}

// A message arrives with the lower QoS of publisher and subscription.
func TestQoS_IsTheLowerOfBoth(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	for _, asked := range []mosquitto.QoS{0, 1, 2} {
		subscribe(t, c, e, "a/b", asked)
		for _, sent := range []mosquitto.QoS{0, 1, 2} {
			_, err := c.Publish("a/b", nil, sent, false)
			require.NoError(t, err)
			require.Equal(t, min(asked, sent), wait.For(t, e.message, "the message").QoS)
		}
	}
	leave(t, c, e, ended)
}

// ackBody returns the body of an acknowledgement without properties.
func ackBody(mid uint16) []byte { return binary.BigEndian.AppendUint16(nil, mid) }

func TestQoS_OnPublishRunsAfterTheHandshake(t *testing.T) {
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			conn, ended := meet(t, c, e, p)

			mid1, err := c.Publish("a", nil, 1, false)
			require.NoError(t, err)
			require.Equal(t, byte(fakebroker.PUBLISH|2), conn.Expect(fakebroker.PUBLISH).First)
			wait.None(t, e.publish, "OnPublish before PUBACK")
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(mid1)))
			require.Equal(t, published{mid: mid1}, wait.For(t, e.publish, "OnPublish after PUBACK"))

			mid2, err := c.Publish("a", nil, 2, false)
			require.NoError(t, err)
			require.Equal(t, byte(fakebroker.PUBLISH|4), conn.Expect(fakebroker.PUBLISH).First)
			conn.Send(fakebroker.Ack(fakebroker.PUBREC, uint16(mid2)))
			rel := conn.Expect(fakebroker.PUBREL)
			require.Equal(t, fakebroker.Packet{First: fakebroker.PUBREL | 2, Body: ackBody(uint16(mid2))}, rel)
			wait.None(t, e.publish, "OnPublish before PUBCOMP")
			conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, uint16(mid2)))
			require.Equal(t, published{mid: mid2}, wait.For(t, e.publish, "OnPublish after PUBCOMP"))

			part(t, c, conn, ended)
			wait.None(t, e.publish, "more OnPublish than messages")
		})
	}
}

func TestQoS_ReceivedMessagesAreAcknowledged(t *testing.T) {
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", true, v.version)
			conn, ended := meet(t, c, e, p)
			send := func(flags byte, mid uint16, payload string) {
				if v.version == mosquitto.ProtocolV5 {
					conn.Send(fakebroker.PublishV5(flags, "a", mid, nil, payload))
				} else {
					conn.Send(fakebroker.Publish(flags, "a", mid, payload))
				}
			}
			send(0, 0, "zero")
			require.Equal(t, "zero", string(wait.For(t, e.message, "QoS 0").Payload))

			send(2, 7, "one")
			require.Equal(t, fakebroker.Packet{First: fakebroker.PUBACK, Body: ackBody(7)}, conn.Expect(fakebroker.PUBACK))
			require.Equal(t, "one", string(wait.For(t, e.message, "QoS 1").Payload))

			send(4, 8, "two")
			require.Equal(t, fakebroker.Packet{First: fakebroker.PUBREC, Body: ackBody(8)}, conn.Expect(fakebroker.PUBREC))
			wait.None(t, e.message, "QoS 2 before PUBREL")
			conn.Send(fakebroker.Ack(fakebroker.PUBREL, 8))
			require.Equal(t, fakebroker.Packet{First: fakebroker.PUBCOMP, Body: ackBody(8)}, conn.Expect(fakebroker.PUBCOMP))
			require.Equal(t, "two", string(wait.For(t, e.message, "QoS 2").Payload))

			part(t, c, conn, ended)
			wait.None(t, e.message, "second delivery")
		})
	}
}

// The acknowledgement is sent after the callback returns, so a crash inside it does not
// lose the message.
func TestQoS_AcknowledgementFollowsTheCallback(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	inside, finish := make(chan struct{}), make(chan struct{})
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {
		inside <- struct{}{}
		<-finish
	})
	conn.Send(fakebroker.Publish(2, "a", 7, ""))
	wait.For(t, inside, "the callback")
	silent(t, conn)
	close(finish)
	require.Equal(t, uint16(7), conn.Expect(fakebroker.PUBACK).MID())
	part(t, c, conn, ended)
}

// At most this number of messages is in flight.
func TestQoS_MessagesInFlightAreLimited(t *testing.T) {
	const window, messages = 3, 10
	for _, v := range protocols {
		for _, qos := range []mosquitto.QoS{1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", v.name, qos), func(t *testing.T) {
				p := fakebroker.Listen(t)
				c, e := newVersion(t, "id", true, v.version)
				require.NoError(t, c.MaxInflightMessagesSet(window))
				conn, ended := meet(t, c, e, p)
				for range messages {
					_, err := c.Publish("a", nil, qos, false)
					require.NoError(t, err)
				}
				var waiting []uint16
				for done := range messages {
					for len(waiting) < min(window, messages-done) {
						waiting = append(waiting, binary.BigEndian.Uint16(conn.Expect(fakebroker.PUBLISH).Body[3:]))
					}
					require.Empty(t, extra(conn, v.version), "message beyond the limit")
					acknowledge(conn, qos, waiting[0])
					require.Equal(t, int(waiting[0]), wait.For(t, e.publish, "OnPublish").mid)
					waiting = waiting[1:]
				}
				part(t, c, conn, ended)
			})
		}
	}
}

// acknowledge completes the handshake of a message from the client.
func acknowledge(conn *fakebroker.Conn, qos mosquitto.QoS, mid uint16) {
	if qos == 1 {
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid))
		return
	}
	conn.Send(fakebroker.Ack(fakebroker.PUBREC, mid))
	conn.Expect(fakebroker.PUBREL)
	conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, mid))
}

// extra sends a message and returns the packets that the client sends before its
// acknowledgement. The client sends in order, so these packets were queued before.
func extra(conn *fakebroker.Conn, version int) (packets []fakebroker.Packet) {
	if version == mosquitto.ProtocolV5 {
		conn.Send(fakebroker.PublishV5(2, "probe", 999, nil, ""))
	} else {
		conn.Send(fakebroker.Publish(2, "probe", 999, ""))
	}
	for {
		p, err := conn.Next()
		if err != nil || p.Type() == fakebroker.PUBACK {
			return packets
		}
		packets = append(packets, p)
	}
}

// Without a limit all messages are in flight at once. The default limit is 20.
func TestQoS_DefaultLimitOfMessagesInFlightIs20(t *testing.T) {
	for _, limit := range []int{-1, 0, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "id", true)
			want := 100
			if limit < 0 {
				want = 20
			} else {
				require.NoError(t, c.MaxInflightMessagesSet(limit))
			}
			conn, ended := meet(t, c, e, p)
			for range 100 {
				_, err := c.Publish("a", nil, 1, false)
				require.NoError(t, err)
			}
			for range want {
				conn.Expect(fakebroker.PUBLISH)
			}
			require.Empty(t, extra(conn, mosquitto.ProtocolV311))
			part(t, c, conn, ended)
		})
	}
}

// After a reconnect, unacknowledged messages are sent again with the same packet id and
// DUP. A QoS 2 message continues at its step of the handshake.
func TestQoS_UnacknowledgedMessagesAreSentAgain(t *testing.T) {
	t.Parallel()
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, e := newVersion(t, "id", false, v.version)
			conn, ended := meet(t, c, e, p)
			var mids []int
			for _, qos := range []mosquitto.QoS{1, 2, 2} {
				mid, err := c.Publish("a", []byte("hello"), qos, false)
				require.NoError(t, err)
				mids = append(mids, mid)
				require.Zero(t, conn.Expect(fakebroker.PUBLISH).First&8, "DUP in the first PUBLISH")
			}
			conn.Send(fakebroker.Ack(fakebroker.PUBREC, uint16(mids[2])))
			conn.Expect(fakebroker.PUBREL)
			conn.Close()
			require.Equal(t, int(mosquitto.ErrConnLost), wait.For(t, e.disconnect, "OnDisconnect").Code)

			conn = p.AcceptConnect()
			var again []string
			for range 3 {
				packet, err := conn.Next()
				require.NoError(t, err)
				mid := packet.Body[:2]
				if packet.Type() == fakebroker.PUBLISH {
					mid = packet.Body[3:5]
				}
				again = append(again, fmt.Sprintf("%#x %d", packet.First, binary.BigEndian.Uint16(mid)))
			}
			require.Equal(t, []string{
				fmt.Sprintf("%#x %d", fakebroker.PUBLISH|8|2, mids[0]),
				fmt.Sprintf("%#x %d", fakebroker.PUBLISH|8|4, mids[1]),
				fmt.Sprintf("%#x %d", fakebroker.PUBREL|2, mids[2]),
			}, again)
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(mids[0])))
			acknowledge(conn, 2, uint16(mids[1]))
			conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, uint16(mids[2])))
			for _, mid := range mids {
				require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
			}
			part(t, c, conn, ended)
			wait.None(t, e.publish, "second OnPublish")
		})
	}
}

// Without a connection, QoS 1 and 2 messages are queued although Publish returns
// ErrNoConn. QoS 0 messages are lost.
func TestQoS_OfflineMessagesAreQueued(t *testing.T) {
	b := plain(t)
	receiver, re := newClient(t, "receiver", true)
	received := connect(t, receiver, re, b.Port)
	subscribe(t, receiver, re, "#", 2)

	c, e := newClient(t, "sender", true)
	mid, err := c.Publish("zero", nil, 0, false)
	require.ErrorIs(t, err, mosquitto.ErrNoConn)
	require.Zero(t, mid)
	one, err := c.Publish("one", nil, 1, false)
	require.ErrorIs(t, err, mosquitto.ErrNoConn)
	require.NotZero(t, one)
	two, err := c.Publish("two", nil, 2, false)
	require.ErrorIs(t, err, mosquitto.ErrNoConn)
	require.NotZero(t, two)
	wait.None(t, e.publish, "OnPublish while offline")

	sent := connect(t, c, e, b.Port)
	require.ElementsMatch(t, []int{one, two}, []int{wait.For(t, e.publish, "OnPublish").mid, wait.For(t, e.publish, "OnPublish").mid})
	_, err = c.Publish("mark", nil, 2, false)
	require.NoError(t, err)
	wait.For(t, e.publish, "OnPublish of the mark")
	topics := map[string]int{}
	for range 3 {
		topics[wait.For(t, re.message, "the message").Topic]++
	}
	require.Equal(t, map[string]int{"one": 1, "two": 1, "mark": 1}, topics)
	leave(t, c, e, sent)
	leave(t, receiver, re, received)
	wait.None(t, e.publish, "second OnPublish")
	wait.None(t, re.message, "QoS 0 message of a client that was offline")
}

// The library sets DUP on messages that were queued offline. It drops the retain flag
// of messages that were queued before the first connect.
func TestQoS_QueuedOfflineIsSentWithDUP(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	queue := func() int {
		mid, err := c.Publish("a", []byte("hello"), 1, true)
		require.ErrorIs(t, err, mosquitto.ErrNoConn)
		return mid
	}
	expect := func(conn *fakebroker.Conn, flags byte, mid int) {
		got := conn.Expect(fakebroker.PUBLISH)
		require.Equal(t, fakebroker.Publish(flags, "a", uint16(mid), "hello"), fakebroker.Bytes(got.First, got.Body...))
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(mid)))
		require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
	}
	mid := queue()
	conn, ended := meet(t, c, e, p)
	expect(conn, 8|2, mid)
	conn.Close()
	wait.For(t, e.disconnect, "OnDisconnect")
	mid = queue()
	conn = p.AcceptConnect()
	expect(conn, 8|2|1, mid)
	part(t, c, conn, ended)
}

func TestQoS_ManyMessagesArriveInOrder(t *testing.T) {
	const messages = 3000
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a/#", 2)
	mids := map[mosquitto.QoS][]int{}
	for i := range messages {
		qos := mosquitto.QoS(i % 3)
		mid, err := c.Publish(fmt.Sprintf("a/%d", qos), fmt.Append(nil, i), qos, false)
		require.NoError(t, err)
		mids[qos] = append(mids[qos], mid)
	}
	var next [3]int
	for range messages {
		m := wait.For(t, e.message, "the message")
		require.Equal(t, fmt.Sprint(3*next[m.QoS]+int(m.QoS)), string(m.Payload))
		next[m.QoS]++
	}
	var acknowledged []int
	for range messages {
		acknowledged = append(acknowledged, wait.For(t, e.publish, "OnPublish").mid)
	}
	require.ElementsMatch(t, append(append(mids[0], mids[1]...), mids[2]...), acknowledged)
	leave(t, c, e, ended)
	wait.None(t, e.publish, "second OnPublish")
}

// Message ids rise, start again at 1 after 65,535 and are never 0. A refused QoS 0
// message uses an id, too.
func TestQoS_MessageIDsStartAgainAfter65535(t *testing.T) {
	c, _ := newClient(t, "id", true)
	for range 65534 {
		_, err := c.Publish("a", nil, 0, false)
		require.ErrorIs(t, err, mosquitto.ErrNoConn)
	}
	for _, want := range []int{65535, 1, 2} {
		mid, err := c.Publish("a", nil, 1, false)
		require.ErrorIs(t, err, mosquitto.ErrNoConn)
		require.Equal(t, want, mid)
	}
}
