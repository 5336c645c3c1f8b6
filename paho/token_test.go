package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestToken_BeforeAndAfterTheEnd(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, options(p.Port))
	token := c.Publish("a", 1, false, "x")
	m := conn.Expect(fakebroker.PUBLISH)
	require.False(t, token.WaitTimeout(time.Millisecond))
	require.Equal(t, paho.TimedOut, paho.WaitTokenTimeout(token, time.Millisecond))
	require.NoError(t, token.Error(), "a time that is over is not an error of the message")
	wait.None(t, token.Done(), "end")
	require.Equal(t, mid(m), token.(*paho.PublishToken).MessageID())
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
	wait.For(t, token.Done(), "the end")
	require.True(t, token.Wait())
	require.NoError(t, paho.WaitTokenTimeout(token, 0))
}

func TestPublishToken_SurvivesALoss(t *testing.T) {
	p := fakebroker.Listen(t)
	for qos := byte(1); qos < 3; qos++ {
		c, conn := attach(t, p, options(p.Port))
		token := c.Publish("a", qos, false, "x")
		conn.Expect(fakebroker.PUBLISH)
		conn.Close()
		conn = p.AcceptConnect()
		require.False(t, token.WaitTimeout(0))
		m := conn.Expect(fakebroker.PUBLISH)
		if qos == 1 {
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
		} else {
			conn.Send(fakebroker.Ack(fakebroker.PUBREC, mid(m)))
			conn.Expect(fakebroker.PUBREL)
			conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, mid(m)))
		}
		succeed(t, token)
		c.Disconnect(0)
	}
}

func TestSubscribeToken_EndsWithTheConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, options(p.Port))
	subscribed, unsubscribed := c.Subscribe("a", 1, nil), c.Unsubscribe("b")
	conn.Expect(fakebroker.SUBSCRIBE)
	conn.Close()
	require.Error(t, outcome(t, subscribed))
	require.Error(t, outcome(t, unsubscribed))
	require.Empty(t, subscribed.(*paho.SubscribeToken).Result())
}

func TestSubscribeToken_SurvivesALossWithResumeSubs(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, options(p.Port).SetResumeSubs(true))
	token := c.Subscribe("a", 1, nil)
	conn.Expect(fakebroker.SUBSCRIBE)
	conn.Close()
	conn = p.AcceptConnect()
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{1}))
	succeed(t, token)
}

// offline connects a client, and then cuts its connection and refuses others.
func offline(t *testing.T, change func(*paho.ClientOptions)) (*fakebroker.Broker, paho.Client) {
	t.Helper()
	p := fakebroker.Listen(t)
	hold := make(chan struct{})
	o := options(p.Port).SetReconnectingHandler(func(paho.Client, *paho.ClientOptions) { <-hold })
	change(o)
	c, conn := attach(t, p, o)
	t.Cleanup(func() { c.Disconnect(0) })
	conn.Close()
	wait.Until(t, "the loss", func() bool { return !c.IsConnectionOpen() })
	require.True(t, c.IsConnected(), "the client connects again")
	t.Cleanup(func() {
		select {
		case <-hold:
		default:
			close(hold)
		}
	})
	release = func() { close(hold) }
	return p, c
}

// release lets the client of offline connect again.
var release func()

func TestPublish_DuringAReconnectIsSentAfterIt(t *testing.T) {
	p, c := offline(t, func(*paho.ClientOptions) {})
	atMostOnce := c.Publish("a", 0, false, "x")
	succeed(t, atMostOnce) // ends at once
	atLeastOnce := c.Publish("b", 1, false, "y")
	require.False(t, atLeastOnce.WaitTimeout(20*time.Millisecond))
	release()
	conn := p.AcceptConnect()
	require.Contains(t, string(conn.Expect(fakebroker.PUBLISH).Body), "ax")
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(conn.Expect(fakebroker.PUBLISH))))
	succeed(t, atLeastOnce)
}

func TestSubscribe_DuringAReconnect(t *testing.T) {
	_, c := offline(t, func(*paho.ClientOptions) {})
	require.Error(t, outcome(t, c.Subscribe("a", 0, nil)))
	require.Error(t, outcome(t, c.SubscribeMultiple(map[string]byte{"a": 0}, nil)))
	require.Error(t, outcome(t, c.Unsubscribe("a")))
	release()
}

func TestSubscribe_DuringAReconnectWithResumeSubs(t *testing.T) {
	p, c := offline(t, func(o *paho.ClientOptions) { o.SetResumeSubs(true) })
	subscribed := c.Subscribe("a", 0, nil)
	require.False(t, subscribed.WaitTimeout(20*time.Millisecond))
	release()
	conn := p.AcceptConnect()
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{0}))
	succeed(t, subscribed)
}

func TestPublish_InvalidArguments(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	for _, payload := range []any{nil, 1, new(int), struct{}{}} {
		require.Error(t, outcome(t, c.Publish("a", 1, false, payload)))
	}
	require.Equal(t, paho.ErrInvalidQos, outcome(t, c.Publish("a", 3, false, "x")))
	require.Equal(t, paho.ErrInvalidTopicEmptyString, outcome(t, c.Publish("", 1, false, "x")))
	require.Error(t, outcome(t, c.Publish("a/#", 1, false, "x")))
	require.True(t, c.IsConnectionOpen(), "nothing of this was sent")
}

func TestPublish_CopiesThePayload(t *testing.T) {
	b := start(t)
	callback, got := collect()
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a", 1, callback))
	payload := []byte("x")
	for range 100 {
		payload[0] = 'x'
		c.Publish("a", 1, false, payload)
		payload[0] = 'y'
	}
	for range 100 {
		require.Equal(t, "x", string(wait.For(t, got, "a message").Payload()))
	}
}

func TestPublish_RetainedMessage(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	succeed(t, c.Publish("a", 1, true, "x"))
	callback, got := collect()
	succeed(t, c.Subscribe("a", 1, callback))
	require.True(t, wait.For(t, got, "the message").Retained())
}

func TestPublish_SubscribeBeforeItCounts(t *testing.T) {
	b := start(t)
	callback, got := collect()
	c := connect(t, options(b.Port))
	for i := range 50 {
		topic := fmt.Sprint("topic/", i)
		c.Subscribe(topic, 0, callback)
		c.Publish(topic, 0, false, "x")
		require.Equal(t, topic, wait.For(t, got, "the message").Topic())
	}
}

func TestTokens_WithoutAnOperation(t *testing.T) {
	for _, token := range []paho.Token{&paho.DummyToken{}, &paho.PlaceHolderToken{}} {
		require.True(t, token.Wait())
		require.True(t, token.WaitTimeout(0))
		<-token.Done()
		require.NoError(t, token.Error())
	}
	for _, token := range []paho.Token{&paho.PublishToken{}, &paho.SubscribeToken{}, &paho.UnsubscribeToken{}, &paho.ConnectToken{}, &paho.DisconnectToken{}} {
		require.NoError(t, token.Error())
		require.False(t, token.WaitTimeout(time.Millisecond), "it never ends")
	}
	require.Equal(t, "context canceled", paho.TimedOut.Error())
}
