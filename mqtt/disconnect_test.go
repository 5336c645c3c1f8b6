//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestClose_DisconnectHasReasonAndText(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	conn := p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	closed := inBackground(func() error {
		return c.Close(wait.Soon(t), mqtt.WithDisconnectReason(mqtt.RCAdministrativeAction),
			mqtt.WithDisconnectProperties(mqtt.Properties{{ID: mqtt.PropReasonString, Text: "bye"}}))
	})
	require.Equal(t, append([]byte{byte(mqtt.RCAdministrativeAction), 6, byte(mqtt.PropReasonString), 0, 3}, "bye"...), conn.Expect(fakebroker.DISCONNECT).Body)
	conn.Close()
	require.NoError(t, wait.For(t, closed, "Close"))
}

// With reason code 0x04 the broker publishes the will although the client sends DISCONNECT.
func TestClose_ReasonCode4PublishesTheWill(t *testing.T) {
	t.Parallel()
	b := plain(t)
	h, got := collect()
	dial(t, b.Port, mqtt.WithSubscription("will", 1, h))
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithWill(mqtt.Will{Topic: "will", Payload: []byte("over")}))
	require.NoError(t, c.Close(wait.Soon(t), mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg)))
	require.Equal(t, "over", string(wait.For(t, got, "the will").Payload))
}

func TestClose_InvalidReasonCodeIsAnError(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	require.ErrorContains(t, c.Close(wait.Soon(t), mqtt.WithDisconnectReason(256)), "WithDisconnectReason")
	require.Error(t, c.Close(wait.Soon(t), mqtt.WithDisconnectProperties(mqtt.Properties{{ID: mqtt.PropTopicAlias, Number: 1}})))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "the client still works")
}

// Reconnect calls the credentials function again. Subscriptions and queued messages are kept.
func TestReconnect_ConnectsAgainWithNewCredentials(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Users: map[string]string{"first": "1", "second": "2"}})
	var user atomic.Value
	user.Store([2]string{"first", "1"})
	asked := make(chan string, 10)
	option, changes := watchStates()
	h, got := collect()
	c := dial(t, b.Port, option, mqtt.WithSubscription("a", 1, h), mqtt.WithCredentialsFunc(func(context.Context) (string, string, error) {
		u := user.Load().([2]string)
		asked <- u[0]
		return u[0], u[1], nil
	}))
	require.Equal(t, "first", wait.For(t, asked, "the first call of the credentials function"))
	awaitState(t, changes, mqtt.StateConnected)
	user.Store([2]string{"second", "2"})
	for n := range 3 {
		require.NoError(t, c.Reconnect(wait.Soon(t)))
		require.Equal(t, "second", wait.For(t, asked, "the next call of the credentials function"))
		require.Zero(t, awaitFailure(t, changes).Attempt)
		awaitState(t, changes, mqtt.StateConnected)
		require.NoError(t, c.Publish(wait.Soon(t), "a", fmt.Append(nil, n)))
		awaitNumbers(t, got, n)
	}
	require.EqualValues(t, 4, c.Stats().Connects)
}

// Without a connection Reconnect starts the next attempt at once.
func TestReconnect_EndsABackoff(t *testing.T) {
	t.Parallel()
	b := plain(t)
	b.Stop()
	option, changes := watchStates()
	c := dial(t, b.Port, mqtt.WithBackgroundConnect(), mqtt.WithBackoff(time.Hour, time.Hour, 0), option)
	awaitFailure(t, changes)
	b.Restart()
	require.NoError(t, c.Reconnect(wait.Soon(t)))
	require.Equal(t, mqtt.StateConnected, c.State())
}

func TestReconnect_EndsWithItsContextAndWithTheClient(t *testing.T) {
	t.Parallel()
	c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect())
	require.ErrorIs(t, c.Reconnect(context50ms(t)), context.DeadlineExceeded)
	waiting := inBackground(func() error { return c.Reconnect(context.Background()) })
	closeNow(t, c)
	require.ErrorIs(t, wait.For(t, waiting, "Reconnect"), mqtt.ErrClosed)
	require.ErrorIs(t, c.Reconnect(context.Background()), mqtt.ErrClosed)
}
