//go:build cluster

package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// What a user of package mqtt sees of the limits of the clusters.

// oneRound tries each node once.
func oneRound(t *testing.T, c *cluster.Cluster, options ...mqtt.Option) error {
	t.Helper()
	ctx := wait.Soon(t)
	client, err := mqtt.Dial(ctx, c.Servers(), options...)
	if err == nil {
		err = client.Close(ctx)
	}
	return err
}

// Dial tells what a broker made of MQTT 5; with 3.1.1 allowed as well it
// connects.
func dialMQTT5(t *testing.T, c *cluster.Cluster, refusal error) {
	require.ErrorIs(t, oneRound(t, c, mqtt.WithProtocol(mqtt.V5)), refusal)
	require.NoError(t, oneRound(t, c, mqtt.WithProtocol(mqtt.V5, mqtt.V311)))
}

// Subscribe tells that QoS 2 became QoS 1.
func grantedQoS(t *testing.T, c *cluster.Cluster) {
	var granted mqtt.QoS
	nobody := func(context.Context, mqtt.Message) {}
	require.NoError(t, dial(t, "limits", c.Servers()).Subscribe(wait.Soon(t), "granted", 2, nobody, mqtt.WithGrantedQoS(&granted)))
	require.Equal(t, mqtt.QoS(1), granted)
}

// A QoS 2 message is never acknowledged and costs the connection again and again, as
// the states say. It is given up, and Close has nothing left.
func publishQoS2(t *testing.T, c *cluster.Cluster, lost error) {
	ctx := wait.Soon(t)
	attempts := 3 * len(c.Servers())
	states := make(chan mqtt.StateChange, 1000)
	client, err := mqtt.Dial(ctx, c.Servers(), mqtt.WithBackoff(100*time.Millisecond, time.Second, 0.5),
		mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { states <- s }))
	require.NoError(t, err)
	token := client.PublishAsync(ctx, "granted", nil, mqtt.WithQoS(2))
	for range attempts {
		require.Equal(t, mqtt.StateConnected, wait.For(t, states, "the connection").State)
		s := wait.For(t, states, "the loss")
		require.Equal(t, mqtt.StateDisconnected, s.State)
		require.ErrorIs(t, s.Err, lost)
	}
	var given *mqtt.DeliveryError
	require.ErrorAs(t, token.Wait(ctx), &given)
	require.Equal(t, attempts, given.Attempts)
	require.NoError(t, client.Close(ctx))
}

// A refused filter is an error that names it.
func refusedFilter(t *testing.T, c *cluster.Cluster) {
	err := dial(t, "limits", c.Servers()).Subscribe(wait.Soon(t), "version/1.2", 1, func(context.Context, mqtt.Message) {})
	var refusal *mqtt.SubscribeError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, mqtt.SubscribeError{Filter: "version/1.2", Code: 0x80}, *refusal)
}

// A wrong password ends Dial, without another try.
func wrongPassword(t *testing.T, c *cluster.Cluster) {
	_, err := mqtt.Dial(wait.Soon(t), c.Servers(), mqtt.WithCredentials("guest", "wrong"))
	require.ErrorIs(t, err, mosquitto.ConnackError{Code: mosquitto.ConnackRefusedBadUsernamePasswd})
	require.NoError(t, oneRound(t, c, mqtt.WithCredentials("guest", "guest")))
}
