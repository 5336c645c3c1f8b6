//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestStateHandlers_AddUpAndGetTheClient(t *testing.T) {
	t.Parallel()
	clients := make(chan *mqtt.Client, 10)
	handler := mqtt.WithStateHandler(func(c *mqtt.Client, s mqtt.StateChange) {
		if s.State == mqtt.StateConnected {
			clients <- c
		}
	})
	c := dial(t, plain(t).Port, handler, handler)
	for range 2 {
		require.Same(t, c, wait.For(t, clients, "a state handler"))
	}
}

// A slow state handler gets every change, in order.
func TestStateHandlers_SlowHandlerGetsEveryChange(t *testing.T) {
	t.Parallel()
	const attempts = 600
	var tried atomic.Int32
	release := make(chan struct{})
	defer func() { closeOnce(release) }()
	changes := make(chan mqtt.StateChange, 10*attempts)
	c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect(), mqtt.WithBackoff(time.Microsecond, time.Microsecond, 0),
		mqtt.WithCredentialsFunc(func(context.Context) (string, string, error) {
			tried.Add(1)
			return "", "", errors.New("no credentials") // a failed attempt without a connection
		}),
		mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) {
			<-release
			changes <- s
		}))
	wait.Until(t, "the attempts", func() bool { return tried.Load() > attempts })
	closeOnce(release)
	for attempt := 1; attempt <= attempts; attempt++ {
		require.Equal(t, attempt, awaitFailure(t, changes).Attempt)
	}
	closeNow(t, c)
	awaitState(t, changes, mqtt.StateClosed)
}

func TestState_FollowsTheConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	option, told := watchStates()
	c := dial(t, p.Port, mqtt.WithBackgroundConnect(), option)
	require.Equal(t, mqtt.StateConnecting, c.State())
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	require.Equal(t, mqtt.StateConnecting, c.State(), "without a CONNACK")
	conn.Send(fakebroker.V311.Connack(false, 0))
	awaitState(t, told, mqtt.StateConnected)
	conn.Close()
	require.Zero(t, awaitFailure(t, told).Attempt)
	conn = p.Accept()
	conn.Expect(fakebroker.CONNECT)
	require.Equal(t, mqtt.StateDisconnected, c.State(), "while it reconnects")
	conn.Close()
	require.Equal(t, 1, awaitFailure(t, told).Attempt)
	p.AcceptConnect()
	require.Zero(t, awaitState(t, told, mqtt.StateConnected).Attempt)
	closeNow(t, c)
	awaitState(t, told, mqtt.StateClosed)
	require.Equal(t, mqtt.StateClosed, c.State())
}
