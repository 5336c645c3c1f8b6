//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// A QoS 2 message that is incomplete when the connection is lost reduces the receive maximum of
// the library for ever. With the default of 20 every connection would fail soon. The client
// therefore uses the highest value.
func TestLibrary_ReceiveMaximumIsTheHighestByDefault(t *testing.T) {
	p := fakebroker.Listen(t)
	dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	body := p.Accept().Expect(fakebroker.CONNECT).Body
	require.Contains(t, string(body), "\x21\xff\xff")
}
