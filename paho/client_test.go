package mqtt_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestClient_PublishesAndReceives(t *testing.T) {
	b := start(t)
	for _, order := range []bool{true, false} {
		t.Run(fmt.Sprint("order ", order), func(t *testing.T) {
			c := connect(t, options(b.Port).SetOrderMatters(order))
			require.True(t, c.IsConnected())
			require.True(t, c.IsConnectionOpen())
			callback, got := collect()
			succeed(t, c.Subscribe("a/+", 2, callback))
			for qos := range byte(3) {
				for _, payload := range []any{"x", []byte("x"), *bytes.NewBufferString("x")} {
					succeed(t, c.Publish(fmt.Sprint("a/", qos), qos, false, payload))
					m := wait.For(t, got, "the message")
					require.Equal(t, fmt.Sprint("a/", qos), m.Topic())
					require.Equal(t, "x", string(m.Payload()))
					require.Equal(t, qos, m.Qos())
					require.Equal(t, qos > 0, m.MessageID() > 0)
					require.False(t, m.Retained())
					require.False(t, m.Duplicate())
					m.Ack()
				}
			}
			succeed(t, c.Unsubscribe("a/+"))
			succeed(t, c.Publish("a/1", 1, false, ""))
			c.Disconnect(250)
			wait.None(t, got, "message after Unsubscribe")
			require.False(t, c.IsConnected())
			require.False(t, c.IsConnectionOpen())
			require.ErrorIs(t, outcome(t, c.Publish("a/1", 1, false, "")), paho.ErrNotConnected)
		})
	}
}
