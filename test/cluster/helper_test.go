//go:build cluster

package cluster_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// client is a client of the root package. Its callbacks send on channels.
type client struct {
	*mosquitto.Client
	keepalive  time.Duration
	connect    chan mosquitto.Connack
	disconnect chan mosquitto.Disconnection
	publish    chan int
	message    chan mosquitto.Message
	granted    chan []mosquitto.ReasonCode
	ended      chan error // the result of Run
}

// newClient makes a client and closes it at the end of the test.
func newClient(t testing.TB, id string, cleanSession bool) *client {
	t.Helper()
	m, err := mosquitto.New(id, cleanSession, nil)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	const capacity = 10000
	c := &client{
		m, time.Minute, make(chan mosquitto.Connack, capacity), make(chan mosquitto.Disconnection, capacity), make(chan int, capacity),
		make(chan mosquitto.Message, capacity), make(chan []mosquitto.ReasonCode, capacity), make(chan error, 1),
	}
	m.OnConnect(func(_ *mosquitto.Client, a mosquitto.Connack) { c.connect <- a })
	m.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) { c.disconnect <- d })
	m.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) { c.publish <- mid })
	m.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { c.message <- m })
	m.OnSubscribe(func(_ *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		c.granted <- granted
	})
	return c
}

// run connects to a node and runs the client until the end of the test.
func (c *client) run(t testing.TB, n *cluster.Node) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan struct{})
	require.NoError(t, c.Connect("127.0.0.1", n.Port, c.keepalive))
	go func() {
		defer close(returned)
		c.ended <- c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		wait.For(t, returned, "the end of Run")
	})
}

// connected returns a client that a node has accepted.
func connected(t testing.TB, n *cluster.Node, id string, cleanSession bool) *client {
	t.Helper()
	c := newClient(t, id, cleanSession)
	c.run(t, n)
	require.NoError(t, wait.For(t, c.connect, "OnConnect").Err())
	return c
}

// sub subscribes and waits until the broker has granted this QoS.
func (c *client) sub(t testing.TB, filter string, qos mosquitto.QoS) {
	t.Helper()
	_, err := c.Subscribe(filter, qos)
	require.NoError(t, err)
	require.Equal(t, []mosquitto.ReasonCode{mosquitto.ReasonCode(qos)}, wait.For(t, c.granted, "OnSubscribe"))
}

// pub publishes and waits for OnPublish.
func (c *client) pub(t testing.TB, topic, payload string, qos mosquitto.QoS, retain bool) {
	t.Helper()
	mid, err := c.Publish(topic, []byte(payload), qos, retain)
	require.NoError(t, err)
	require.Equal(t, mid, wait.For(t, c.publish, "OnPublish"))
}

// leave disconnects and waits for the end of Run. It ignores how the connection ended: a busy
// node of NATS may close the connection later than Run waits.
func (c *client) leave(t testing.TB) {
	t.Helper()
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, c.ended, "the end of Run"))
	wait.For(t, c.disconnect, "OnDisconnect")
}

// cut closes the connection as the kernel does for a killed process.
func (c *client) cut(t testing.TB) {
	t.Helper()
	require.NoError(t, syscall.Shutdown(c.Socket(), syscall.SHUT_RDWR))
}

// atLeast reports whether the library has this version or a later one. All versions 2.1.x
// report 2.1.0.
func atLeast(major, minor, revision int) bool {
	a, b, c := mosquitto.LibVersion()
	return a*1000000+b*1000+c >= major*1000000+minor*1000+revision
}
