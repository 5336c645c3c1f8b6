//go:build cluster

package cluster_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// This file tests how a client of the root package sees what the clusters refuse.

// The broker refuses MQTT 5 with return code 1 of MQTT 3.1.1. Libraries before 2.0.21 report a
// refusal, which ends Run. Later libraries report a malformed packet, and Run reconnects.
func mqtt5Refused(t *testing.T, n *cluster.Node) {
	if atLeast(2, 0, 21) {
		mqtt5Lost(t, n, mosquitto.ErrMalformedPacket)
		return
	}
	c := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	c.run(t, n)
	refused := mosquitto.ConnackCode(mosquitto.RCUnsupportedProtocolVersion)
	require.Equal(t, refused, wait.For(t, c.connect, "OnConnect").Code)
	require.ErrorIs(t, wait.For(t, c.disconnect, "OnDisconnect").Err, mosquitto.ErrProtocol)
	require.Equal(t, mosquitto.ConnackError{Code: refused}, wait.For(t, c.ended, "the end of Run"))
}

// The broker closes the connection, or sends a reply that the library does not understand. Run
// retries for ever.
func mqtt5Lost(t *testing.T, n *cluster.Node, lost mosquitto.Error) {
	c := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	neverAccepted(t, c, n, lost)
}

func neverAccepted(t *testing.T, c *client, n *cluster.Node, lost mosquitto.Error) {
	c.run(t, n)
	for range 2 {
		require.ErrorIs(t, wait.For(t, c.disconnect, "OnDisconnect").Err, lost)
	}
	require.Empty(t, c.connect, "OnConnect")
}

// The broker grants QoS 1 for a QoS 2 subscription. It closes the connection for a QoS 2 message,
// each time that the library sends it.
func qos2(t *testing.T, n *cluster.Node, lost mosquitto.Error) (subscriber *client) {
	s := connected(t, n, "", true)
	_, err := s.Subscribe("qos2", 2)
	require.NoError(t, err)
	require.Equal(t, []mosquitto.ReasonCode{1}, wait.For(t, s.granted, "OnSubscribe"))
	p := connected(t, n, "", true)
	_, err = p.Publish("qos2", []byte("exactly once"), 2, false)
	require.NoError(t, err)
	for range 3 {
		require.ErrorIs(t, wait.For(t, p.disconnect, "OnDisconnect").Err, lost)
		require.NoError(t, wait.For(t, p.connect, "OnConnect").Err())
	}
	require.Empty(t, p.publish, "OnPublish: it was not acknowledged")
	require.NoError(t, p.Close())
	return s
}

// The broker grants a shared subscription, but treats it as an ordinary filter: no member of the
// group receives messages.
func share(t *testing.T, n *cluster.Node) {
	s := connected(t, n, "", true)
	s.sub(t, "$share/group/share", 1)
	s.sub(t, "end", 1)
	s.pub(t, "share", "for one of the group", 1, false)
	s.pub(t, "end", "", 1, false)
	require.Equal(t, "end", wait.For(t, s.message, "OnMessage").Topic)
}

// dots tests topics and filters with dots, which some brokers change or refuse.
func dots(t *testing.T, n *cluster.Node) *client {
	s := connected(t, n, "", true)
	_, err := s.Subscribe("version/1.2", 1)
	require.NoError(t, err)
	return s
}
