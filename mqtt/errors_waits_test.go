//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// waitingCall is a call whose context ends, and what its error must say before the error of
// the context.
type waitingCall struct {
	says string
	call func(ctx context.Context) error
}

// requireWaitErrors ends the context of each call, after the call has begun to wait.
func requireWaitErrors(t *testing.T, calls []waitingCall) {
	t.Helper()
	for _, x := range calls {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(50*time.Millisecond, cancel)
		err := wait.For(t, inBackground(func() error { return x.call(ctx) }), x.says)
		require.ErrorIs(t, err, context.Canceled)
		requireOneLine(t, err)
		require.Contains(t, err.Error(), x.says+": context canceled")
	}
}

// calls are the calls that wait for the broker. says returns the text for a call.
func calls(c *mqtt.Client, says func(packet string) string) []waitingCall {
	return []waitingCall{
		{`mqtt: publish to "a": ` + says("PUBACK"), func(ctx context.Context) error { return c.Publish(ctx, "a", nil) }},
		{`mqtt: publish to "b": ` + says("PUBACK"), func(ctx context.Context) error {
			return c.PublishAsync(context.Background(), "b", nil).Wait(ctx)
		}},
		{`mqtt: publish to "c": ` + says("PUBREC or PUBCOMP"), func(ctx context.Context) error { return c.Publish(ctx, "c", nil, mqtt.WithQoS(2)) }},
		{`mqtt: subscribe to "d/#": ` + says("SUBACK"), func(ctx context.Context) error { return c.Subscribe(ctx, "d/#", 1, ignore) }},
		{`mqtt: unsubscribe from "e": ` + says("UNSUBACK"), func(ctx context.Context) error { return c.Unsubscribe(ctx, "e") }},
		{`mqtt: subscribe to "responses": ` + says("SUBACK"), func(ctx context.Context) error {
			_, err := c.Request(ctx, "f", nil, mqtt.WithResponseTopic("responses"))
			return err
		}},
	}
}

// silentBroker accepts clients and acknowledges nothing.
func silentBroker(t *testing.T) *fakeBroker {
	return startFakeBroker(t, func(_ *brokerConn, p packet) bool { return p.Type() != fakebroker.CONNECT })
}

func TestWaitErrors_NameTheAcknowledgement(t *testing.T) {
	t.Parallel()
	c := dial(t, silentBroker(t).port, mqtt.WithProtocol(mqtt.V5))
	requireWaitErrors(t, calls(c, func(packet string) string { return "waits for " + packet }))
}

func TestWaitErrors_SayThatThereIsNoConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	all := calls(c, func(string) string { return "not connected" })
	requireWaitErrors(t, append(all, waitingCall{"mqtt: await connected: not connected", c.AwaitConnected}))
}

// The error has the reason of the last failed attempt.
func TestWaitErrors_SayWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	option, changes := watchStates()
	server := "mqtt://127.0.0.1:1"
	c := dialAll(t, []string{server}, mqtt.WithBackgroundConnect(), option)
	awaitFailure(t, changes)
	requireWaitErrors(t, []waitingCall{
		{"mqtt: await connected: not connected (connect " + server + ": connection refused)", c.AwaitConnected},
		{`mqtt: publish to "a": not connected (connect ` + server + ": connection refused)", func(ctx context.Context) error { return c.Publish(ctx, "a", nil) }},
	})
}

func TestWaitErrors_SayThatTheQueueIsFull(t *testing.T) {
	t.Parallel()
	c := dial(t, silentBroker(t).port, mqtt.WithQueue(1, 1000, mqtt.WaitForRoom), mqtt.WithInflight(1))
	c.PublishAsync(context.Background(), "a", nil)
	requireWaitErrors(t, []waitingCall{
		{`mqtt: publish to "b": waits for capacity in the queue`, func(ctx context.Context) error { return c.Publish(ctx, "b", nil) }},
		{`mqtt: publish to "b": waits for capacity in the queue`, func(ctx context.Context) error { return c.PublishAsync(ctx, "b", nil).Err() }},
	})
}

func TestWaitErrors_SayThatAMessageIsQueued(t *testing.T) {
	t.Parallel()
	c := dial(t, silentBroker(t).port, mqtt.WithInflight(1))
	c.PublishAsync(context.Background(), "a", nil)
	requireWaitErrors(t, []waitingCall{
		{`mqtt: publish to "b": queued behind other messages`, func(ctx context.Context) error { return c.Publish(ctx, "b", nil) }},
	})
}

// Nothing is sent for a call whose context has ended before.
func TestWaitErrors_SayThatNothingWasSent(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for says, err := range map[string]error{
		`mqtt: publish to "a": not sent: context canceled`:   c.Publish(ctx, "a", nil),
		`mqtt: publish to "b": not sent: context canceled`:   c.PublishAsync(ctx, "b", nil).Err(),
		`mqtt: subscribe to "a": not sent: context canceled`: c.Subscribe(ctx, "a", 1, ignore),
	} {
		require.EqualError(t, err, says)
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestWaitErrors_RequestNamesTheResponse(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	requireWaitErrors(t, []waitingCall{{`mqtt: request to "a": waits for the response`, func(ctx context.Context) error {
		_, err := c.Request(ctx, "a", nil)
		return err
	}}})
}

// Dial says what the attempt lacked: CONNACK, or the subscriptions.
func TestWaitErrors_DialNamesTheServer(t *testing.T) {
	t.Parallel()
	p, b := fakebroker.Listen(t), silentBroker(t)
	for port, says := range map[int]string{p.Port: "no CONNACK yet", b.port: "accepted, waits for SUBACK"} {
		requireWaitErrors(t, []waitingCall{{fmt.Sprintf("mqtt: connect mqtt://127.0.0.1:%d: %s", port, says), func(ctx context.Context) error {
			_, err := mqtt.Dial(ctx, []string{url(port)}, mqtt.WithSubscription("a", 1, ignore))
			return err
		}}})
	}
}

// The error of the client's deadline is the context's, as before.
func TestWaitErrors_WrapTheDeadline(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	_, err := mqtt.Dial(context50ms(t), []string{url(p.Port)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualError(t, err, "mqtt: connect "+url(p.Port)+": no CONNACK yet: context deadline exceeded")
}
