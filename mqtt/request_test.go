//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// respondent returns the script of a broker that responds to every request itself. It grants
// subscriptions. It sends the response information unless it is "".
func respondent(information func(connection int) string) script {
	return func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT:
			var props []fakebroker.Property
			if text := information(c.number); text != "" {
				props = append(props, fakebroker.ResponseInfo(text))
			}
			c.write(c.version.Connack(false, 0, props...))
			return true
		case p.Type() == fakebroker.PUBLISH && p.responseTopic() != "":
			c.acknowledge(p)
			c.publish(0, p.responseTopic(), 0, "to "+p.payload(), fakebroker.CorrelationData(p.correlationData()))
			return true
		}
		return false
	}
}

func noInformation(int) string { return "" }

// requireResponse requires that a request gets its response. It returns the response topic.
func requireResponse(t *testing.T, b *fakeBroker, c *mqtt.Client, options ...mqtt.PublishOption) (topic string) {
	t.Helper()
	m, err := c.Request(wait.Soon(t), "question", []byte("x"), options...)
	require.NoError(t, err)
	require.Equal(t, "to x", string(m.Payload))
	sent := b.published("question")
	topic = sent[len(sent)-1].responseTopic()
	require.Equal(t, topic, m.Topic)
	return topic
}

// subscribedTo lists the filters of all SUBSCRIBE packets.
func subscribedTo(b *fakeBroker) (all []string) {
	for _, p := range b.received(fakebroker.SUBSCRIBE) {
		all = append(all, p.names()...)
	}
	return all
}

func TestRequest_UsesTheTopicOfTheProgram(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(noInformation))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	for range 3 {
		for _, topic := range []string{"replies/1", "replies/2"} {
			require.Equal(t, topic, requireResponse(t, b, c, mqtt.WithQoS(1), mqtt.WithResponseTopic(topic)))
		}
	}
	require.Equal(t, []string{"replies/1", "replies/2"}, subscribedTo(b), "one SUBSCRIBE for each topic")
	requireReconnects(t, b, c)
	require.Equal(t, "replies/1", requireResponse(t, b, c, mqtt.WithResponseTopic("replies/1")))
	require.True(t, strings.HasPrefix(requireResponse(t, b, c), "responses/"), "the default")
}

// The program has a handler for the response topic. The handler and the request both get the
// response. After Unsubscribe a request subscribes again.
func TestRequest_TopicWithAHandlerGetsTheResponseToo(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(noInformation))
	first, got := collect()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	requireResponse(t, b, c, mqtt.WithResponseTopic("replies"))
	require.NoError(t, c.Subscribe(wait.Soon(t), "replies", 1, first))
	requireResponse(t, b, c, mqtt.WithResponseTopic("replies"))
	wait.For(t, got, "the response in the handler")

	second, gotSecond := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "replies", 1, second))
	requireResponse(t, b, c, mqtt.WithResponseTopic("replies"))
	wait.For(t, gotSecond, "the response in the second handler")
	wait.None(t, got, "message for a replaced handler")

	require.NoError(t, c.Unsubscribe(wait.Soon(t), "replies"))
	requireResponse(t, b, c, mqtt.WithResponseTopic("replies"))
	wait.None(t, gotSecond, "message after Unsubscribe")
}

func TestRequest_TopicBeginsWithThePrefix(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(noInformation))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponsePrefix("myapp/replies/"))
	topic := requireResponse(t, b, c)
	require.Regexp(t, "^myapp/replies/[0-9a-f]{24}$", topic)
	require.Equal(t, topic, requireResponse(t, b, c))
	require.Equal(t, []string{topic}, subscribedTo(b))
	other := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponsePrefix("myapp/replies/"))
	require.NotEqual(t, topic, requireResponse(t, b, other), "each client has its own topic")
}

// asksForInformation reports whether the last CONNECT has Request Response Information 1.
func asksForInformation(b *fakeBroker) bool {
	all := b.received(fakebroker.CONNECT)
	return strings.Contains(string(all[len(all)-1].Body), string(fakebroker.RequestResponseInfo(1)))
}

func TestRequest_TopicBeginsWithTheResponseInformation(t *testing.T) {
	t.Parallel()
	for information, prefix := range map[string]string{"for/you": "for/you/", "for/you/": "for/you/", "": "mine/"} {
		t.Run(information, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, respondent(func(int) string { return information }))
			c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponseInformation(), mqtt.WithResponsePrefix("mine/"),
				mqtt.WithConnectProperties(mqtt.Properties{{ID: mqtt.PropUserProperty, Name: "a", Text: "b"}}))
			require.True(t, asksForInformation(b))
			require.Regexp(t, "^"+prefix+"[0-9a-f]{24}$", requireResponse(t, b, c))
		})
	}
	b := startFakeBroker(t, respondent(func(int) string { return "for/you" }))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	require.False(t, asksForInformation(b))
	require.Regexp(t, "^responses/", requireResponse(t, b, c), "the client did not request this information")
}

// After a reconnect the client uses the new response information and unsubscribes from the
// earlier topic.
func TestRequest_ResponseInformationChangesAtAReconnect(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(func(connection int) string { return fmt.Sprint("session", (connection+1)/2) }))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponseInformation(),
		mqtt.WithConnectProperties(mqtt.Properties{{ID: mqtt.PropRequestResponseInformation, Number: 1}}))
	first := requireResponse(t, b, c)
	requireReconnects(t, b, c)
	require.Equal(t, first, requireResponse(t, b, c))
	require.Empty(t, b.received(fakebroker.UNSUBSCRIBE))
	requireReconnects(t, b, c)
	second := requireResponse(t, b, c)
	require.Equal(t, strings.Replace(first, "session1", "session2", 1), second)
	wait.Until(t, "UNSUBSCRIBE", func() bool { return len(b.received(fakebroker.UNSUBSCRIBE)) == 1 })
	require.Equal(t, []string{first}, b.received(fakebroker.UNSUBSCRIBE)[0].names())
	requireReconnects(t, b, c)
	require.False(t, subscribedOn(b, 4, first))
	require.True(t, subscribedOn(b, 4, second))
}

// Before the first connection Request waits for the response information.
func TestRequest_WaitsForTheResponseInformation(t *testing.T) {
	t.Parallel()
	c, start := lateBroker(t, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponseInformation())
	_, err := c.Request(context50ms(t), "question", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	answered := make(chan mqtt.Message, 1)
	go func() {
		m, _ := c.Request(wait.Soon(t), "question", nil)
		answered <- m
	}()
	start(respondent(func(int) string { return "for/you" }))
	require.Regexp(t, "^for/you/", wait.For(t, answered, "the response").Topic)
}

// Functions of WithOnConnect run before StateConnected. They can already use the response
// information.
func TestRequest_ResponseInformationIsKnownInOnConnect(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(func(int) string { return "for/you" }))
	var topic atomic.Value
	dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponseInformation(), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		m, err := c.Request(ctx, "question", nil)
		topic.Store(m.Topic)
		return err
	}))
	require.Regexp(t, "^for/you/", topic.Load())
}

func TestRequest_BadTopicsAreRefused(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, respondent(func(int) string { return "for/+" }))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	for _, topic := range []string{"", "a/+", "a/#", "$share/g/a", "a\x00"} {
		_, err := c.Request(wait.Soon(t), "question", nil, mqtt.WithResponseTopic(topic))
		require.ErrorIs(t, err, mosquitto.ErrInval, topic)
		require.ErrorContains(t, err, "WithResponseTopic", topic)
	}
	require.ErrorContains(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithResponseTopic("a/+")), "WithResponseTopic")
	_, err := c.Request(wait.Soon(t), "question", nil, mqtt.WithCorrelationData([]byte("x")))
	require.ErrorContains(t, err, "WithCorrelationData")
	_, err = c.Request(wait.Soon(t), "question", nil, mqtt.WithResponseTopic("a"), mqtt.WithResponseTopic("b"))
	require.Error(t, err)
	require.Empty(t, b.published("question"))

	asking := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponseInformation())
	_, err = asking.Request(wait.Soon(t), "question", nil)
	require.ErrorContains(t, err, "the broker's response information")

	for _, prefix := range []string{"", "a/+/", "#", "$share/g/", "a\x00", strings.Repeat("x", 65530)} {
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponsePrefix(prefix))
		require.ErrorContains(t, err, "WithResponsePrefix")
	}
	for name, option := range map[string]mqtt.Option{"WithResponsePrefix": mqtt.WithResponsePrefix("a/"), "WithResponseInformation": mqtt.WithResponseInformation()} {
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, option)
		require.ErrorContains(t, err, name+": needs WithProtocol(V5)")
	}
}

// A request fails if its context has ended or if its SUBSCRIBE is refused. The next request
// subscribes again.
func TestRequest_RefusedTopicIsTriedAgain(t *testing.T) {
	t.Parallel()
	refuses, answers := refusesFirst(1), respondent(noInformation)
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool { return refuses(c, p) || answers(c, p) })
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Request(ended, "question", nil, mqtt.WithResponseTopic("replies"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Request(wait.Soon(t), "question", nil, mqtt.WithResponseTopic("replies"))
	var refused *mqtt.SubscribeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "replies", refused.Filter)
	requireResponse(t, b, c, mqtt.WithResponseTopic("replies"))
}

// The access list of the broker allows only topics with the prefix.
func TestRequest_PrefixPassesAnAccessList(t *testing.T) {
	t.Parallel()
	acl := filepath.Join(t.TempDir(), "acl")
	require.NoError(t, os.WriteFile(acl, []byte("topic readwrite question\ntopic readwrite myapp/#\n"), 0o644))
	b := broker.Start(t, broker.Config{Extra: "acl_file " + acl})
	server := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, server.Respond(wait.Soon(t), "question", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) { return m.Payload, nil }))
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithResponsePrefix("myapp/"))
	for _, options := range [][]mqtt.PublishOption{nil, {mqtt.WithResponseTopic("myapp/here")}} {
		m, err := c.Request(wait.Soon(t), "question", []byte("x"), options...)
		require.NoError(t, err)
		require.Equal(t, "x", string(m.Payload))
	}
	brief, cancel := context.WithTimeout(wait.Soon(t), 300*time.Millisecond)
	defer cancel()
	_, err := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5)).Request(brief, "question", nil)
	require.Error(t, err, "the default topic is not allowed")
}

func TestRequest_GetsItsResponse(t *testing.T) {
	b := plain(t)
	server, client := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5)), dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, server.Respond(wait.Soon(t), "double", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) {
		if len(m.Payload) == 0 {
			return nil, fmt.Errorf("nothing to double")
		}
		return append(m.Payload, m.Payload...), nil
	}))
	for range 10 {
		m, err := client.Request(wait.Soon(t), "double", []byte("ab"))
		require.NoError(t, err)
		require.Equal(t, "abab", string(m.Payload))
	}
	_, err := client.Request(wait.Soon(t), "double", nil)
	var refused *mqtt.RequestError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "nothing to double", refused.Text)
}
