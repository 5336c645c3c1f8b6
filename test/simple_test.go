package test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func simple(port int) mosquitto.SimpleOptions {
	return mosquitto.SimpleOptions{Host: "127.0.0.1", Port: port, Keepalive: keepalive, CleanSession: true}
}

// simpleResult is the result of SubscribeSimple.
type simpleResult struct {
	messages []mosquitto.Message
	err      error
}

// inBackground runs SubscribeSimple on another goroutine.
func inBackground(ctx context.Context, o mosquitto.SimpleOptions, topic string, count int, wantRetained bool) <-chan simpleResult {
	done := make(chan simpleResult, 1)
	go func() {
		messages, err := mosquitto.SubscribeSimple(ctx, o, topic, 1, count, wantRetained)
		done <- simpleResult{messages, err}
	}()
	return done
}

// feed publishes numbered messages until SubscribeSimple has returned, because the test
// does not know when it has subscribed.
func feed(t testing.TB, c *mosquitto.Client, e *events, topic string, done <-chan simpleResult) (r simpleResult) {
	t.Helper()
	n := 0
	wait.Until(t, "the end of SubscribeSimple", func() bool {
		select {
		case r = <-done:
			return true
		default:
			n++
			_, err := c.Publish(topic, fmt.Append(nil, n), 1, false)
			require.NoError(t, err)
			wait.For(t, e.publish, "OnPublish")
			return false
		}
	})
	return r
}

func TestSimple_ReturnsTheNumberOfMessages(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "feeder", true)
	ended := connect(t, c, e, b.Port)
	for _, count := range []int{1, 5} {
		r := feed(t, c, e, "a/b", inBackground(wait.Soon(t), simple(b.Port), "a/+", count, true))
		require.NoError(t, r.err)
		require.Len(t, r.messages, count)
		var first int
		_, err := fmt.Sscan(string(r.messages[0].Payload), &first)
		require.NoError(t, err)
		for i, m := range r.messages {
			require.Equal(t, "a/b", m.Topic)
			require.Equal(t, mosquitto.QoS(1), m.QoS)
			require.Equal(t, fmt.Sprint(first+i), string(m.Payload))
		}
	}
	leave(t, c, e, ended)
}

func TestSimple_ReturnsRetainedMessagesIfWanted(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "feeder", true)
	ended := connect(t, c, e, b.Port)
	retain(t, c, e, "a/b", "kept")
	messages, err := mosquitto.SubscribeSimple(wait.Soon(t), simple(b.Port), "a/b", 1, 1, true)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	require.True(t, messages[0].Retain)
	require.Equal(t, "kept", string(messages[0].Payload))

	r := feed(t, c, e, "a/b", inBackground(wait.Soon(t), simple(b.Port), "a/b", 2, false))
	require.NoError(t, r.err)
	require.Len(t, r.messages, 2)
	for _, m := range r.messages {
		require.False(t, m.Retain)
	}
	leave(t, c, e, ended)
}

func TestSimple_EndsWithItsContext(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "feeder", true)
	ended := connect(t, c, e, b.Port)
	retain(t, c, e, "a/b", "kept")
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan struct{}, 1)
	over := make(chan error, 1)
	go func() {
		over <- mosquitto.SubscribeCallback(ctx, simple(b.Port), "a/b", 1, func(*mosquitto.Client, mosquitto.Message) bool {
			got <- struct{}{}
			return true
		})
	}()
	wait.For(t, got, "the message")
	cancel()
	require.ErrorIs(t, wait.For(t, over, "the end"), context.Canceled)
	leave(t, c, e, ended)
}

// The messages that arrived before ctx ended are returned with the error.
func TestSimple_EndOfContextReturnsTheMessages(t *testing.T) {
	p := fakebroker.Listen(t)
	ctx, cancel := context.WithCancel(wait.Soon(t))
	done := inBackground(ctx, simple(p.Port), "a/b", 2, true)
	conn := p.AcceptConnect()
	conn.Expect(fakebroker.SUBSCRIBE)
	conn.Send(fakebroker.Publish(2, "a/b", 7, "hello"))
	conn.Expect(fakebroker.PUBACK)
	cancel()
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	r := wait.For(t, done, "the end")
	require.ErrorIs(t, r.err, context.Canceled)
	require.Len(t, r.messages, 1)
	require.Equal(t, "hello", string(r.messages[0].Payload))
}

func TestSimple_EndedContextReturnsAtOnce(t *testing.T) {
	b := plain(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	messages, err := mosquitto.SubscribeSimple(ctx, simple(b.Port), "a/b", 1, 1, true)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, messages)
}

func TestSimple_ReturnsRefusedCredentials(t *testing.T) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "secret"}})
	o := simple(b.Port)
	o.Username, o.Password = "user", "wrong"
	_, err := mosquitto.SubscribeSimple(wait.Soon(t), o, "a/b", 1, 1, true)
	require.ErrorIs(t, err, mosquitto.ConnackError{Code: mosquitto.ConnackRefusedNotAuthorized})

	o.Password = "secret"
	c, e := newClient(t, "feeder", true)
	require.NoError(t, c.UsernamePwSet("user", "secret"))
	ended := connect(t, c, e, b.Port)
	retain(t, c, e, "a/b", "kept")
	messages, err := mosquitto.SubscribeSimple(wait.Soon(t), o, "a/b", 1, 1, true)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	leave(t, c, e, ended)
}

func TestSimple_ReturnsARefusedSubscription(t *testing.T) {
	b := guarded(t)
	_, err := mosquitto.SubscribeSimple(wait.Soon(t), simple(b.Port), "denied/a", 1, 1, true)
	require.ErrorIs(t, err, mosquitto.ReasonError{Code: mosquitto.RCUnspecified})
}

func TestSimple_ReturnsThatTheBrokerIsUnreachable(t *testing.T) {
	_, err := mosquitto.SubscribeSimple(wait.Soon(t), simple(broker.FreePort(t)), "a/b", 1, 1, true)
	require.ErrorIs(t, err, mosquitto.ErrErrno)
}

// The options are sent in the CONNECT. The final DISCONNECT prevents the will.
func TestSimple_OptionsAreSentInTheConnect(t *testing.T) {
	p := fakebroker.Listen(t)
	o := mosquitto.SimpleOptions{
		Host: "127.0.0.1", Port: p.Port, ClientID: "simple", Keepalive: 2 * keepalive,
		Username: "user", Password: "secret",
		Will: &mosquitto.Will{Topic: "will/topic", Payload: []byte("gone"), QoS: 2, Retain: true},
	}
	done := inBackground(wait.Soon(t), o, "a/b", 1, true)
	conn := p.Accept()
	got := readConnect(t, conn)
	require.Equal(t, connectPacket{
		name: "MQTT", level: 4, flags: connectUsername | connectPassword | connectRetain | 2<<3 | connectWill,
		keepalive: 120, id: "simple", willTopic: "will/topic", will: "gone", username: "user", password: "secret",
	}, got)
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	request := conn.Expect(fakebroker.SUBSCRIBE)
	require.Equal(t, []byte{0, 3, 'a', '/', 'b', 1}, request.Body[2:])
	conn.Send(fakebroker.Bytes(fakebroker.SUBACK, request.Body[0], request.Body[1], 1))
	conn.Send(fakebroker.Publish(0, "a/b", 0, "hello"))
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	r := wait.For(t, done, "the end")
	require.NoError(t, r.err)
	require.Len(t, r.messages, 1)
	require.Equal(t, "hello", string(r.messages[0].Payload))
}

func TestSimple_BadOptionsReturnErrInval(t *testing.T) {
	for _, o := range []mosquitto.SimpleOptions{
		{Port: 1883, CleanSession: true},
		{Host: "127.0.0.1", Port: 1883},
		{Host: "127.0.0.1", Port: -1, CleanSession: true},
		{Host: "127.0.0.1", Port: 1883, CleanSession: true, Password: "without a username"},
		{Host: "127.0.0.1", Port: 1883, CleanSession: true, Will: &mosquitto.Will{}},
	} {
		_, err := mosquitto.SubscribeSimple(wait.Soon(t), o, "a/b", 1, 1, true)
		require.ErrorIs(t, err, mosquitto.ErrInval, "%+v", o)
	}
	for _, count := range []int{0, -1} {
		_, err := mosquitto.SubscribeSimple(wait.Soon(t), simple(1), "a/b", 1, count, true)
		require.ErrorIs(t, err, mosquitto.ErrInval)
	}
}

func TestSimple_BadFilterReturnsErrInval(t *testing.T) {
	b := plain(t)
	_, err := mosquitto.SubscribeSimple(wait.Soon(t), simple(b.Port), "a#", 1, 1, true)
	require.ErrorIs(t, err, mosquitto.ErrInval)
}

// The callback gets the client. It ends the call by returning false, and no further
// message follows.
func TestSimple_CallbackEndsTheCall(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "feeder", true)
	ended := connect(t, c, e, b.Port)
	for _, topic := range []string{"a/1", "a/2", "a/3"} {
		retain(t, c, e, topic, topic)
	}
	var topics []string
	var publishing error
	err := mosquitto.SubscribeCallback(wait.Soon(t), simple(b.Port), "a/+", 1, func(c *mosquitto.Client, m mosquitto.Message) bool {
		topics = append(topics, m.Topic)
		_, publishing = c.Publish("seen", []byte(m.Topic), 1, false)
		return len(topics) < 2
	})
	require.NoError(t, err)
	require.NoError(t, publishing)
	require.Len(t, topics, 2)
	leave(t, c, e, ended)
}

func TestSimple_PanicOfTheCallbackIsRaised(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "feeder", true)
	ended := connect(t, c, e, b.Port)
	retain(t, c, e, "a/b", "kept")
	failure := errors.New("of the callback")
	defer func() {
		err, ok := recover().(error)
		require.True(t, ok, "no panic")
		var relayed *mosquitto.PanicError
		require.ErrorAs(t, err, &relayed)
		require.ErrorIs(t, err, failure)
		require.Contains(t, string(relayed.Stack), "TestSimple_PanicOfTheCallbackIsRaised")
		leave(t, c, e, ended)
	}()
	_ = mosquitto.SubscribeCallback(wait.Soon(t), simple(b.Port), "a/b", 1, func(*mosquitto.Client, mosquitto.Message) bool {
		panic(failure)
	})
	require.Fail(t, "SubscribeCallback returned")
}

// After a connection loss, SubscribeSimple reconnects and subscribes again.
func TestSimple_Reconnects(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	done := inBackground(wait.Soon(t), simple(p.Port), "a/b", 2, true)
	for _, payload := range []string{"first", "second"} {
		conn := p.AcceptConnect()
		request := conn.Expect(fakebroker.SUBSCRIBE)
		conn.Send(fakebroker.Bytes(fakebroker.SUBACK, request.Body[0], request.Body[1], 1))
		conn.Send(fakebroker.Publish(2, "a/b", 7, payload))
		conn.Expect(fakebroker.PUBACK)
		if payload == "second" {
			conn.Expect(fakebroker.DISCONNECT)
		}
		conn.Close()
	}
	r := wait.For(t, done, "the end")
	require.NoError(t, r.err)
	require.Len(t, r.messages, 2)
	require.Equal(t, "second", string(r.messages[1].Payload))
}

// A certificate authority that is replaced on disk is trusted at the next reconnect.
func TestSimple_TLSFilesAreReadAfterALostConnection(t *testing.T) {
	first, second := broker.NewCA(t, "first"), broker.NewCA(t, "second")
	shown := first.Issue("broker", "127.0.0.1")
	trusted := &broker.Cert{CertFile: filepath.Join(t.TempDir(), "ca.pem"), KeyFile: filepath.Join(t.TempDir(), "ca.key")}
	replaceCert(t, trusted, &broker.Cert{CertFile: first.File, KeyFile: first.KeyFile})
	b := broker.Start(t, broker.Config{TLS: shown})
	o := simple(b.Port)
	o.TLS = &mosquitto.TLS{CAFile: trusted.CertFile}
	subscribed := func() bool { return strings.Contains(b.Log(), "Sending SUBACK") }
	done := inBackground(t.Context(), o, "a", 1, true)
	wait.Until(t, "the subscription", subscribed)
	replaceCert(t, shown, second.Issue("broker", "127.0.0.1"))
	replaceCert(t, trusted, &broker.Cert{CertFile: second.File, KeyFile: second.KeyFile})
	b.Restart()
	c, e := newClient(t, "", true)
	require.NoError(t, c.SetTLS(*o.TLS))
	accepted(t, c, e, "127.0.0.1", b.Port)
	r := feed(t, c, e, "a", done)
	require.NoError(t, r.err)
	require.Len(t, r.messages, 1)
}
