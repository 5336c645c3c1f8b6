//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// versions are all versions of MQTT.
var versions = []mqtt.Protocol{mqtt.V31, mqtt.V311, mqtt.V5}

func TestClient_HandlerGetsPublishedMessages(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a/+", 2, h))
			for i := range 30 {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprintf("a/%d", i), []byte("x"), mqtt.WithQoS(mqtt.QoS(i%3))))
			}
			for range 30 {
				wait.For(t, got, "a message")
			}
			require.NoError(t, c.Unsubscribe(wait.Soon(t), "a/+"))
			require.NoError(t, c.Publish(wait.Soon(t), "a/1", nil))
			require.NoError(t, c.Publish(wait.Soon(t), "a/1", nil, mqtt.WithQoS(2)))
			wait.None(t, got, "message after Unsubscribe")
			require.NoError(t, c.Close(wait.Soon(t)))
			require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil), mqtt.ErrClosed)
			require.ErrorIs(t, c.Err(), mqtt.ErrClosed)
			require.Equal(t, mqtt.StateClosed, c.State())
		})
	}
}

func TestClient_SubscriptionsAreRestored(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			h, got := collect()
			for i := range 250 {
				require.NoError(t, c.Subscribe(wait.Soon(t), fmt.Sprintf("%d/#", i), mqtt.QoS(i%3), h))
			}
			b.Kill()
			wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
			b.Restart()
			require.NoError(t, c.AwaitConnected(wait.Soon(t)))
			for i := range 250 {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprintf("%d/x", i), nil))
				require.Equal(t, fmt.Sprintf("%d/x", i), wait.For(t, got, "a message").Topic)
			}
		})
	}
}

func TestClient_BodyOfAnIteratorMayPublish(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port)
	ctx := t.Context()
	n := 0
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = c.Publish(ctx, "a", fmt.Append(nil, i))
		}
	}()
	for m, err := range c.Messages(ctx, "a", 1) {
		require.NoError(t, err)
		require.NoError(t, c.Publish(wait.Soon(t), "b", m.Payload))
		if n++; n == 50 {
			break
		}
	}
	require.Equal(t, 50, n)
}

func TestClient_RequestGetsItsResponse(t *testing.T) {
	b := plain(t)
	server, client := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5)), dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, server.Respond(wait.Soon(t), "double", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) {
		if len(m.Payload) == 0 {
			return nil, fmt.Errorf("nothing to double")
		}
		return append(m.Payload, m.Payload...), nil
	}))
	for range 10 {
		m, err := client.Request(wait.Soon(t), "double", []byte("ab"))
		require.NoError(t, err)
		require.Equal(t, "abab", string(m.Payload))
	}
	_, err := client.Request(wait.Soon(t), "double", nil)
	var refused *mqtt.RequestError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "nothing to double", refused.Text)
}

func TestClient_HandlerOnAWorkerMayPublish(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port, mqtt.WithHandlerMode(mqtt.Worker(4, mqtt.Block)))
	ended := make(chan error, 1000)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
		ended <- c.Publish(ctx, "b", m.Payload)
	}))
	for i := range 300 {
		require.NoError(t, c.Publish(wait.Soon(t), "a", fmt.Append(nil, i)))
	}
	for range 300 {
		require.NoError(t, wait.For(t, ended, "Publish in a handler"))
	}
}

func TestClient_PublishInAnInlineHandlerReturnsErrInCallback(t *testing.T) {
	b := plain(t)
	c := dial(t, b.Port)
	errs := make(chan error, 10)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, m mqtt.Message) {
		errs <- c.Publish(ctx, "b", nil)
		errs <- c.Subscribe(ctx, "b", 0, func(context.Context, mqtt.Message) {})
		errs <- c.Unsubscribe(ctx, "b")
		errs <- c.Close(ctx)
		errs <- c.AwaitConnected(ctx)
		errs <- c.PublishAsync(ctx, "b", nil).Wait(ctx)
	}))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	for range 6 {
		require.ErrorIs(t, wait.For(t, errs, "the handler"), mqtt.ErrInCallback)
	}
}

// A program may publish a received message again with its properties. The client leaves out
// subscription identifiers, which a client must not send [MQTT-3.3.4-6].
func TestClient_ForwardedMessageHasNoSubscriptionIdentifier(t *testing.T) {
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V5.Connack(false, 0))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	handler := func(ctx context.Context, m mqtt.Message) {
		c.PublishAsync(ctx, "out", m.Payload, mqtt.WithQoS(0), mqtt.WithProperties(m.Properties))
	}
	asked := inBackground(func() error { return c.Subscribe(wait.Soon(t), "in", 0, handler) })
	ask := conn.Expect(fakebroker.SUBSCRIBE)
	id := ask.Body[4] // the properties begin with a byte for their length and one for the property's identifier
	conn.Send(fakebroker.V5.Suback(ask.MID(), []byte{0}))
	require.NoError(t, wait.For(t, asked, "the answer"))
	unit := fakebroker.UserProperty("unit", "kWh")
	conn.Send(fakebroker.V5.Publish(0, "in", 0, "42", fakebroker.SubscriptionID(int(id)), unit))
	sent := conn.Expect(fakebroker.PUBLISH)
	require.Equal(t, fakebroker.V5.Publish(0, "out", 0, "42", unit), fakebroker.Bytes(sent.First, sent.Body...))
}

func TestClient_AliasWithoutTopicNeedsQoS0(t *testing.T) {
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	for _, qos := range []mqtt.QoS{1, 2} {
		err := c.Publish(wait.Soon(t), "", nil, mqtt.WithQoS(qos), mqtt.WithTopicAlias(1))
		require.ErrorContains(t, err, "topic")
		require.ErrorIs(t, err, mosquitto.ErrInval)
	}
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithTopicAlias(1)))
	require.NoError(t, c.Publish(wait.Soon(t), "", nil, mqtt.WithQoS(0), mqtt.WithTopicAlias(1)))
}
