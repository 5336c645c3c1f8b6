//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// report is an example of a user's code that publishes.
func report(ctx context.Context, p mqtt.Publisher) error {
	return errors.Join(p.Publish(ctx, "report", nil, mqtt.WithQoS(2), mqtt.WithRetain(true)), p.PublishAsync(ctx, "more", nil).Wait(ctx))
}

// fake is a Publisher without a broker.
type fake struct {
	published []mqtt.Publication
	err       error
}

func (f *fake) Publish(_ context.Context, topic string, payload []byte, options ...mqtt.PublishOption) error {
	p := mqtt.Publication{Topic: topic, Payload: payload, QoS: 1}
	p.Apply(options...)
	f.published = append(f.published, p)
	return f.err
}

func (f *fake) PublishAsync(ctx context.Context, topic string, payload []byte, options ...mqtt.PublishOption) *mqtt.Token {
	return mqtt.CompletedToken(f.Publish(ctx, topic, payload, options...))
}

// Programs can implement the interfaces and create tokens and messages.
func TestInterfaces_CanBeImplementedWithoutABroker(t *testing.T) {
	t.Parallel()
	f := &fake{}
	require.NoError(t, report(wait.Soon(t), f))
	require.Equal(t, []mqtt.Publication{{Topic: "report", QoS: 2, Retain: true}, {Topic: "more", QoS: 1}}, f.published)
	f.err = mqtt.ErrQueueFull
	require.ErrorIs(t, report(wait.Soon(t), f), mqtt.ErrQueueFull)
	token := mqtt.CompletedToken(mqtt.ErrDropped)
	<-token.Done()
	require.ErrorIs(t, token.Err(), mqtt.ErrDropped)
	require.ErrorIs(t, token.Wait(wait.Soon(t)), mqtt.ErrDropped)
	require.Zero(t, token.MID())
	require.Zero(t, token.ReasonCode())
	require.Empty(t, token.Properties())
	h, got := collect()
	h(context.Background(), mqtt.Message{Topic: "made", Payload: []byte("by hand")})
	require.Equal(t, "made", wait.For(t, got, "the message").Topic)
}

// usersTest is a test in a user's module.
const usersTest = `package user

import (
	"context"
	"testing"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
)

func TestWithBroker(t *testing.T) {
	b := mqtttest.StartBroker(t)
	c, err := mqtt.Dial(context.Background(), []string{b.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.Publish(context.Background(), "a", nil); err != nil {
		t.Fatal(err)
	}
}
`

func TestInterfaces_UsersModuleCanTestWithARealBroker(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs("..")
	require.NoError(t, err)
	sums, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"user_test.go": usersTest, "go.sum": string(sums),
		"go.mod": "module user\n\ngo 1.24\n\nrequire github.com/mosquitto-go/mosquitto v0.0.0\n\nreplace github.com/mosquitto-go/mosquitto => " + here + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	cmd := subprocess.Command("go", "test", "-count=1", "-mod=mod", "./...")
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
}

// Options that need MQTT 5 are refused by name with other versions.
func TestInterfaces_OneClientForAllVersions(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5, mqtt.V311), mqtt.WithBackgroundConnect())
	conn, connect := acceptNextConnect(t, p)
	require.Equal(t, byte(5), connect.Body[6])
	conn.Send(fakebroker.V5.Connack(false, 0x84))
	conn, connect = acceptNextConnect(t, p)
	require.Equal(t, byte(4), connect.Body[6])
	conn.Send(fakebroker.V311.Connack(false, 0))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	_, err := c.Request(wait.Soon(t), "a", nil)
	require.ErrorIs(t, err, mqtt.ErrNotSupported)
	require.ErrorContains(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithContentType("text/plain")), "MQTT 5")

	b := plain(t)
	for _, version := range versions {
		sender, receiver := dial(t, b.Port, mqtt.WithProtocol(version)), dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
		h, got := collect()
		require.NoError(t, receiver.Subscribe(wait.Soon(t), "a", 2, h))
		require.NoError(t, sender.Publish(wait.Soon(t), "a", []byte("x"), mqtt.WithQoS(2)))
		require.Equal(t, "x", string(wait.For(t, got, "a message").Payload))
	}
}
