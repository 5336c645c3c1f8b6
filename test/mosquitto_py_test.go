package test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// These tests follow the guide to mosquitto.py, in its order. They show how to write
// each of its statements in Go.

func TestMosquittoPy_BasicOperation(t *testing.T) {
	t.Run("the name identifies the client with the broker", pyName)
	t.Run("clean session controls whether the client is persistent", pyCleanSession)
	t.Run("an object is passed to the callbacks", pyObject)
	t.Run("connect takes host, port and keepalive", pyConnect)
	t.Run("connect fails without a broker", pyConnectRefused)
	t.Run("loop must be called to process network data", pyLoop)
	t.Run("a loop timeout of 0 returns immediately", pyLoopZero)
	t.Run("a loop timeout of -1 is the default", pyLoopDefault)
	t.Run("a loop failure means that the connection has been closed", pyLoopFailure)
	t.Run("disconnect, and on_disconnect to be sure", pyDisconnect)
}

func pyName(t *testing.T) {
	p := fakebroker.Listen(t)
	c, _ := newClient(t, "test-client", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Minute))
	loop(t, c)
	conn := p.Accept()
	require.Equal(t, "test-client", readConnect(t, conn).id)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
}

func pyCleanSession(t *testing.T) {
	b := plain(t)
	for _, clean := range []bool{true, false} {
		c, e := newClient(t, "test-client", clean)
		ended := connect(t, c, e, b.Port)
		subscribe(t, c, e, "my/topic", 1)
		leave(t, c, e, ended)
		require.NoError(t, c.Close())

		c, e = newClient(t, "test-client", false)
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		ended = loop(t, c)
		require.Equal(t, !clean, wait.For(t, e.connect, "OnConnect").SessionPresent)
		settle(t, c, e)
		leave(t, c, e, ended)
	}
}

func pyObject(t *testing.T) {
	b := plain(t)
	type object struct{ name string }
	obj := &object{"obj"}
	c, err := mosquitto.New("test-client", true, obj)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.Same(t, obj, c.UserData())
	seen := make(chan any, 10)
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { seen <- c.UserData() })
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	loop(t, c)
	require.Same(t, obj, wait.For(t, seen, "OnConnect"))
}

func pyConnect(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	require.NoError(t, c.Connect("localhost", p.Port, 60*time.Second))
	ended := loop(t, c)
	conn := p.Accept()
	require.Equal(t, uint16(60), readConnect(t, conn).keepalive)
	wait.None(t, e.connect, "OnConnect before the CONNACK")
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	part(t, c, conn, ended)
}

func pyConnectRefused(t *testing.T) {
	c, _ := newClient(t, "test-client", true)
	err := c.Connect("127.0.0.1", broker.FreePort(t), keepalive)
	require.ErrorIs(t, err, mosquitto.ErrErrno)
	if !has21() { // libmosquitto 2.1 overwrites errno
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

// pyLooped returns a client that has sent its CONNECT to a fake broker. No goroutine
// runs its loop.
func pyLooped(t *testing.T) (*mosquitto.Client, *events, *fakebroker.Conn) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	conn := p.Accept()
	turn(t, c, func() bool { return !c.WantWrite() }) // sends the CONNECT
	conn.Expect(fakebroker.CONNECT)
	return c, e, conn
}

// turn calls Loop until the condition is true.
func turn(t testing.TB, c *mosquitto.Client, condition func() bool) {
	t.Helper()
	wait.Until(t, "the condition after Loop", func() bool {
		done := condition()
		if !done {
			require.NoError(t, c.Loop(10*time.Millisecond))
		}
		return done
	})
}

func pyLoop(t *testing.T) {
	c, e, conn := pyLooped(t)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	wait.None(t, e.connect, "OnConnect before Loop")
	turn(t, c, func() bool { return len(e.connect) == 1 })
}

// With the default timeout, 1,000 calls would take longer than a test may.
func pyLoopZero(t *testing.T) {
	c, _, _ := pyLooped(t)
	for range 1000 {
		require.NoError(t, c.Loop(0))
	}
}

func pyLoopDefault(t *testing.T) {
	c, e, conn := pyLooped(t)
	require.NoError(t, c.Loop(-1)) // there is no input
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	for range 10 { // a signal can end a wait early
		require.NoError(t, c.Loop(-1))
		if len(e.connect) > 0 {
			return
		}
	}
	require.Fail(t, "Loop did not process the CONNACK")
}

func pyLoopFailure(t *testing.T) {
	c, e, conn := pyLooped(t)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	turn(t, c, func() bool { return len(e.connect) == 1 })
	require.NotEqual(t, -1, c.Socket())
	conn.Close()
	var err error
	for err == nil {
		err = c.Loop(-1)
	}
	require.ErrorIs(t, err, mosquitto.ErrConnLost)
	require.Equal(t, -1, c.Socket())
	require.ErrorIs(t, c.Loop(-1), mosquitto.ErrNoConn)
}

func pyDisconnect(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	conn, ended := meet(t, c, e, p)
	part(t, c, conn, ended)
	d := wait.For(t, e.disconnect, "OnDisconnect")
	require.Zero(t, d.Code)
	require.NoError(t, d.Err)
	wait.None(t, e.disconnect, "second OnDisconnect")
}

func TestMosquittoPy_Publishing(t *testing.T) {
	t.Run("a payload of None is a message of no bytes", pyNoPayload)
	t.Run("qos and retain are arguments", pyPublishArguments)
	t.Run("success only means that the call did not fail", pyPublishQueued)
	t.Run("on_publish makes certain", pyOnPublish)
}

func pyNoPayload(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "my/topic", 0)
	_, err := c.Publish("my/topic", nil, 0, false)
	require.NoError(t, err)
	m := wait.For(t, e.message, "the message")
	require.Equal(t, "my/topic", m.Topic)
	require.Empty(t, m.Payload)
	leave(t, c, e, ended)
}

func pyPublishArguments(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	conn, ended := meet(t, c, e, p)
	for _, retain := range []bool{false, true} {
		for _, qos := range []mosquitto.QoS{0, 1, 2} {
			mid, err := c.Publish("my/topic", []byte("hello world"), qos, retain)
			require.NoError(t, err)
			flags := byte(qos) << 1
			if retain {
				flags |= 1
			}
			want := fakebroker.Publish(flags, "my/topic", uint16(mid), "hello world")
			got := conn.Expect(fakebroker.PUBLISH)
			require.Equal(t, want, fakebroker.Bytes(got.First, got.Body...))
		}
	}
	part(t, c, conn, ended)
}

func pyPublishQueued(t *testing.T) {
	c, e, conn := pyLooped(t)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	turn(t, c, func() bool { return len(e.connect) == 1 })
	_, err := c.Publish("my/topic", []byte("hello world"), 1, false)
	require.NoError(t, err)
	silent(t, conn)
	turn(t, c, func() bool { return !c.WantWrite() })
	mid := conn.Expect(fakebroker.PUBLISH).Body[10:12]
	wait.None(t, e.publish, "OnPublish without an acknowledgement")
	conn.Send(fakebroker.Bytes(fakebroker.PUBACK, mid...))
	turn(t, c, func() bool { return len(e.publish) == 1 })
}

func pyOnPublish(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	for _, qos := range []mosquitto.QoS{0, 1, 2} {
		mid, err := c.Publish("my/topic", []byte("hello world"), qos, false)
		require.NoError(t, err)
		p := wait.For(t, e.publish, "OnPublish")
		require.Equal(t, mid, p.mid)
		require.Equal(t, mosquitto.RCSuccess, p.code)
	}
	leave(t, c, e, ended)
	wait.None(t, e.publish, "more OnPublish than messages")
}

func TestMosquittoPy_Receiving(t *testing.T) {
	t.Run("wildcards receive from more than one topic", pyWildcards)
	t.Run("subscribe: success only means that the call did not fail", pySubscribeRefused)
	t.Run("on_subscribe makes certain", pyOnSubscribe)
	t.Run("unsubscribe ends the messages", pyUnsubscribe)
	t.Run("on_unsubscribe makes certain", pyOnUnsubscribe)
}

func pyWildcards(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "my/+/a", 0)
	subscribe(t, c, e, "your/#", 0)
	for _, topic := range []string{"my/1/a", "my/1/b", "my/2/a", "your/1", "your", "other"} {
		_, err := c.Publish(topic, nil, 0, false)
		require.NoError(t, err)
	}
	for _, topic := range []string{"my/1/a", "my/2/a", "your/1", "your"} {
		require.Equal(t, topic, wait.For(t, e.message, topic).Topic)
	}
	leave(t, c, e, ended)
	wait.None(t, e.message, "message on a topic that was not subscribed")
}

func pySubscribeRefused(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	conn, ended := meet(t, c, e, p)
	mid, err := c.Subscribe("my/topic", 0)
	require.NoError(t, err)
	request := conn.Expect(fakebroker.SUBSCRIBE)
	require.Equal(t, uint16(mid), request.MID())
	wait.None(t, e.subscribe, "OnSubscribe before the SUBACK")
	conn.Send(fakebroker.Bytes(fakebroker.SUBACK, request.Body[0], request.Body[1], 0x80))
	g := wait.For(t, e.subscribe, "OnSubscribe")
	require.Equal(t, mid, g.mid)
	require.Len(t, g.codes, 1)
	require.True(t, g.codes[0].Failed())
	part(t, c, conn, ended)
}

func pyOnSubscribe(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	for _, qos := range []mosquitto.QoS{0, 1, 2} {
		subscribe(t, c, e, "my/topic", qos)
	}
	leave(t, c, e, ended)
}

func pyUnsubscribe(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "my/topic", 1)
	subscribe(t, c, e, "my/mark", 1)
	_, err := c.Unsubscribe("my/topic")
	require.NoError(t, err)
	wait.For(t, e.unsubscribe, "OnUnsubscribe")
	for _, topic := range []string{"my/topic", "my/mark"} {
		_, err = c.Publish(topic, nil, 1, false)
		require.NoError(t, err)
	}
	require.Equal(t, "my/mark", wait.For(t, e.message, "the mark").Topic)
	leave(t, c, e, ended)
	wait.None(t, e.message, "message after unsubscribing")
}

func pyOnUnsubscribe(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	ended := connect(t, c, e, b.Port)
	mid, err := c.Unsubscribe("never/subscribed")
	require.NoError(t, err)
	require.Equal(t, mid, wait.For(t, e.unsubscribe, "OnUnsubscribe").mid)
	leave(t, c, e, ended)
}

func TestMosquittoPy_Callbacks(t *testing.T) {
	t.Run("every callback has the client and its object", pyCallbackArguments)
	t.Run("on_connect has the broker's code", pyConnectCodes)
	t.Run("methods can be callbacks", pyMethods)
	t.Run("on_disconnect: 0 after disconnect", pyDisconnect)
	t.Run("on_disconnect: not 0 when unexpected", pyDisconnectUnexpected)
	t.Run("on_publish has the message id", pyOnPublish)
	t.Run("on_message has the whole message", pyMessageFields)
	t.Run("on_subscribe has the message id and the granted QoS", pyOnSubscribe)
	t.Run("on_unsubscribe has the message id", pyOnUnsubscribe)
}

func pyCallbackArguments(t *testing.T) {
	b := plain(t)
	obj := new(int)
	c, err := mosquitto.New("test-client", true, obj)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	type call struct {
		event  string
		client *mosquitto.Client
		obj    any
	}
	calls := make(chan call, 100)
	note := func(event string, c *mosquitto.Client) { calls <- call{event, c, c.UserData()} }
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { note("connect", c) })
	c.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		note("subscribe", c)
	})
	c.OnPublish(func(c *mosquitto.Client, _ int, _ mosquitto.ReasonCode, _ mosquitto.Properties) { note("publish", c) })
	c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) { note("message", c) })
	c.OnUnsubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		note("unsubscribe", c)
	})
	c.OnDisconnect(func(c *mosquitto.Client, _ mosquitto.Disconnection) { note("disconnect", c) })
	expect := func(event string) {
		got := wait.For(t, calls, event)
		require.Equal(t, event, got.event)
		require.Same(t, c, got.client)
		require.Same(t, obj, got.obj)
	}
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	expect("connect")
	_, err = c.Subscribe("my/topic", 0)
	require.NoError(t, err)
	expect("subscribe")
	_, err = c.Publish("my/topic", nil, 0, false)
	require.NoError(t, err)
	expect("publish")
	expect("message")
	_, err = c.Unsubscribe("my/topic")
	require.NoError(t, err)
	expect("unsubscribe")
	require.NoError(t, c.Disconnect())
	expect("disconnect")
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
}

func pyConnectCodes(t *testing.T) {
	for code, text := range []string{
		"Connection Accepted",
		"Connection Refused: unacceptable protocol version",
		"Connection Refused: identifier rejected",
		"Connection Refused: broker unavailable",
		"Connection Refused: bad user name or password",
		"Connection Refused: not authorised",
	} {
		c, e, conn := pyLooped(t)
		conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, byte(code)))
		ack := turnOn(t, c, e.connect) // Loop returns an error after a refusal
		require.Equal(t, mosquitto.ConnackCode(code), ack.Code)
		require.Equal(t, text, ack.Code.String())
		require.Equal(t, text, strings.TrimSuffix(mosquitto.ConnackString(ack.Code), "."))
		if code == 0 {
			require.NoError(t, ack.Err())
		} else {
			require.Equal(t, mosquitto.ConnackError{Code: ack.Code}, ack.Err())
		}
	}
}

type pyReceiver struct{ connected chan mosquitto.Connack }

func (r *pyReceiver) onConnect(_ *mosquitto.Client, ack mosquitto.Connack) { r.connected <- ack }

func pyMethods(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "test-client", true)
	r := &pyReceiver{make(chan mosquitto.Connack, 1)}
	c.OnConnect(r.onConnect)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	loop(t, c)
	require.NoError(t, wait.For(t, r.connected, "the method").Err())
}

func pyDisconnectUnexpected(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "test-client", true)
	connect(t, c, e, b.Port)
	b.Kill()
	d := wait.For(t, e.disconnect, "OnDisconnect")
	require.NotZero(t, d.Code)
	require.Equal(t, int(mosquitto.ErrConnLost), d.Code)
	require.ErrorIs(t, d.Err, mosquitto.ErrConnLost)
	require.NoError(t, c.Close())
}

func pyMessageFields(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "test-client", true)
	conn, ended := meet(t, c, e, p)
	conn.Send(fakebroker.Publish(1, "last/known/good", 0, "value"))
	conn.Send(fakebroker.Publish(2, "my/topic", 77, "hello"))
	require.Equal(t, mosquitto.Message{Topic: "last/known/good", Payload: []byte("value"), Retain: true}, wait.For(t, e.message, "QoS 0"))
	require.Equal(t, mosquitto.Message{MID: 77, Topic: "my/topic", Payload: []byte("hello"), QoS: 1}, wait.For(t, e.message, "QoS 1"))
	require.Equal(t, uint16(77), conn.Expect(fakebroker.PUBACK).MID())
	conn.Send(fakebroker.Publish(4, "my/topic", 78, ""))
	require.Equal(t, uint16(78), conn.Expect(fakebroker.PUBREC).MID())
	conn.Send(fakebroker.Ack(fakebroker.PUBREL, 78))
	require.Equal(t, mosquitto.Message{MID: 78, Topic: "my/topic", QoS: 2}, wait.For(t, e.message, "QoS 2"))
	require.Equal(t, uint16(78), conn.Expect(fakebroker.PUBCOMP).MID())
	part(t, c, conn, ended)
}
