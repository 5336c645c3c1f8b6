package test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// retain publishes a retained message and waits for its acknowledgement.
func retain(t testing.TB, c *mosquitto.Client, e *events, topic, payload string) {
	t.Helper()
	mid, err := c.Publish(topic, []byte(payload), 1, true)
	require.NoError(t, err)
	require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
}

// mark publishes a message that arrives after all earlier messages.
func mark(t testing.TB, c *mosquitto.Client, e *events, topic string) {
	t.Helper()
	_, err := c.Publish(topic, []byte("mark"), 1, false)
	require.NoError(t, err)
	wait.For(t, e.publish, "OnPublish")
}

// received asserts that these messages arrive next. want holds their payloads, each with the
// prefix "retained " if the retain flag is set.
func received(t testing.TB, e *events, want ...string) {
	t.Helper()
	for _, payload := range want {
		m := wait.For(t, e.message, payload)
		got := string(m.Payload)
		if m.Retain {
			got = "retained " + got
		}
		require.Equal(t, payload, got)
	}
}

func TestRetain_LastMessageIsSentToNewSubscribers(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			c, e := newVersion(t, "id", true, v.version)
			ended := connect(t, c, e, b.Port)
			retain(t, c, e, "a/b", "old")
			retain(t, c, e, "a/b", "last")
			subscribe(t, c, e, "a/b", 1)
			received(t, e, "retained last")

			retain(t, c, e, "a/b", "fresh")
			received(t, e, "fresh") // a current subscriber gets it without the flag
			subscribe(t, c, e, "a/b", 1)
			received(t, e, "retained fresh")

			retain(t, c, e, "a/b", "") // an empty payload removes the retained message
			received(t, e, "")
			subscribe(t, c, e, "a/b", 1)
			mark(t, c, e, "a/b")
			received(t, e, "mark")
			leave(t, c, e, ended)
			wait.None(t, e.message, "message after the removal")
		})
	}
}

// A message without the retain flag does not replace the retained message.
func TestRetain_OtherMessagesDoNotReplaceIt(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	retain(t, c, e, "a/b", "kept")
	mark(t, c, e, "a/b")
	subscribe(t, c, e, "a/#", 1)
	received(t, e, "retained kept")
	leave(t, c, e, ended)
}

// A retained message arrives with the lower QoS of message and subscription.
func TestRetain_QoSIsTheLowerOfBoth(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	for _, sent := range []mosquitto.QoS{0, 1, 2} {
		_, err := c.Publish("a/b", []byte("kept"), sent, true)
		require.NoError(t, err)
		wait.For(t, e.publish, "OnPublish")
		for _, asked := range []mosquitto.QoS{0, 1, 2} {
			subscribe(t, c, e, "a/b", asked)
			m := wait.For(t, e.message, "the retained message")
			require.True(t, m.Retain)
			require.Equal(t, min(sent, asked), m.QoS)
		}
		_, err = c.Unsubscribe("a/b")
		require.NoError(t, err)
		wait.For(t, e.unsubscribe, "OnUnsubscribe")
	}
	leave(t, c, e, ended)
}

func subscribeWith(t testing.TB, c *mosquitto.Client, e *events, filter string, options mosquitto.SubscribeOptions) {
	t.Helper()
	mid, err := c.SubscribeV5(filter, 1, options, nil)
	require.NoError(t, err)
	require.Equal(t, granted{mid: mid, codes: []mosquitto.ReasonCode{mosquitto.RCGrantedQoS1}}, wait.For(t, e.subscribe, "OnSubscribe"))
}

func TestRetain_AsPublishedKeepsTheFlag(t *testing.T) {
	b := plain(t)
	c, e := newV5(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribeWith(t, c, e, "with", mosquitto.SubRetainAsPublished)
	subscribeWith(t, c, e, "without", 0)
	for _, topic := range []string{"with", "without"} {
		retain(t, c, e, topic, topic)
		mark(t, c, e, topic)
	}
	received(t, e, "retained with", "mark", "without", "mark")
	leave(t, c, e, ended)
}

func TestRetain_HandlingSaysWhenItIsSent(t *testing.T) {
	b := plain(t)
	for _, test := range []struct {
		name    string
		options mosquitto.SubscribeOptions
		want    []string
	}{
		{"always", 0, []string{"retained kept", "retained kept", "mark"}},
		{"new", mosquitto.SubSendRetainNew, []string{"retained kept", "mark"}},
		{"never", mosquitto.SubSendRetainNever, []string{"mark"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, e := newV5(t, "id", true)
			ended := connect(t, c, e, b.Port)
			retain(t, c, e, "a/b", "kept")
			subscribeWith(t, c, e, "a/b", test.options)
			subscribeWith(t, c, e, "a/b", test.options)
			mark(t, c, e, "a/b")
			received(t, e, test.want...)
			leave(t, c, e, ended)
			wait.None(t, e.message, "further message")
		})
	}
}

// If the broker does not support retained messages, the library sends messages without
// the flag.
func TestRetain_UnavailableSendsWithoutTheFlag(t *testing.T) {
	b := startExtra(t, "retain_available false")
	c, e := newV5(t, "id", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	available, ok := wait.For(t, e.connect, "OnConnect").Properties.Byte(mosquitto.PropRetainAvailable)
	require.True(t, ok)
	require.Zero(t, available)
	retain(t, c, e, "a/b", "kept")
	subscribe(t, c, e, "a/b", 1)
	mark(t, c, e, "a/b")
	received(t, e, "mark")
	leave(t, c, e, ended)
}
