//go:build cgo

package mqtt_test

import (
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
