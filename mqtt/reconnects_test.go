//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestReconnects_LossDuringConnectDoesNotLowerTheVersion(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT && c.number == 2 {
			c.Close() // as a load balancer does while its broker restarts
			return true
		}
		return false
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5, mqtt.V311))
	b.conn().Close()
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithContentType("text/plain")))
}

func TestReconnects_NextServerAfterOneThatClosesAtOnce(t *testing.T) {
	bad := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT {
			c.write(c.version.Connack(false, 0))
			c.Close()
			return true
		}
		return false
	})
	good := startFakeBroker(t, nil)
	c := dialAll(t, []string{url(bad.port), url(good.port)}, mqtt.WithBackgroundConnect())
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}
