//go:build cgo

package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// text returns a property with a string value.
func text(id mqtt.PropertyID, value string) fakebroker.Property {
	return append([]byte{byte(id), byte(len(value) >> 8), byte(len(value))}, value...)
}

func TestConnack_IsInTheStateChangeAndInTheClient(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	option, changes := watchStates()
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect(), option)
	_, connected := c.Connack()
	require.False(t, connected)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V5.Connack(false, 0, text(mqtt.PropAssignedClientIdentifier, "chosen"), text(mqtt.PropReasonString, "welcome"),
		text(mqtt.PropResponseInformation, "answers/7"), fakebroker.RetainAvailable(0), fakebroker.MaximumQoS(1),
		fakebroker.Property{byte(mqtt.PropServerKeepAlive), 0, 30}, fakebroker.Property{byte(mqtt.PropReceiveMaximum), 0, 7}))
	change := awaitState(t, changes, mqtt.StateConnected)
	k, connected := c.Connack()
	require.True(t, connected)
	require.Equal(t, k, *change.Connack)
	k.Properties = nil
	require.Equal(t, mqtt.Connack{
		AssignedClientID: "chosen", ReasonString: "welcome", ResponseInformation: "answers/7", KeepAlive: 30 * time.Second,
		MaximumQoS: 1, ReceiveMaximum: 7, WildcardSubscriptions: true, SharedSubscriptions: true, SubscriptionIdentifiers: true,
	}, k)
	conn.Close()
	require.Nil(t, awaitFailure(t, changes).Connack)
	_, connected = c.Connack()
	require.False(t, connected)
}

func TestConnack_IsInTheErrorOfARefusal(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		c.write(c.version.Connack(false, byte(mqtt.RCUseAnotherServer), text(mqtt.PropServerReference, "elsewhere:1")))
		return true
	})
	_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithProtocol(mqtt.V5))
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "elsewhere:1", failure.Connack.ServerReference)
	require.EqualValues(t, mqtt.RCUseAnotherServer, failure.Connack.Code)
}

func TestRedirect_ServerReferenceIsFollowed(t *testing.T) {
	t.Parallel()
	to := startFakeBroker(t, nil)
	from := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		c.write(c.version.Connack(false, byte(mqtt.RCServerMoved), text(mqtt.PropServerReference, url(to.port)[len("mqtt://"):]+" another:1")))
		return true
	})
	option, changes := watchStates()
	c := dial(t, from.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithRedirect(), option)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.Equal(t, url(to.port), awaitState(t, changes, mqtt.StateConnected).Server)
	require.Equal(t, 1, from.connections())
}

// Two brokers redirect the client to each other.
func TestRedirect_EndsAfterFiveInARow(t *testing.T) {
	t.Parallel()
	var brokers [2]*fakeBroker
	for i := range brokers {
		brokers[i] = startFakeBroker(t, func(c *brokerConn, p packet) bool {
			c.write(c.version.Connack(false, byte(mqtt.RCServerMoved), text(mqtt.PropServerReference, url(brokers[1-i].port)[len("mqtt://"):])))
			return true
		})
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{url(brokers[0].port)}, mqtt.WithProtocol(mqtt.V5), mqtt.WithRedirect())
	require.ErrorIs(t, err, mqtt.ConnackError{Code: mqtt.ConnackCode(mqtt.RCServerMoved)})
	require.Equal(t, 6, brokers[0].connections()+brokers[1].connections())
}

func TestStateHandlers_AddUpAndGetTheClient(t *testing.T) {
	t.Parallel()
	clients := make(chan *mqtt.Client, 10)
	handler := mqtt.WithStateHandler(func(c *mqtt.Client, s mqtt.StateChange) {
		if s.State == mqtt.StateConnected {
			clients <- c
		}
	})
	c := dial(t, plain(t).Port, handler, handler)
	for range 2 {
		require.Same(t, c, wait.For(t, clients, "a state handler"))
	}
}

func TestFromContext_GivesTheClientToAHandler(t *testing.T) {
	t.Parallel()
	require.Nil(t, mqtt.FromContext(context.Background()))
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(1, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plain(t)
			require.NoError(t, dial(t, b.Port).Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithRetain(true)))
			got := make(chan *mqtt.Client, 1)
			c := dial(t, b.Port, mqtt.WithHandlerMode(mode), mqtt.WithSubscription("a", 1, func(ctx context.Context, _ mqtt.Message) { got <- mqtt.FromContext(ctx) }))
			require.Same(t, c, wait.For(t, got, "the handler"))
		})
	}
}
