package mqtt_test

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

// named returns a callback that sends a name and the topic.
func named(ch chan<- string, name string) paho.MessageHandler {
	return func(_ paho.Client, m paho.Message) { ch <- name + " " + m.Topic() }
}

// expectCalls waits for calls in this order. A message without a route follows, whose
// call shows that there are no others.
func expectCalls(t *testing.T, conn *fakebroker.Conn, got <-chan string, want ...string) {
	t.Helper()
	conn.Send(fakebroker.Publish(0, "end", 0, ""))
	for _, call := range append(want, "default end") {
		require.Equal(t, call, wait.For(t, got, "a call"))
	}
}

func TestRoutes_AllThatMatchAreCalledInTheirOrder(t *testing.T) {
	p := fakebroker.Listen(t)
	got := make(chan string, 100)
	c, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(named(got, "default")))
	for _, filter := range []string{"a/#", "a/+", "+/b", "a/b", "a/b/#", "b", "a"} {
		c.AddRoute(filter, named(got, filter))
	}
	c.AddRoute("a/b", nil)
	conn.Send(fakebroker.Publish(0, "a/b", 0, "x"))
	conn.Send(fakebroker.Publish(0, "c", 0, "x"))
	conn.Send(fakebroker.Publish(0, "a", 0, "x"))
	expectCalls(t, conn, got, "a/# a/b", "a/+ a/b", "+/b a/b", "a/b a/b", "a/b/# a/b", "default c", "a/# a", "a a")
	c.AddRoute("a/+", named(got, "new"))
	conn.Send(fakebroker.Publish(0, "a/c", 0, "x"))
	expectCalls(t, conn, got, "a/# a/c", "new a/c")
}

func TestRoutes_SubscribeAndUnsubscribe(t *testing.T) {
	p := fakebroker.Listen(t)
	got := make(chan string, 100)
	c, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(named(got, "default")))
	grant := func(token paho.Token, kind, reply byte, codes ...byte) {
		t.Helper()
		id := conn.Expect(kind).MID()
		if reply == fakebroker.SUBACK {
			conn.Send(fakebroker.V311.Suback(id, codes))
		} else {
			conn.Send(fakebroker.V311.Unsuback(id, codes))
		}
		succeed(t, token)
	}
	grant(c.Subscribe("a", 0, named(got, "a")), fakebroker.SUBSCRIBE, fakebroker.SUBACK, 0)
	grant(c.Subscribe("b", 0, nil), fakebroker.SUBSCRIBE, fakebroker.SUBACK, 0)
	grant(c.Subscribe("$share/group/c", 0, named(got, "shared")), fakebroker.SUBSCRIBE, fakebroker.SUBACK, 0)
	grant(c.SubscribeMultiple(map[string]byte{"d": 0, "+": 0}, named(got, "both")), fakebroker.SUBSCRIBE, fakebroker.SUBACK, 0, 0)
	for _, topic := range []string{"a", "b", "c", "d", "x/y"} {
		conn.Send(fakebroker.Publish(0, topic, 0, ""))
	}
	expect := []string{"a a", "both a", "both b", "shared c", "both c", "both d", "both d", "default x/y", "both end"}
	conn.Send(fakebroker.Publish(0, "end", 0, ""))
	for range expect {
		call := wait.For(t, got, "a call")
		require.Contains(t, expect, call)
	}
	grant(c.Unsubscribe("+", "$share/group/c"), fakebroker.UNSUBSCRIBE, fakebroker.UNSUBACK)
	for _, topic := range []string{"a", "c", "d"} {
		conn.Send(fakebroker.Publish(0, topic, 0, ""))
	}
	expectCalls(t, conn, got, "a a", "default c", "both d")
}

func TestRoutes_RetainedMessagesBeforeSubscribe(t *testing.T) {
	b := start(t)
	callback, got := collect()
	first := connect(t, options(b.Port).SetClientID("me").SetCleanSession(false))
	succeed(t, first.Subscribe("a", 1, callback))
	first.Disconnect(100)
	other := connect(t, options(b.Port))
	for i := range 10 {
		succeed(t, other.Publish("a", 1, false, fmt.Sprint(i)))
	}
	second := paho.NewClient(options(b.Port).SetClientID("me").SetCleanSession(false))
	second.AddRoute("a", callback)
	succeed(t, second.Connect())
	defer second.Disconnect(0)
	for i := range 10 {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, got, "a message of the session").Payload()))
	}
}

func TestSubscribe_Results(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, options(p.Port))
	token := c.SubscribeMultiple(map[string]byte{"a": 1, "b": 2, "c": 0}, nil)
	for _, granted := range []byte{1, 0, 0x80} { // a packet for each QoS
		conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{granted}))
	}
	require.Error(t, outcome(t, token), "one filter is refused")
	require.Equal(t, map[string]byte{"a": 1, "b": 0, "c": 0x80}, token.(*paho.SubscribeToken).Result())

	single := c.Subscribe("$share/g/d", 1, nil)
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{1}))
	succeed(t, single)
	require.Equal(t, map[string]byte{"d": 1}, single.(*paho.SubscribeToken).Result())
}

func TestSubscribe_InvalidArguments(t *testing.T) {
	b := start(t)
	c := connect(t, options(b.Port))
	for filter, want := range map[string]error{
		"": paho.ErrInvalidTopicEmptyString, "#/a": paho.ErrInvalidTopicMultilevel, "a/#/b": paho.ErrInvalidTopicMultilevel,
	} {
		require.Equal(t, want, outcome(t, c.Subscribe(filter, 0, nil)))
		require.Equal(t, want, outcome(t, c.SubscribeMultiple(map[string]byte{filter: 0}, nil)))
	}
	require.Equal(t, paho.ErrInvalidQos, outcome(t, c.Subscribe("a", 3, nil)))
	require.Error(t, outcome(t, c.Subscribe("a#", 0, nil)))
	require.Error(t, outcome(t, c.SubscribeMultiple(nil, nil)))
	require.Error(t, outcome(t, c.Unsubscribe()))
	succeed(t, c.Subscribe("a/#", 0, nil))
	require.True(t, c.IsConnectionOpen())
}

func TestSubscribe_IsRestoredAfterAReconnect(t *testing.T) {
	p := fakebroker.Listen(t)
	callback, got := collect()
	c, conn := attach(t, p, options(p.Port))
	token := c.Subscribe("a", 1, callback)
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{1}))
	succeed(t, token)
	conn.Close()
	conn = p.AcceptConnect()
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{1}))
	conn.Send(fakebroker.Publish(0, "a", 0, "x"))
	wait.For(t, got, "the message")
}

func TestSubscribe_AndUnsubscribeWithoutWaiting(t *testing.T) {
	b := start(t)
	callback, got := collect()
	c := connect(t, options(b.Port))
	var tokens []paho.Token
	for range 20 {
		tokens = append(tokens, c.Subscribe("a", 1, callback), c.Unsubscribe("a"), c.SubscribeMultiple(map[string]byte{"a": 1, "b": 1}, callback))
	}
	for _, token := range tokens {
		succeed(t, token)
	}
	succeed(t, c.Publish("a", 1, false, "x"))
	wait.For(t, got, "the message")
}
