//go:build cluster

package cluster_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// What the clusters do not take, and what a client sees of that.

// A broker without MQTT 5 answers in the manner of MQTT 3.1.1, with code 1.
// Before 2.0.21 the library reports that as a refusal, which ends Run; later it
// takes the answer for malformed, and Run tries again.
func mqtt5(t *testing.T, n *cluster.Node) {
	c := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	c.run(t, n)
	d := await(t, c.disconnect, "OnDisconnect")
	if atLeast(2, 0, 21) {
		require.ErrorIs(t, d.Err, mosquitto.ErrMalformedPacket)
		require.ErrorIs(t, await(t, c.disconnect, "OnDisconnect of the retry").Err, mosquitto.ErrMalformedPacket)
		require.Empty(t, c.connect, "OnConnect")
		return
	}
	refused := mosquitto.ConnackCode(mosquitto.RCUnsupportedProtocolVersion)
	require.ErrorIs(t, d.Err, mosquitto.ErrProtocol)
	require.Equal(t, refused, await(t, c.connect, "OnConnect").Code)
	require.Equal(t, mosquitto.ConnackError{Code: refused}, await(t, c.ended, "the end of Run"))
}
