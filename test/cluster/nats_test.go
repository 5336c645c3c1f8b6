//go:build cluster

package cluster_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

func TestNATS(t *testing.T) {
	c := cluster.StartNATS(t)
	require.Regexp(t, `^2\.9\.`, c.Version, "the limits below are those of NATS 2.9")
	n := c.Nodes[0]
	conformance(t, c)
	t.Run("MQTT 3.1", func(t *testing.T) { natsMQTT31(t, n) })
	t.Run("MQTT 5", func(t *testing.T) { mqtt5Refused(t, n) })
	t.Run("QoS 2", func(t *testing.T) { natsQoS2(t, n) })
	t.Run("shared subscription", func(t *testing.T) { share(t, n) })
	t.Run("dot in a topic", func(t *testing.T) { natsDots(t, n) })
	t.Run("retained everywhere", func(t *testing.T) { natsRetained(t, c) })
	t.Run("package mqtt, MQTT 5", func(t *testing.T) { dialMQTT5(t, c, natsOfMQTT5()) })
	t.Run("package mqtt, QoS 2", func(t *testing.T) { grantedQoS(t, c); publishQoS2(t, c, mosquitto.ErrConnLost) })
	t.Run("package mqtt, refused filter", func(t *testing.T) { refusedFilter(t, c) })
}

// natsOfMQTT5 returns the library's error for the reply of NATS to a CONNECT of MQTT 5.
func natsOfMQTT5() error {
	if atLeast(2, 0, 21) {
		return mosquitto.ErrMalformedPacket
	}
	return mosquitto.ConnackError{Code: mosquitto.ConnackCode(mosquitto.RCUnsupportedProtocolVersion)}
}

// NATS closes the connection without a reply.
func natsMQTT31(t *testing.T, n *cluster.Node) {
	c := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV31))
	neverAccepted(t, c, n, mosquitto.ErrConnLost)
}

// NATS closes the connection when it receives a QoS 2 message, and does not deliver the message.
func natsQoS2(t *testing.T, n *cluster.Node) {
	s := qos2(t, n, mosquitto.ErrConnLost)
	s.pub(t, "qos2", "the only one", 1, false)
	require.Equal(t, "the only one", string(wait.For(t, s.message, "OnMessage").Payload))
}

// A dot separates the parts of NATS subjects. NATS refuses a filter with a dot, and closes the
// connection when it receives a message whose topic has a dot.
func natsDots(t *testing.T, n *cluster.Node) {
	c := dots(t, n)
	require.Equal(t, []mosquitto.ReasonCode{0x80}, wait.For(t, c.granted, "OnSubscribe"))
	_, err := c.Publish("version/1.2", nil, 0, false)
	require.NoError(t, err)
	require.ErrorIs(t, wait.For(t, c.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
}

// A retained message arrives at every node shortly after its acknowledgement.
func natsRetained(t *testing.T, c *cluster.Cluster) {
	connected(t, c.Nodes[0], "", true).pub(t, "retained/all", "kept", 1, true)
	for _, n := range c.Nodes {
		wait.Until(t, "the retained message on "+n.Name, func() bool { return hasRetained(t, n, "retained/all") })
	}
}
