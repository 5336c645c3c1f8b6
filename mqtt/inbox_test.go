//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The messages that are not dropped stay in order.
func TestInbox_FullQueueDropsAndReports(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		overflow      mqtt.Overflow
		kept, dropped []int
	}{
		"oldest": {mqtt.DropOldest, append([]int{0}, sequence(7, 9)...), sequence(1, 6)},
		"newest": {mqtt.DropNewest, sequence(0, 3), sequence(4, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			begun, block := make(chan struct{}, 100), make(chan struct{})
			got, dropped := make(chan mqtt.Message, 100), make(chan mqtt.Message, 100)
			c, conn := dialScriptedBroker(t, p, mqtt.WithHandlerMode(mqtt.Worker(3, test.overflow)),
				mqtt.WithHooks(mqtt.Hooks{Dropped: func(m *mqtt.Message) { dropped <- *m }}),
				mqtt.WithDefaultHandler(func(_ context.Context, m mqtt.Message) { begun <- struct{}{}; <-block; got <- m }))
			conn.Send(fakebroker.Publish(0, "a", 0, "0"))
			wait.For(t, begun, "the handler")
			for n := 1; n < 10; n++ {
				conn.Send(fakebroker.Publish(0, "a", 0, fmt.Sprint(n)))
			}
			awaitNumbers(t, dropped, test.dropped...)
			require.EqualValues(t, 6, c.Stats().Dropped)
			require.Equal(t, 3, c.Stats().Handling)
			close(block)
			awaitNumbers(t, got, test.kept...)
			wait.None(t, got, "message")
		})
	}
}
