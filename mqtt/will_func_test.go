//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// wills returns a WithWillFunc whose function returns one will after the other. After the last
// will it returns the last will again.
func wills(all ...mqtt.Will) mqtt.Option {
	var asked atomic.Int32
	return mqtt.WithWillFunc(func(context.Context) (mqtt.Will, error) {
		return all[min(int(asked.Add(1)), len(all))-1], nil
	})
}

// connectWith returns the CONNECT of a client without a client id.
func connectWith(version mqtt.Protocol, will *fakebroker.Will) []byte {
	return fakebroker.Version(version).Connect(fakebroker.Connect{Clean: true, Keepalive: 60, Will: will})
}

func TestWillFunc_EveryConnectionHasItsWill(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			first, second, third := mqtt.Will{Topic: "a", Payload: []byte("1"), QoS: 1, Retain: true}, mqtt.Will{}, mqtt.Will{Topic: "b"}
			c := dial(t, p.Port, mqtt.WithProtocol(version), mqtt.WithBackgroundConnect(), mqtt.WithWill(mqtt.Will{Topic: "fixed"}),
				wills(first, second, third))
			for n, want := range []*fakebroker.Will{{Topic: "a", Payload: "1", QoS: 1, Retain: true}, nil, {Topic: "b"}, {Topic: "b"}} {
				conn, connect := acceptNextConnect(t, p)
				require.Equal(t, willOf(t, version, want), connectWill(connect), "connection %d", n)
				conn.Send(fakebroker.Version(version).Connack(false, 0))
				require.NoError(t, c.AwaitConnected(wait.Soon(t)))
				conn.Close()
				wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
			}
		})
	}
}

// The broker publishes the will of the lost connection.
func TestWillFunc_BrokerPublishesTheWillOfTheConnection(t *testing.T) {
	t.Parallel()
	b, p := startProxiedBroker(t)
	h, got := collect()
	dial(t, b.Port, mqtt.WithSubscription("will", 1, h))
	var n atomic.Int32
	c := dial(t, p.Port, mqtt.WithWillFunc(func(ctx context.Context) (mqtt.Will, error) {
		if mqtt.FromContext(ctx) == nil {
			return mqtt.Will{}, errors.New("no client")
		}
		return mqtt.Will{Topic: "will", Payload: fmt.Append(nil, n.Add(1))}, nil
	}))
	for want := 1; want <= 3; want++ {
		wait.Until(t, "the connection", func() bool { return c.Stats().Connects == uint64(want) && c.State() == mqtt.StateConnected })
		p.Cut()
		require.Equal(t, fmt.Sprint(want), string(wait.For(t, got, "the will").Payload))
	}
}

func TestWillFunc_PropertiesNeedMQTT5(t *testing.T) {
	t.Parallel()
	delay := mqtt.Will{Topic: "a", Properties: mqtt.Properties{{ID: mqtt.PropWillDelayInterval, Number: 5}}}
	p := fakebroker.Listen(t)
	_, err := mqtt.Dial(wait.Soon(t), []string{url(p.Port)}, wills(delay))
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.ErrorContains(t, err, "WithWillFunc: properties need WithProtocol(V5)")

	dial(t, p.Port, mqtt.WithProtocol(mqtt.V5, mqtt.V311), mqtt.WithBackgroundConnect(), wills(delay))
	conn, connect := acceptNextConnect(t, p)
	require.Equal(t, willOf(t, mqtt.V5, &fakebroker.Will{Topic: "a", Properties: []fakebroker.Property{fakebroker.WillDelay(5)}}), connectWill(connect))
	conn.Send(fakebroker.V5.Connack(false, byte(mqtt.RCUnsupportedProtocolVersion)))
	_, connect = acceptNextConnect(t, p)
	require.Equal(t, willOf(t, mqtt.V311, &fakebroker.Will{Topic: "a"}), connectWill(connect), "with MQTT 3 the properties are omitted")
}

func TestWillFunc_BadWillFailsTheAttempt(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	for says, w := range map[string]mqtt.Will{
		`WithWillFunc: topic: "a/#" contains the wildcard #`:                {Topic: "a/#"},
		"WithWillFunc: qos: 3 is more than 2":                               {Topic: "a", QoS: 3},
		"WithWillFunc: payload: 65536 bytes, more than 65535":               {Topic: "a", Payload: make([]byte, 65536)},
		"WithWillFunc: properties: topic-alias is not a property of a will": {Topic: "a", Properties: mqtt.Properties{{ID: mqtt.PropTopicAlias, Number: 1}}},
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{url(p.Port)}, mqtt.WithProtocol(mqtt.V5), mqtt.WithConnectRetry(), wills(w))
		require.ErrorContains(t, err, says)
		require.ErrorIs(t, err, mosquitto.ErrInval)
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{url(p.Port)}, mqtt.WithWillFunc(nil))
	require.ErrorContains(t, err, "WithWillFunc: f is nil")
}

func TestWillFunc_ErrorFailsTheAttempt(t *testing.T) {
	t.Parallel()
	b := plain(t)
	down := errors.New("no will today")
	var asked atomic.Int32
	option, changes := watchStates()
	c := dial(t, b.Port, option, mqtt.WithWillFunc(func(context.Context) (mqtt.Will, error) {
		if asked.Add(1) == 1 {
			return mqtt.Will{}, down
		}
		return mqtt.Will{}, nil
	}))
	require.ErrorIs(t, awaitFailure(t, changes).Err, down)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// The context of a function that hangs ends with the connect timeout and with Close. The
// function does not block the loop.
func TestWillFunc_HangsNoLongerThanTheConnectTimeout(t *testing.T) {
	t.Parallel()
	asked := make(chan context.Context, 100)
	option, changes := watchStates()
	c := dial(t, plain(t).Port, option, shortConnectTimeout(), mqtt.WithBackgroundConnect(), mqtt.WithWillFunc(func(ctx context.Context) (mqtt.Will, error) {
		asked <- ctx
		<-ctx.Done()
		return mqtt.Will{}, ctx.Err()
	}))
	require.ErrorIs(t, awaitFailure(t, changes).Err, mqtt.ErrConnectTimeout)
	ctx := wait.For(t, asked, "the question")
	require.ErrorIs(t, context.Cause(ctx), mqtt.ErrConnectTimeout)
	canceled, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Publish(canceled, "a", nil), context.DeadlineExceeded)
	closeNow(t, c)
}

// willFlags are the bits of the connect flags that describe the will.
const willFlags = 0x3C

// connectWill returns the part of a CONNECT that describes the will: its flags and the bytes
// after the client id.
func connectWill(connect fakebroker.Packet) []byte {
	name, rest := cutText(connect.Body)
	version, flags, rest := rest[0], rest[1], rest[4:]
	_, rest = packet{version: fakebroker.Version(version)}.cutProperties(rest)
	_, rest = cutText(rest) // the client id
	return append([]byte{byte(len(name)), flags & willFlags}, rest...)
}

// willOf returns the result of connectWill for a CONNECT with this will.
func willOf(t *testing.T, version mqtt.Protocol, w *fakebroker.Will) []byte {
	t.Helper()
	raw := connectWith(version, w)
	body := raw[2:] // shorter than 128 bytes
	require.Len(t, body, int(raw[1]))
	return connectWill(fakebroker.Packet{Body: body})
}
