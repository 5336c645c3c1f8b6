//go:build cluster

package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// rabbitMQ4 tests package mqtt with MQTT 5. The limits are those of RabbitMQ 4.0 to 4.3.
func rabbitMQ4(t *testing.T, c *cluster.Cluster) {
	t.Run("MQTT 5, announced limits", func(t *testing.T) { announcedLimits(t, c) })
	t.Run("MQTT 5, wrong password", func(t *testing.T) { wrongPasswordV5(t, c) })
	t.Run("MQTT 5, properties from every node to every node", func(t *testing.T) { everyProperty(t, c) })
	t.Run("MQTT 5, properties in a session", func(t *testing.T) { queuedProperties(t, c) })
	t.Run("MQTT 5, retained", func(t *testing.T) { retainedV5(t, c) })
	t.Run("MQTT 5, dot in a topic", func(t *testing.T) { dotsV5(t, c) })
	t.Run("MQTT 5, session expiry", func(t *testing.T) { sessionExpiry(t, c) })
	t.Run("MQTT 5, session taken over", func(t *testing.T) { sessionTakenOver(t, c) })
	t.Run("MQTT 5, will", func(t *testing.T) { willV5(t, c) })
	t.Run("MQTT 5, will delay", func(t *testing.T) { willDelay(t, c) })
	t.Run("MQTT 5, will cancelled", func(t *testing.T) { willCancelled(t, c) })
	t.Run("MQTT 5, drained node", func(t *testing.T) { drainedNode(t, c) })
	t.Run("MQTT 5, stopped node", func(t *testing.T) { stoppedNode(t, c) })
	t.Run("MQTT 5, will of a killed node", func(t *testing.T) { willOfKilledNode(t, c) })
	t.Run("MQTT 5, a session on a dead node", func(t *testing.T) { sessionOnDeadNode(t, c) })
}

// clientV5 is a client of package mqtt with MQTT 5. Its handlers send on channels.
type clientV5 struct {
	*mqtt.Client
	states   chan mqtt.StateChange
	messages chan mqtt.Message
}

// dialV5 connects a client to the first node that accepts it, and closes the client at the end
// of the test.
func dialV5(t *testing.T, nodes []*cluster.Node, options ...mqtt.Option) *clientV5 {
	t.Helper()
	const capacity = 1000
	c := &clientV5{states: make(chan mqtt.StateChange, capacity), messages: make(chan mqtt.Message, capacity)}
	options = append([]mqtt.Option{
		mqtt.WithProtocol(mqtt.V5), mqtt.WithBackoff(100*time.Millisecond, time.Second, 0.5),
		mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { c.states <- s }),
		mqtt.WithDefaultHandler(func(_ context.Context, m mqtt.Message) { c.messages <- m }),
	}, options...)
	var servers []string
	for _, n := range nodes {
		servers = append(servers, "mqtt://"+n.Addr())
	}
	var err error
	c.Client, err = mqtt.Dial(wait.Soon(t), servers, options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(wait.Soon(t))) })
	require.Equal(t, mqtt.StateConnected, wait.For(t, c.states, "the connection").State)
	return c
}

// withSession returns the options of a client whose session is kept.
func withSession(id string, expiry time.Duration) []mqtt.Option {
	return []mqtt.Option{mqtt.WithClientID(id), mqtt.WithSession(expiry)}
}

func (c *clientV5) sub(t *testing.T, filter string, qos mqtt.QoS) {
	t.Helper()
	require.NoError(t, c.Subscribe(wait.Soon(t), filter, qos, func(_ context.Context, m mqtt.Message) { c.messages <- m }))
}

func (c *clientV5) pub(t *testing.T, topic, payload string, options ...mqtt.PublishOption) {
	t.Helper()
	require.NoError(t, c.Publish(wait.Soon(t), topic, []byte(payload), options...))
}

func (c *clientV5) leave(t *testing.T, options ...mqtt.CloseOption) {
	t.Helper()
	require.NoError(t, c.Close(wait.Soon(t), options...))
}

func (c *clientV5) sessionPresent() bool {
	ack, _ := c.Connack()
	return ack.SessionPresent
}

// lost waits for the connection loss and returns its reason.
func (c *clientV5) lost(t *testing.T) error {
	t.Helper()
	s := wait.For(t, c.states, "the loss of the connection")
	require.Equal(t, mqtt.StateDisconnected, s.State)
	return s.Err
}

// reconnected waits until a server accepts the client again, and returns its URL.
func (c *clientV5) reconnected(t *testing.T) (server string) {
	t.Helper()
	for {
		if s := wait.For(t, c.states, "the reconnect"); s.State == mqtt.StateConnected {
			return s.Server
		}
	}
}

// expiry is the message expiry of messages with all properties.
const expiry = time.Hour

// allProperties returns the properties of a PUBLISH that a broker must forward unchanged, and a
// message expiry.
func allProperties(t *testing.T) (p mqtt.Properties) {
	t.Helper()
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	require.NoError(t, p.AddByte(mqtt.PropPayloadFormatIndicator, 1))
	require.NoError(t, p.AddInt32(mqtt.PropMessageExpiryInterval, uint32(expiry/time.Second)))
	require.NoError(t, p.AddString(mqtt.PropContentType, "text/plain; of=\"ü\""))
	require.NoError(t, p.AddString(mqtt.PropResponseTopic, "answers/to.a.dot/ü"))
	require.NoError(t, p.AddBinary(mqtt.PropCorrelationData, everyByte))
	users := [][2]string{{"b", "1"}, {"a", "2"}, {"b", "3"}, {"b", "1"}, {"x-death", "ü"}, {"A", "4"}}
	if atLeast(2, 0, 16) { // earlier versions cannot copy an empty string
		users = append(users, [2]string{"", ""})
	}
	for _, u := range users {
		require.NoError(t, p.AddStringPair(mqtt.PropUserProperty, u[0], u[1]))
	}
	return p
}

// requireProperties requires that the broker forwarded the properties unchanged, except for two:
// it adds subscription identifiers and lowers the message expiry. MQTT allows another order of
// different properties. requireProperties returns the received message expiry in seconds.
func requireProperties(t *testing.T, sent, received mqtt.Properties) (expiry int) {
	t.Helper()
	left, ok := received.Int32(mqtt.PropMessageExpiryInterval)
	require.True(t, ok, "message expiry")
	other := func(p mqtt.Properties) mqtt.Properties {
		p = slices.DeleteFunc(p.Clone(), func(p mqtt.Property) bool {
			return p.ID == mqtt.PropMessageExpiryInterval || p.ID == mqtt.PropSubscriptionIdentifier
		})
		slices.SortStableFunc(p, func(a, b mqtt.Property) int { return cmp.Compare(a.ID, b.ID) })
		return p
	}
	require.Equal(t, other(sent), other(received))
	return int(left)
}

// patience returns wait.Patience in seconds, the unit of the message expiry.
func patience() int { return int(wait.Patience / time.Second) }

func everyProperty(t *testing.T, c *cluster.Cluster) {
	sent := allProperties(t)
	for i := range c.Nodes {
		for j := range c.Nodes {
			p, s := dialV5(t, c.Nodes[i:i+1]), dialV5(t, c.Nodes[j:j+1])
			topic := fmt.Sprintf("properties/%d/%d", i, j)
			s.sub(t, topic, 1)
			for qos := range mqtt.QoS(2) {
				p.pub(t, topic, "ü", mqtt.WithQoS(qos), mqtt.WithProperties(sent))
				m := wait.For(t, s.messages, "the message")
				require.Equal(t, qos, m.QoS)
				require.Equal(t, "ü", string(m.Payload))
				left := requireProperties(t, sent, m.Properties)
				require.LessOrEqual(t, left, int(expiry.Seconds()))
				require.Greater(t, left, int(expiry.Seconds())-patience())
			}
			p.leave(t)
			s.leave(t)
		}
	}
}

// A session is created on one node, and messages for it are published on a second node. A third
// node delivers them with all properties and the remaining message expiry. An expired message
// is not delivered.
func queuedProperties(t *testing.T, c *cluster.Cluster) {
	sent := allProperties(t)
	options := withSession("queued", time.Hour)
	s := dialV5(t, c.Nodes[:1], options...)
	s.sub(t, "queued", 1)
	s.leave(t)
	p := dialV5(t, c.Nodes[1:2])
	p.pub(t, "queued", "short", mqtt.WithMessageExpiry(time.Second))
	p.pub(t, "queued", "long", mqtt.WithProperties(sent))
	time.Sleep(2 * time.Second) // the short message expires

	s = dialV5(t, c.Nodes[2:], options...)
	require.True(t, s.sessionPresent())
	m := wait.For(t, s.messages, "the message that has not expired")
	require.Equal(t, "long", string(m.Payload))
	left := requireProperties(t, sent, m.Properties)
	require.LessOrEqual(t, left, int(expiry.Seconds())-2)
	require.Greater(t, left, int(expiry.Seconds())-patience())
}

// Retained messages keep their properties, and they expire. RabbitMQ sends them without a
// subscription identifier, and sends none for a filter with a wildcard.
func retainedV5(t *testing.T, c *cluster.Cluster) {
	sent := allProperties(t)
	n := c.Nodes[:1]
	p := dialV5(t, n)
	p.pub(t, "retained/5/long", "long", mqtt.WithRetain(true), mqtt.WithProperties(sent))
	p.pub(t, "retained/5/short", "short", mqtt.WithRetain(true), mqtt.WithMessageExpiry(time.Second))
	time.Sleep(2 * time.Second) // the short message expires
	for filter, payload := range map[string]string{"retained/5/long": "long", "retained/5/short": "end", "retained/5/+": "end"} {
		s := dialV5(t, n)
		s.sub(t, filter, 1)
		p.pub(t, "retained/5/short", "end")
		m := wait.For(t, s.messages, "a message for "+filter)
		require.Equal(t, payload, string(m.Payload), filter)
		if m.Retain {
			require.LessOrEqual(t, requireProperties(t, sent, m.Properties), int(expiry.Seconds())-2)
			_, ok := m.Properties.Varint(mqtt.PropSubscriptionIdentifier)
			require.False(t, ok, "subscription identifier")
		}
		s.leave(t)
	}
}

// RabbitMQ replaces a dot in a topic by a slash. It then leaves out the subscription identifier,
// so the message reaches the default handler.
func dotsV5(t *testing.T, c *cluster.Cluster) {
	p := dialV5(t, c.Nodes[:1])
	never := func(context.Context, mqtt.Message) { t.Error("the filter's handler was called") }
	require.NoError(t, p.Subscribe(wait.Soon(t), "version/1.2", 1, never))
	p.pub(t, "version/1.2", "")
	require.Equal(t, "version/1/2", wait.For(t, p.messages, "the message").Topic)
}

// The client refuses messages and filters that exceed the limits in CONNACK.
func announcedLimits(t *testing.T, c *cluster.Cluster) {
	p := dialV5(t, c.Nodes)
	ack, _ := p.Connack()
	require.NotEmpty(t, ack.AssignedClientID)
	require.Equal(t, mqtt.QoS(1), ack.MaximumQoS)
	require.False(t, ack.SharedSubscriptions)
	require.True(t, ack.Retain && ack.WildcardSubscriptions && ack.SubscriptionIdentifiers)

	var refused *mqtt.PublishError
	require.ErrorAs(t, p.Publish(wait.Soon(t), "limits", nil, mqtt.WithQoS(2)), &refused)
	require.Equal(t, mqtt.ReasonCode(mqtt.RCQoSNotSupported), refused.Code)

	nobody := func(context.Context, mqtt.Message) {}
	var refusal *mqtt.SubscribeError
	require.ErrorAs(t, p.Subscribe(wait.Soon(t), "$share/group/limits", 1, nobody), &refusal)
	require.Equal(t, mqtt.ReasonCode(mqtt.RCSharedSubsNotSupported), refusal.Code)
	var granted mqtt.QoS
	require.NoError(t, p.Subscribe(wait.Soon(t), "limits", 2, nobody, mqtt.WithGrantedQoS(&granted)))
	require.Equal(t, mqtt.QoS(1), granted)
}

func wrongPasswordV5(t *testing.T, c *cluster.Cluster) {
	_, err := mqtt.Dial(wait.Soon(t), c.Servers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithCredentials("guest", "wrong"))
	require.ErrorIs(t, err, mosquitto.ConnackError{Code: mosquitto.ConnackCode(mqtt.RCBadUsernameOrPassword)})
}

// A session ends when its expiry has passed. A session without expiry lasts a day, as CONNACK
// says. A session without a subscription is not kept.
func sessionExpiry(t *testing.T, c *cluster.Cluster) {
	s := dialV5(t, c.Nodes[:1], withSession("expiry", time.Second)...)
	s.sub(t, "expiry", 1)
	s.leave(t)
	for pause := 2 * time.Second; ; pause *= 2 {
		time.Sleep(pause) // long enough for the session to expire on a loaded machine
		s = dialV5(t, c.Nodes[1:2], withSession("expiry", time.Second)...)
		present := s.sessionPresent()
		s.leave(t)
		if !present {
			break
		}
		require.Less(t, pause, wait.Patience, "the session did not expire")
	}

	s = dialV5(t, c.Nodes[:1], withSession("for ever", -1)...)
	ack, _ := s.Connack()
	granted, ok := ack.Properties.Int32(mqtt.PropSessionExpiryInterval)
	require.True(t, ok)
	require.Equal(t, 24*time.Hour, time.Duration(granted)*time.Second)
	s.leave(t)
	require.False(t, dialV5(t, c.Nodes[:1], withSession("for ever", -1)...).sessionPresent())
}

// When a second client uses the same client id, the broker disconnects the first client with a
// reason code, also on another node.
func sessionTakenOver(t *testing.T, c *cluster.Cluster) {
	older := dialV5(t, c.Nodes[:1], mqtt.WithClientID("taken"), mqtt.WithBackoff(time.Hour, time.Hour, 0))
	dialV5(t, c.Nodes[1:2], mqtt.WithClientID("taken"))
	require.ErrorIs(t, older.lost(t), mqtt.ReasonError{Code: mqtt.RCSessionTakenOver})
}

// withWill returns an option with a will that has all properties, and these properties.
func withWill(t *testing.T, topic string, delay time.Duration) (w mqtt.Option, sent mqtt.Properties) {
	t.Helper()
	sent = allProperties(t)
	properties := sent.Clone()
	if delay > 0 {
		require.NoError(t, properties.AddInt32(mqtt.PropWillDelayInterval, uint32(delay/time.Second)))
	}
	return mqtt.WithWill(mqtt.Will{Topic: topic, Payload: []byte("gone"), QoS: 1, Properties: properties}), sent
}

// dialWithWill connects a subscriber of a topic to the first node, and a client with a will on
// this topic to the second node. After a loss the client connects to the third node.
func dialWithWill(t *testing.T, c *cluster.Cluster, topic string) (subscriber, client *clientV5, sent mqtt.Properties) {
	t.Helper()
	subscriber = dialV5(t, c.Nodes[:1])
	subscriber.sub(t, topic, 1)
	option, sent := withWill(t, topic, 0)
	return subscriber, dialV5(t, c.Nodes[1:], option), sent
}

func willV5(t *testing.T, c *cluster.Cluster) {
	s := dialV5(t, c.Nodes[:1])
	s.sub(t, "will/5", 1)
	option, sent := withWill(t, "will/5", 0)
	w := dialV5(t, c.Nodes[1:2], option)
	w.leave(t, mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg))
	m := wait.For(t, s.messages, "the will")
	require.Equal(t, "gone", string(m.Payload))
	require.LessOrEqual(t, requireProperties(t, sent, m.Properties), int(expiry.Seconds()))
}

// A delayed will is published when its delay has passed, or when the session ends before. In the
// second case its message expiry is longer by the rest of the delay.
func willDelay(t *testing.T, c *cluster.Cluster) {
	s := dialV5(t, c.Nodes[:1])
	s.sub(t, "will/delay/#", 1)

	const delay = 2 * time.Second
	option, sent := withWill(t, "will/delay/over", delay)
	w := dialV5(t, c.Nodes[1:2], append(withSession("delay", time.Hour), option)...)
	started := time.Now()
	w.leave(t, mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg))
	m := wait.For(t, s.messages, "the will after its delay")
	require.GreaterOrEqual(t, time.Since(started), delay)
	require.Equal(t, "will/delay/over", m.Topic)
	require.LessOrEqual(t, requireProperties(t, sent, m.Properties), int(expiry.Seconds()))

	option, sent = withWill(t, "will/delay/session", time.Hour)
	w = dialV5(t, c.Nodes[1:2], append(withSession("delay", time.Second), option)...)
	w.leave(t, mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg))
	m = wait.For(t, s.messages, "the will after its session")
	require.Equal(t, "will/delay/session", m.Topic)
	require.Greater(t, requireProperties(t, sent, m.Properties), int(expiry.Seconds()))
}

// A client that reconnects before the delay has passed cancels its will, also on another node. If
// it reconnects before the broker has handled its DISCONNECT, the will is published later.
func willCancelled(t *testing.T, c *cluster.Cluster) {
	const delay = 5 * time.Second
	s := dialV5(t, c.Nodes[:1])
	s.sub(t, "back", 1)
	option, _ := withWill(t, "back", delay)
	session := withSession("back", time.Hour)
	for pause := delay / 10; ; pause *= 2 {
		w := dialV5(t, c.Nodes[1:2], append(session, option)...)
		w.leave(t, mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg))
		time.Sleep(pause) // usually long enough for the broker to handle DISCONNECT
		dialV5(t, c.Nodes[2:], session...).leave(t)
		time.Sleep(delay)
		s.pub(t, "back", "no will")
		if string(wait.For(t, s.messages, "a message").Payload) == "no will" {
			return
		}
		require.Equal(t, "no will", string(wait.For(t, s.messages, "the message after the will").Payload))
		require.Less(t, pause, delay/2, "the will is published always")
	}
}

// A drained node disconnects its clients with a reason code and publishes their wills. The client
// continues on another node. The node accepts the client again after the maintenance.
func drainedNode(t *testing.T, c *cluster.Cluster) {
	s, w, sent := dialWithWill(t, c, "drained")
	c.Nodes[1].Drain()
	require.ErrorIs(t, w.lost(t), mqtt.ReasonError{Code: mqtt.RCServerShuttingDown})
	require.Equal(t, "mqtt://"+c.Nodes[2].Addr(), w.reconnected(t))
	m := wait.For(t, s.messages, "the will")
	require.Equal(t, "gone", string(m.Payload))
	requireProperties(t, sent, m.Properties)
	w.pub(t, "drained", "on another node")
	require.Equal(t, "on another node", string(wait.For(t, s.messages, "the message").Payload))

	c.Nodes[1].Revive()
	c.WaitReady()
	dialV5(t, c.Nodes[1:2]).pub(t, "drained", "revived")
	require.Equal(t, "revived", string(wait.For(t, s.messages, "the message").Payload))
}

// A node that gets SIGTERM closes its connections without DISCONNECT and publishes the wills.
func stoppedNode(t *testing.T, c *cluster.Cluster) {
	s, w, _ := dialWithWill(t, c, "stopped")
	c.Nodes[1].Stop()
	require.ErrorIs(t, w.lost(t), mosquitto.ErrConnLost)
	require.Equal(t, "mqtt://"+c.Nodes[2].Addr(), w.reconnected(t))
	require.Equal(t, "gone", string(wait.For(t, s.messages, "the will").Payload))
	c.Nodes[1].Restart()
	c.WaitReady()
}

// A killed node loses the wills of its clients.
func willOfKilledNode(t *testing.T, c *cluster.Cluster) {
	s, w, _ := dialWithWill(t, c, "killed")
	c.Nodes[1].Kill()
	require.ErrorIs(t, w.lost(t), mosquitto.ErrConnLost)
	c.Nodes[1].Restart()
	c.WaitReady()
	s.pub(t, "killed", "no will")
	require.Equal(t, "no will", string(wait.For(t, s.messages, "a message").Payload))
}

// By default a session is a queue on the node where it was created. While that node is down, the
// broker refuses messages for the session. MQTT 3.1.1 has no refusal: the broker does not
// acknowledge the message, and delivers it when its publisher reconnects later. The client of
// the session gets no CONNACK from other nodes.
func sessionOnDeadNode(t *testing.T, c *cluster.Cluster) {
	options := withSession("dead", time.Hour)
	s := dialV5(t, c.Nodes[1:2], options...)
	s.sub(t, "dead", 1)
	s.leave(t)
	c.Nodes[1].Kill()
	p := dialV5(t, c.Nodes[:1])
	var refused *mqtt.PublishError
	require.ErrorAs(t, p.Publish(wait.Soon(t), "dead", []byte("refused")), &refused)
	require.Equal(t, mqtt.ReasonCode(mqtt.RCImplementationSpecific), refused.Code)
	older := dial(t, "older", c.Servers()[:1])
	token := older.PublishAsync(wait.Soon(t), "dead", []byte("not acknowledged"))
	require.NoError(t, older.Publish(wait.Soon(t), "alive", nil))
	wait.None(t, token.Done(), "acknowledgement")
	_, err := mqtt.Dial(wait.Soon(t), c.Servers()[:1], append(options, mqtt.WithProtocol(mqtt.V5))...)
	require.ErrorIs(t, err, mqtt.ErrConnectTimeout)

	c.Nodes[1].Restart()
	c.WaitReady()
	wait.None(t, token.Done(), "acknowledgement")
	require.NoError(t, older.Reconnect(wait.Soon(t)))
	require.NoError(t, token.Wait(wait.Soon(t)))
	s = dialV5(t, c.Nodes[1:2], options...)
	require.True(t, s.sessionPresent())
	require.Equal(t, "not acknowledged", string(wait.For(t, s.messages, "the message").Payload))
	p.pub(t, "dead", "later")
	require.Equal(t, "later", string(wait.For(t, s.messages, "the message").Payload))
}
