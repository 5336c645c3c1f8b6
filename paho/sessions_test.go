package mqtt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestSession_IsKeptOrDiscarded(t *testing.T) {
	b := start(t)
	publisher := connect(t, options(b.Port))
	for _, clean := range []bool{false, true} {
		o := options(b.Port).SetClientID("me").SetCleanSession(clean)
		first := paho.NewClient(o)
		succeed(t, first.Connect())
		succeed(t, first.Subscribe("a", 1, nil))
		first.Disconnect(100)
		succeed(t, publisher.Publish("a", 1, false, "x"))

		callback, got := collect()
		second := paho.NewClient(o.SetDefaultPublishHandler(callback))
		token := second.Connect()
		succeed(t, token)
		require.Equal(t, !clean, token.(*paho.ConnectToken).SessionPresent())
		if !clean {
			require.Equal(t, "x", string(wait.For(t, got, "the message of the session").Payload()))
		}
		succeed(t, second.Publish("b", 1, false, ""))
		second.Disconnect(100)
		wait.None(t, got, "message")
	}
}

func TestQoS_IsTheLowerOfPublisherAndSubscription(t *testing.T) {
	b := start(t)
	publisher := connect(t, options(b.Port))
	for subscribed := range byte(3) {
		callback, got := collect()
		subscriber := connect(t, options(b.Port))
		token := subscriber.Subscribe("a", subscribed, callback)
		succeed(t, token)
		require.Equal(t, map[string]byte{"a": subscribed}, token.(*paho.SubscribeToken).Result())
		for published := range byte(3) {
			succeed(t, publisher.Publish("a", published, false, ""))
			m := wait.For(t, got, "the message")
			require.Equal(t, min(published, subscribed), m.Qos())
			require.Empty(t, m.Payload())
		}
		subscriber.Disconnect(100)
	}
}

func TestCallbacks_SlowOnesMissNothing(t *testing.T) {
	b := start(t)
	got := make(chan string, 10_000)
	subscriber := connect(t, options(b.Port))
	succeed(t, subscriber.Subscribe("#", 2, func(_ paho.Client, m paho.Message) {
		time.Sleep(time.Millisecond)
		got <- string(m.Payload())
	}))
	publisher := connect(t, options(b.Port))
	for i := range 300 {
		publisher.Publish(fmt.Sprint("a/", i%3), byte(i%3), false, fmt.Sprint(i))
	}
	seen := map[string]bool{}
	for range 300 {
		seen[wait.For(t, got, "a message")] = true
	}
	require.Len(t, seen, 300)
}

func TestTopic_TooLong(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	long := strings.Repeat("a", 65_536)
	require.Error(t, outcome(t, c.Publish(long, 1, false, "")))
	require.Error(t, outcome(t, c.Subscribe(long, 1, nil)))
	succeed(t, c.Publish(long[1:], 1, false, ""))
}

func TestAck_AfterDisconnectDoesNothing(t *testing.T) {
	b := start(t)
	callback, got := collect()
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a", 1, callback))
	succeed(t, c.Publish("a", 1, false, ""))
	m := wait.For(t, got, "the message")
	c.Disconnect(100)
	m.Ack()
	m.Ack()
}

func TestDisconnect_WhileMessagesArrive(t *testing.T) {
	b := start(t)
	publisher := connect(t, options(b.Port))
	for range 5 {
		first := make(chan struct{}, 10_000)
		c := connect(t, options(b.Port))
		succeed(t, c.Subscribe("a", 1, func(paho.Client, paho.Message) { first <- struct{}{} }))
		for range 200 {
			publisher.Publish("a", 1, false, "x")
		}
		wait.For(t, first, "a message")
		c.Disconnect(10)
		require.False(t, c.IsConnected())
	}
}

func TestMaxResumePubInFlight_LimitsMessagesInFlight(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, options(p.Port).SetMaxResumePubInFlight(2))
	for range 5 {
		c.Publish("a", 1, false, "x")
	}
	conn.Expect(fakebroker.PUBLISH)
	second := conn.Expect(fakebroker.PUBLISH)
	third := make(chan fakebroker.Packet, 1)
	go func() {
		m, _ := conn.Next()
		third <- m
	}()
	select {
	case m := <-third:
		require.Fail(t, "too many messages in flight", m)
	case <-time.After(50 * time.Millisecond):
	}
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(second)))
	require.EqualValues(t, fakebroker.PUBLISH, wait.For(t, third, "the third message").Type())
}

func TestKeepAlive_IdleConnectionStays(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the keepalive")
	}
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	lost := make(chan error, 1)
	c := connect(t, options(p.Port).SetKeepAlive(5*time.Second).SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	up := p.Bytes(faultproxy.Up)
	time.Sleep(11 * time.Second)
	wait.None(t, lost, "loss")
	require.True(t, c.IsConnectionOpen())
	require.Greater(t, p.Bytes(faultproxy.Up), up, "PINGREQ")
}
