//go:build cluster

package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// This file tests how package mqtt reports the limits of the clusters.

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

// Dial returns the error of a broker that does not support MQTT 5. With MQTT 3.1.1 as a fallback
// it connects.
func dialMQTT5(t *testing.T, c *cluster.Cluster, refusal error) {
	require.ErrorIs(t, oneRound(t, c, mqtt.WithProtocol(mqtt.V5)), refusal)
	require.NoError(t, oneRound(t, c, mqtt.WithProtocol(mqtt.V5, mqtt.V311)))
}

// Subscribe reports that the broker granted QoS 1 instead of QoS 2.
func grantedQoS(t *testing.T, c *cluster.Cluster) {
	var granted mqtt.QoS
	nobody := func(context.Context, mqtt.Message) {}
	require.NoError(t, dial(t, "limits", c.Servers()).Subscribe(wait.Soon(t), "granted", 2, nobody, mqtt.WithGrantedQoS(&granted)))
	require.Equal(t, mqtt.QoS(1), granted)
}

// The broker never acknowledges a QoS 2 message and closes the connection each time. The state
// handler reports the losses. The message fails after some attempts, and Close returns nil.
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

// The error of a refused filter names the filter.
func refusedFilter(t *testing.T, c *cluster.Cluster) {
	err := dial(t, "limits", c.Servers()).Subscribe(wait.Soon(t), "version/1.2", 1, func(context.Context, mqtt.Message) {})
	var refusal *mqtt.SubscribeError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, mqtt.SubscribeError{Filter: "version/1.2", Code: 0x80}, *refusal)
}

// Dial returns the refusal of a wrong password, and does not retry.
func wrongPassword(t *testing.T, c *cluster.Cluster) {
	_, err := mqtt.Dial(wait.Soon(t), c.Servers(), mqtt.WithCredentials("guest", "wrong"))
	require.ErrorIs(t, err, mosquitto.ConnackError{Code: mosquitto.ConnackRefusedBadUsernamePasswd})
	require.NoError(t, oneRound(t, c, mqtt.WithCredentials("guest", "guest")))
}
