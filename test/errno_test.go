package test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Errors contain errno only if the library says that the system call failed.
func TestErrno_OfConnectIsReported(t *testing.T) {
	c, _ := newClient(t, "", true)
	err := c.Connect("127.0.0.1", broker.FreePort(t), keepalive)
	require.ErrorIs(t, err, mosquitto.ErrErrno)
	var e *mosquitto.OpError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "connect", e.Op)
	code, ok := e.Code()
	require.True(t, ok)
	require.Equal(t, mosquitto.ErrErrno, code)
	if has21() { // libmosquitto 2.1 overwrites errno
		require.Zero(t, e.Errno)
	} else {
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorContains(t, err, "connection refused")
	}
}

func TestErrno_IsZeroForResolverErrors(t *testing.T) {
	c, _ := newClient(t, "", true)
	err := bounded(t, "the resolver", func() error { return c.Connect("does-not-exist.invalid", 1883, keepalive) })
	require.ErrorIs(t, err, mosquitto.ErrEAI)
	var e *mosquitto.OpError
	require.ErrorAs(t, err, &e)
	require.Zero(t, e.Errno, "codes of the resolver are not errno values")
	if !has21() {
		require.NotEmpty(t, e.Detail, "the resolver's error text")
	}
}

// Without a connection, messages of QoS 1 and 2 are queued.
func TestPublish_OfflineIsQueuedAboveQoS0(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	mids := make(map[int]bool)
	for qos := mosquitto.QoS(0); qos <= 2; qos++ {
		mid, err := c.Publish("offline", []byte{byte(qos)}, qos, false)
		require.ErrorIs(t, err, mosquitto.ErrNoConn)
		if qos == 0 {
			require.Zero(t, mid, "QoS 0 is not queued")
			continue
		}
		require.NotZero(t, mid)
		mids[mid] = true
	}
	receiver, re := newClient(t, "", true)
	connect(t, receiver, re, b.Port)
	subscribe(t, receiver, re, "offline", 2)
	connect(t, c, e, b.Port)
	for range 2 {
		mid := wait.For(t, e.publish, "OnPublish").mid
		require.True(t, mids[mid])
		delete(mids, mid)
		require.NotEqual(t, []byte{0}, wait.For(t, re.message, "OnMessage").Payload)
	}
	_, err := c.Publish("offline", []byte("last"), 1, false)
	require.NoError(t, err)
	require.Equal(t, "last", string(wait.For(t, re.message, "OnMessage").Payload))
}

// spoil sets errno of the current thread. With proto it is EPROTO, which would make
// loop_forever return. Otherwise it is ECONNREFUSED, which would make it continue.
func spoil(proto bool, port int) error {
	c, err := mosquitto.New("", true, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if !proto {
		return c.Connect("127.0.0.1", port, keepalive)
	}
	if err := c.TLSPSKSet("00ff", "spoiler", ""); err != nil {
		return err
	}
	if err := c.Connect("127.0.0.1", port, keepalive); err != nil {
		return err
	}
	for deadline := time.Now().Add(wait.Patience); time.Now().Before(deadline); {
		if err := c.Loop(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// The loop must ignore the errno that a callback leaves. After a connection loss it
// reconnects, although a TLS connection failed inside the callback.
func TestErrno_OfACallbackDoesNotEndTheLoop(t *testing.T) {
	b, other := plain(t), plain(t)
	c, e := newClient(t, "", true)
	spoiled := make(chan error, 10)
	c.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		spoiled <- spoil(true, other.Port)
		e.disconnect <- d
	})
	ended := connect(t, c, e, b.Port)
	b.Kill()
	require.ErrorIs(t, wait.For(t, e.disconnect, "OnDisconnect").Err, mosquitto.ErrConnLost)
	require.Error(t, wait.For(t, spoiled, "the TLS failure"))
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "the reconnect").Err())
	wait.None(t, ended, "end of the loop")
}

// A lost TLS connection ends the loop, as in C, although the callback left another
// errno.
func TestErrno_OfACallbackDoesNotKeepTheLoopRunning(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "localhost")})
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
	nobody := broker.FreePort(t)
	spoiled := make(chan error, 10)
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) { spoiled <- spoil(false, nobody) })
	require.NoError(t, c.Connect("localhost", b.Port, keepalive))
	ended := loop(t, c)
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	b.Kill()
	require.Error(t, wait.For(t, spoiled, "the refusal"))
	err := wait.For(t, ended, "the end of the loop")
	require.True(t, errors.Is(err, mosquitto.ErrConnLost) || errors.Is(err, mosquitto.ErrErrno), err)
}
