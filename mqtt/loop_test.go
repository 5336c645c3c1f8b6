//go:build cgo

package mqtt_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Goroutines publish without pause.
func TestLoop_FloodDelaysNeitherReadingNorClose(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	h, got := collect()
	c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V311), mqtt.WithDefaultHandler(h))
	drained := make(chan struct{})
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, conn)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	var publishers sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		publishers.Wait()
	})
	for range 2 {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for ctx.Err() == nil {
				c.PublishAsync(ctx, "flood", []byte("x"), mqtt.WithQoS(0))
			}
		}()
	}
	for range 5 {
		conn.Send(fakebroker.Publish(0, "a", 0, "x"))
		wait.For(t, got, "a message beside the flood")
	}
	closed := inBackground(func() error { return c.Close(wait.Soon(t)) })
	var left *mqtt.CloseError
	if err := wait.For(t, closed, "Close"); err != nil {
		require.ErrorAs(t, err, &left)
	}
	wait.For(t, drained, "the end of the connection")
}

func TestLoop_LossDuringConnectDoesNotLowerTheVersion(t *testing.T) {
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

func TestLoop_TriesTheNextServerAfterOneThatClosesAtOnce(t *testing.T) {
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

func TestRedirect_ServerReferenceIsFollowed(t *testing.T) {
	t.Parallel()
	to := startFakeBroker(t, nil)
	from := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		c.write(c.version.Connack(false, byte(mqtt.RCServerMoved), text(mqtt.PropServerReference, url(to.port)[len("mqtt://"):]+" another:1")))
		return true
	})
	option, changes := watchStates()
	c := dial(t, from.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithRedirect(), option)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.Equal(t, url(to.port), awaitState(t, changes, mqtt.StateConnected).Server)
	require.Equal(t, 1, from.connections())
}

// Two brokers redirect the client to each other.
func TestRedirect_EndsAfterFiveInARow(t *testing.T) {
	t.Parallel()
	var brokers [2]*fakeBroker
	for i := range brokers {
		brokers[i] = startFakeBroker(t, func(c *brokerConn, p packet) bool {
			c.write(c.version.Connack(false, byte(mqtt.RCServerMoved), text(mqtt.PropServerReference, url(brokers[1-i].port)[len("mqtt://"):])))
			return true
		})
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{url(brokers[0].port)}, mqtt.WithProtocol(mqtt.V5), mqtt.WithRedirect())
	require.ErrorIs(t, err, mqtt.ConnackError{Code: mqtt.ConnackCode(mqtt.RCServerMoved)})
	require.Equal(t, 6, brokers[0].connections()+brokers[1].connections())
}
