//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// Each QoS 2 message that a lost connection leaves half received takes a place of
// the receive maximum for good: twenty would be used up soon, and then every
// connection ends.
func TestReceiveMaximumIsTheLargest(t *testing.T) {
	p := peer.Listen(t)
	dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	body := p.Accept().Expect(peer.CONNECT).Body
	require.Contains(t, string(body), "\x21\xff\xff")
}
