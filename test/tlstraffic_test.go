package test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestTLS_LargeMessagesArrive(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	accepted(t, c, e, "localhost", b.Port)
	subscribe(t, c, e, "large", 2)
	payload := make([]byte, 1<<20)
	_, err := rand.Read(payload)
	require.NoError(t, err)
	for qos := range mosquitto.QoS(3) {
		mid, err := c.Publish("large", payload, qos, false)
		require.NoError(t, err)
		require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
		m := wait.For(t, e.message, "the message")
		require.Equal(t, qos, m.QoS)
		require.True(t, bytes.Equal(payload, m.Payload))
	}
}

// One read returns many TLS records. Data that OpenSSL has buffered must be processed
// without waiting for the socket.
func TestTLS_ManySmallMessagesArrive(t *testing.T) {
	const count = 5000
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	accepted(t, c, e, "localhost", b.Port)
	subscribe(t, c, e, "small", 0)
	for i := range count {
		_, err := c.Publish("small", fmt.Append(nil, i), 0, false)
		require.NoError(t, err)
	}
	for i := range count {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, e.message, "a message").Payload))
	}
	for range count {
		wait.For(t, e.publish, "OnPublish")
	}
	wait.None(t, e.message, "message")
}

// The broker stops cleanly. The loop waits until it is back.
func TestTLS_LoopReconnectsAfterAStop(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	ended := accepted(t, c, e, "localhost", b.Port)
	echo(t, c, e)
	b.Stop()
	require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	wait.None(t, ended, "end of LoopForever")
	wait.Until(t, "no connection", func() bool { return c.Socket() < 0 && c.SSLGet() == nil })
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
}

// A TLS broker that is killed ends the library's loop. After Reconnect, a new loop
// works.
func TestTLS_KilledBrokerEndsTheLoop(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	c, e := trusting(t, ca)
	ended := accepted(t, c, e, "localhost", b.Port)
	b.Kill()
	require.ErrorIs(t, wait.For(t, e.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
	require.ErrorIs(t, wait.For(t, ended, "the end of LoopForever"), mosquitto.ErrConnLost)
	b.Restart()
	wait.None(t, e.connect, "OnConnect of a loop that ended")
	require.NoError(t, c.Reconnect())
	loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
}

// The library initializes OpenSSL in the first connects of a process, without a lock.
func TestTLS_ConcurrentFirstConnectsSucceed(t *testing.T) {
	if !inChild(t, "") {
		return
	}
	const count = 20
	b, ca := tlsBroker(t, "localhost")
	clients := make([]*mosquitto.Client, count)
	listeners := make([]*events, count)
	for i := range clients {
		clients[i], listeners[i] = trusting(t, ca)
	}
	errs := make([]error, count)
	start := make(chan struct{})
	var connects sync.WaitGroup
	for i, c := range clients {
		connects.Add(1)
		go func() {
			defer connects.Done()
			<-start
			errs[i] = c.Connect("localhost", b.Port, keepalive)
		}()
	}
	close(start)
	connects.Wait()
	for i, c := range clients {
		require.NoError(t, errs[i])
		loop(t, c)
	}
	for _, e := range listeners {
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	}
}
