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

func TestPacketIDs_NoneIsInFlightTwiceWithAMaximumPacketSize(t *testing.T) {
	const messages = 66_000
	ledger := &idLedger{inFlight: map[uint16]string{}}
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT {
			ledger.reply(c, p)
			c.write(c.version.Connack(false, 0, fakebroker.MaximumPacketSize(1<<20)))
			return true
		}
		return ledger.reply(c, p)
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	held := c.PublishAsync(wait.Soon(t), "held", nil, mqtt.WithQoS(1))
	var all []*mqtt.Token
	for range messages {
		all = append(all, c.PublishAsync(t.Context(), "answered", nil, mqtt.WithQoS(1)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, token := range all {
		if err := token.Wait(ctx); err != nil || len(ledger.violations(b)) > 0 {
			require.Empty(t, ledger.violations(b))
			require.NoError(t, err)
		}
	}
	requirePending(t, held)
}
