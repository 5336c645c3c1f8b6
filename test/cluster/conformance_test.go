//go:build cluster

package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// conformance tests, with a client of each node, what both clusters do as MQTT specifies.
func conformance(t *testing.T, c *cluster.Cluster) {
	t.Run("from every node to every node", func(t *testing.T) { everyWay(t, c) })
	t.Run("retained", func(t *testing.T) { retained(t, c.Nodes[0]) })
	t.Run("session", func(t *testing.T) { session(t, c) })
	t.Run("will", func(t *testing.T) { will(t, c) })
	t.Run("a paused node", func(t *testing.T) { paused(t, c) })
}

func everyWay(t *testing.T, c *cluster.Cluster) {
	for i, from := range c.Nodes {
		for j, to := range c.Nodes {
			for qos := range mosquitto.QoS(2) {
				topic := fmt.Sprintf("way/%d/%d/%d", i, j, qos)
				s := connected(t, to, "", true)
				s.sub(t, topic, qos)
				p := connected(t, from, "", true)
				for n := range 10 {
					p.pub(t, topic, fmt.Sprint(n), qos, false)
				}
				for n := range 10 {
					m := wait.For(t, s.message, "OnMessage")
					require.Equal(t, topic, m.Topic)
					require.Equal(t, fmt.Sprint(n), string(m.Payload))
					require.Equal(t, qos, m.QoS)
				}
				p.leave(t)
				s.leave(t)
			}
		}
	}
}

// A retained message is available at once on the node where it was published.
func retained(t *testing.T, n *cluster.Node) {
	p := connected(t, n, "", true)
	p.pub(t, "retained/one", "kept", 1, true)
	s := connected(t, n, "", true)
	s.sub(t, "retained/one", 1)
	m := wait.For(t, s.message, "the retained message")
	require.Equal(t, "kept", string(m.Payload))
	require.True(t, m.Retain)
}

// hasRetained reports whether a node has a retained message. The node would send the retained
// message before a message that is published after the subscription.
func hasRetained(t *testing.T, n *cluster.Node, topic string) bool {
	c := connected(t, n, "", true)
	c.sub(t, topic, 1)
	c.pub(t, topic, "live", 1, false)
	m := wait.For(t, c.message, "OnMessage")
	c.leave(t)
	return m.Retain
}

// A session that was created on one node is available on another node, with the messages that
// were queued in the meantime.
func session(t *testing.T, c *cluster.Cluster) {
	s := connected(t, c.Nodes[2], "session", false)
	s.sub(t, "session", 1)
	s.leave(t)
	p := connected(t, c.Nodes[0], "", true)
	p.pub(t, "session", "while you were out", 1, false)

	s = newClient(t, "session", false)
	s.run(t, c.Nodes[1])
	ack := wait.For(t, s.connect, "OnConnect")
	require.NoError(t, ack.Err())
	require.True(t, ack.SessionPresent)
	require.Equal(t, "while you were out", string(wait.For(t, s.message, "the queued message").Payload))
	s.leave(t)
	connected(t, c.Nodes[1], "session", true).leave(t) // removes the session
}

func will(t *testing.T, c *cluster.Cluster) {
	s := connected(t, c.Nodes[2], "", true)
	s.sub(t, "will", 1)
	w := newClient(t, "", true)
	require.NoError(t, w.WillSet("will", []byte("gone"), 1, false))
	w.run(t, c.Nodes[0])
	require.NoError(t, wait.For(t, w.connect, "OnConnect").Err())
	w.cut(t)
	require.Equal(t, "gone", string(wait.For(t, s.message, "the will").Payload))
	require.NoError(t, wait.For(t, w.connect, "OnConnect after the cut").Err())
}

// The keepalive detects a paused node. When the node continues, the client reconnects, and its
// pending message arrives.
func paused(t *testing.T, c *cluster.Cluster) {
	s := connected(t, c.Nodes[1], "", true)
	s.sub(t, "paused", 1)
	p := newClient(t, "paused", false)
	p.keepalive = 5 * time.Second
	p.run(t, c.Nodes[0])
	require.NoError(t, wait.For(t, p.connect, "OnConnect").Err())
	c.Nodes[0].Pause()
	defer c.Nodes[0].Resume()
	mid, err := p.Publish("paused", []byte("patience"), 1, false)
	require.NoError(t, err)
	require.ErrorIs(t, wait.For(t, p.disconnect, "OnDisconnect").Err, mosquitto.ErrKeepalive)
	c.Nodes[0].Resume()
	require.NoError(t, wait.For(t, p.connect, "OnConnect after the pause").Err())
	require.Equal(t, mid, wait.For(t, p.publish, "OnPublish"))
	require.Equal(t, "patience", string(wait.For(t, s.message, "the message").Payload))
}
