//go:build cluster

package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// release is a release series of RabbitMQ.
type release struct {
	prefix    string // prefix of the version numbers
	protocols []mqtt.Protocol
	own       func(*testing.T, *cluster.Cluster) // tests only for this series

	// A publisher reconnects after this time without an acknowledgement, or never if it is 0. Once
	// a node did not acknowledge a message that arrived during the leader election of a queue,
	// although the connection was not lost.
	resend time.Duration
}

var releases = []release{
	{"3.10.", []mqtt.Protocol{mqtt.V311}, rabbitMQ310, 0},
	{"4.", []mqtt.Protocol{mqtt.V311, mqtt.V5}, rabbitMQ4, 15 * time.Second},
}

func releaseOf(t *testing.T, c *cluster.Cluster) release {
	t.Helper()
	known := func(r release) bool { return strings.HasPrefix(c.Version, r.prefix) }
	i := slices.IndexFunc(releases, known)
	require.NotEqual(t, -1, i, "the limits of RabbitMQ %s are not known", c.Version)
	t.Log("RabbitMQ", c.Version)
	return releases[i]
}

func TestRabbitMQ(t *testing.T) {
	c := cluster.StartRabbitMQ(t)
	r := releaseOf(t, c)
	n := c.Nodes[0]
	conformance(t, c)
	t.Run("MQTT 3.1", func(t *testing.T) { rabbitMQTT31(t, n) })
	t.Run("QoS 2", func(t *testing.T) { rabbitQoS2(t, n) })
	t.Run("shared subscription", func(t *testing.T) { share(t, n) })
	t.Run("dot in a topic", func(t *testing.T) { rabbitDots(t, n) })
	t.Run("retained on one node", func(t *testing.T) { rabbitRetained(t, c) })
	t.Run("user name and password", func(t *testing.T) { rabbitPassword(t, n) })
	t.Run("package mqtt, QoS 2", func(t *testing.T) { grantedQoS(t, c); publishQoS2(t, c, mosquitto.ErrProtocol) })
	t.Run("package mqtt, password", func(t *testing.T) { wrongPassword(t, c) })
	r.own(t, c)
}

func rabbitMQ310(t *testing.T, c *cluster.Cluster) {
	t.Run("MQTT 5", func(t *testing.T) { mqtt5Lost(t, c.Nodes[0], mosquitto.ErrConnLost) })
	t.Run("package mqtt, MQTT 5", func(t *testing.T) { dialMQTT5(t, c, mosquitto.ErrConnLost) })
	t.Run("a session on a dead node", func(t *testing.T) { rabbitClassicSession(t, c) })
}

func rabbitMQTT31(t *testing.T, n *cluster.Node) {
	c := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV31))
	c.run(t, n)
	require.NoError(t, wait.For(t, c.connect, "OnConnect").Err())
}

// RabbitMQ delivers a QoS 2 message and replies with PUBACK, which violates the protocol. The
// message is delivered each time that the library sends it again.
func rabbitQoS2(t *testing.T, n *cluster.Node) {
	s := qos2(t, n, mosquitto.ErrProtocol)
	for range 3 {
		require.Equal(t, "exactly once", string(wait.For(t, s.message, "OnMessage").Payload))
	}
}

// A dot separates the parts of AMQP names, so RabbitMQ replaces it by a slash.
func rabbitDots(t *testing.T, n *cluster.Node) {
	c := dots(t, n)
	require.Equal(t, []mosquitto.ReasonCode{1}, wait.For(t, c.granted, "OnSubscribe"))
	c.pub(t, "version/1.2", "", 1, false)
	require.Equal(t, "version/1/2", wait.For(t, c.message, "OnMessage").Topic)
}

// A retained message is available only on the node where it was published.
func rabbitRetained(t *testing.T, c *cluster.Cluster) {
	connected(t, c.Nodes[0], "", true).pub(t, "retained/all", "kept", 1, true)
	require.True(t, hasRetained(t, c.Nodes[0], "retained/all"))
	for _, n := range c.Nodes[1:] {
		require.False(t, hasRetained(t, n, "retained/all"), n.Name)
	}
}

func rabbitPassword(t *testing.T, n *cluster.Node) {
	right := newClient(t, "", true)
	require.NoError(t, right.UsernamePwSet("guest", "guest"))
	right.run(t, n)
	require.NoError(t, wait.For(t, right.connect, "OnConnect").Err())

	wrong := newClient(t, "", true)
	require.NoError(t, wrong.UsernamePwSet("guest", "wrong"))
	wrong.run(t, n)
	refused := mosquitto.ConnackRefusedBadUsernamePasswd
	require.Equal(t, refused, wait.For(t, wrong.connect, "OnConnect").Code)
	require.ErrorIs(t, wait.For(t, wrong.disconnect, "OnDisconnect").Err, mosquitto.ErrConnRefused)
	require.Equal(t, mosquitto.ConnackError{Code: refused}, wait.For(t, wrong.ended, "the end of Run"))
}

// A session is a queue. Unless its type is quorum, it exists only on the node where it was
// created. While that node is down, messages for the session are acknowledged and lost, and the
// other nodes do not accept its client. The failover tests therefore set mqtt.durable_queue_type.
func rabbitClassicSession(t *testing.T, c *cluster.Cluster) {
	s := connected(t, c.Nodes[0], "classic", false)
	s.sub(t, "classic", 1)
	s.leave(t)
	c.Nodes[0].Kill()

	p := connected(t, c.Nodes[1], "", true)
	p.pub(t, "classic", "acknowledged, and lost", 1, false)
	s = newClient(t, "classic", false)
	s.run(t, c.Nodes[1])
	require.NoError(t, wait.For(t, s.connect, "OnConnect").Err())
	_, err := s.Subscribe("classic", 1)
	require.NoError(t, err)
	require.ErrorIs(t, wait.For(t, s.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
	require.NoError(t, s.Close())

	c.Nodes[0].Restart()
	c.WaitReady()
	s = newClient(t, "classic", false)
	s.run(t, c.Nodes[0])
	ack := wait.For(t, s.connect, "OnConnect")
	require.NoError(t, ack.Err())
	require.True(t, ack.SessionPresent)
	p.pub(t, "classic", "later", 1, false)
	require.Equal(t, "later", string(wait.For(t, s.message, "OnMessage").Payload))
}
