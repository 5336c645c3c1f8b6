package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Many goroutines publish on one client. Each message arrives exactly once, and
// OnPublish reports each mid exactly once.
func TestGoroutines_PublishEachMessageExactlyOnce(t *testing.T) {
	b := plain(t)
	for _, way := range []struct {
		name string
		run  func(*testing.T, *mosquitto.Client, *events, int)
	}{
		{"LoopForever", func(t *testing.T, c *mosquitto.Client, e *events, port int) { connect(t, c, e, port) }},
		{"LoopStart", startThread},
	} {
		for qos := mosquitto.QoS(0); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("%s QoS %d", way.name, qos), func(t *testing.T) {
				receiver, re := newClient(t, "", true)
				connect(t, receiver, re, b.Port)
				subscribe(t, receiver, re, "many/#", qos)
				c, e := newClient(t, "", true)
				way.run(t, c, e, b.Port)
				publishFromMany(t, c, e, re, qos)
			})
		}
	}
}

func publishFromMany(t *testing.T, c *mosquitto.Client, e, receiver *events, qos mosquitto.QoS) {
	t.Helper()
	const goroutines, each = 250, 8
	failed := make(chan error, goroutines*each)
	wait.AtOnce(goroutines, func(i int) {
		for j := range each {
			text := fmt.Sprintf("%d/%d", i, j)
			if _, err := c.Publish("many/"+text, []byte(text), qos, false); err != nil {
				failed <- err
			}
		}
	})
	wait.None(t, failed, "failure of Publish")
	seen, mids := make(map[string]bool), make(map[int]bool)
	for range goroutines * each {
		m := wait.For(t, receiver.message, "OnMessage")
		require.Equal(t, "many/"+string(m.Payload), m.Topic)
		require.False(t, seen[m.Topic], "%s twice", m.Topic)
		seen[m.Topic] = true
		mid := wait.For(t, e.publish, "OnPublish").mid
		require.False(t, mids[mid], "mid %d twice", mid)
		mids[mid] = true
	}
	wait.None(t, receiver.message, "message")
	wait.None(t, e.publish, "OnPublish")
}

// startThread connects and starts the library's thread with LoopStart.
func startThread(t *testing.T, c *mosquitto.Client, e *events, port int) {
	t.Helper()
	require.NoError(t, c.Connect("127.0.0.1", port, keepalive))
	require.NoError(t, c.LoopStart())
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestGoroutines_SubscribeIsAcknowledgedEachTime(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	ended := connect(t, c, e, b.Port)
	const n = 100
	failed := make(chan error, n)
	wait.AtOnce(n, func(i int) {
		filter := fmt.Sprintf("a/%d", i)
		if _, err := c.Subscribe(filter, 1); err != nil {
			failed <- err
		}
		if _, err := c.Unsubscribe(filter); err != nil {
			failed <- err
		}
	})
	wait.None(t, failed, "failure")
	for range n {
		require.Equal(t, []mosquitto.ReasonCode{1}, wait.For(t, e.subscribe, "OnSubscribe").codes)
		wait.For(t, e.unsubscribe, "OnUnsubscribe")
	}
	leave(t, c, e, ended)
}

// By default no callback runs on the goroutine that publishes.
func TestPublish_OnlyQueues(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, c, e.connect)
	mid, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	wait.None(t, e.publish, "OnPublish before the loop runs")
	require.True(t, c.WantWrite())
	require.Equal(t, mid, turnUntil(t, c, e.publish).mid)
}

// turnUntil runs the loop until the channel has a value.
func turnUntil[T any](t *testing.T, c *mosquitto.Client, ch <-chan T) T {
	t.Helper()
	turn(t, c, func() bool { return len(ch) > 0 })
	return <-ch
}

// With ThreadedSet(false) the library behaves as in a program with one thread.
func TestThreadedSet_FalseRunsOnPublishInsidePublish(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.ThreadedSet(false))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, c, e.connect)
	mid, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	require.Len(t, e.publish, 1, "OnPublish runs before Publish returns")
	require.Equal(t, mid, (<-e.publish).mid)

	require.NoError(t, c.ThreadedSet(true))
	_, err = c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	wait.None(t, e.publish, "OnPublish before the loop runs")
	turnUntil(t, c, e.publish)
}

// While a loop runs, other loops and settings return ErrBusy.
func TestBusy_SecondLoopAndSettingsReturnErrBusy(t *testing.T) {
	b := plain(t)
	for name, run := range map[string]func(*testing.T, *mosquitto.Client, *events, int){
		"LoopForever": func(t *testing.T, c *mosquitto.Client, e *events, port int) { connect(t, c, e, port) },
		"LoopStart":   startThread,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			run(t, c, e, b.Port)
			for what, err := range ownersCalls(c, b.Port) {
				require.ErrorIs(t, err, mosquitto.ErrBusy, what)
			}
			require.ErrorIs(t, c.Reinitialise("", true, nil), mosquitto.ErrBusy)
			if name == "LoopForever" {
				require.ErrorIs(t, c.LoopStop(false), mosquitto.ErrBusy)
			}
			subscribe(t, c, e, "a", 2)
			wait.None(t, e.disconnect, "OnDisconnect")
		})
	}
}

// ownersCalls makes all calls that only the goroutine of the loop may make.
func ownersCalls(c *mosquitto.Client, port int) map[string]error {
	return map[string]error{
		"Loop": c.Loop(0), "LoopForever": c.LoopForever(0), "LoopRead": c.LoopRead(), "LoopWrite": c.LoopWrite(),
		"LoopMisc": c.LoopMisc(), "LoopStart": c.LoopStart(),
		"Connect": c.Connect("127.0.0.1", port, keepalive), "ConnectBind": c.ConnectBind("127.0.0.1", port, keepalive, ""),
		"ConnectBindV5": c.ConnectBindV5("127.0.0.1", port, keepalive, "", nil),
		"ConnectAsync":  c.ConnectAsync("127.0.0.1", port, keepalive), "ConnectBindAsync": c.ConnectBindAsync("127.0.0.1", port, keepalive, ""),
		"ConnectSRV": c.ConnectSRV("localhost", keepalive, ""), "Reconnect": c.Reconnect(), "ReconnectAsync": c.ReconnectAsync(),
		"IntOption": c.IntOption(mosquitto.OptTCPNodelay, 1), "StringOption": c.StringOption(mosquitto.OptBindAddress, "127.0.0.1"),
		"VoidOption": c.VoidOption(mosquitto.OptSSLCtx, nil), "OptsSet": c.OptsSet(mosquitto.OptProtocolVersion, 4),
		"ReconnectDelaySet":      c.ReconnectDelaySet(time.Second, time.Second, false),
		"MaxInflightMessagesSet": c.MaxInflightMessagesSet(1), "MessageRetrySet": c.MessageRetrySet(0),
		"UsernamePwSet": c.UsernamePwSet("", ""), "Socks5Set": c.Socks5Set("localhost", 1, "", ""), "ThreadedSet": c.ThreadedSet(true),
		"WillSet": c.WillSet("a", nil, 0, false), "WillSetV5": c.WillSetV5("a", nil, 0, false, nil), "WillClear": c.WillClear(),
		"TLSInsecureSet": c.TLSInsecureSet(true), "TLSOptsSet": c.TLSOptsSet(1, "", ""), "TLSPSKSet": c.TLSPSKSet("00", "a", ""),
		"TLSSet": c.TLSSet("/dev/null", "", "", "", nil),
	}
}

// While the thread of LoopStart waits for the first connect, connecting is allowed.
func TestLoopStart_AllowsTheFirstConnect(t *testing.T) {
	b := plain(t)
	for name, connect := range map[string]func(*mosquitto.Client, string, int, time.Duration) error{
		"Connect": (*mosquitto.Client).Connect, "ConnectAsync": (*mosquitto.Client).ConnectAsync,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.LoopStart())
			require.NoError(t, c.UsernamePwSet("a", "b"), "a setting before the first connect")
			require.NoError(t, connect(c, "127.0.0.1", b.Port, keepalive))
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.ErrorIs(t, c.UsernamePwSet("a", "b"), mosquitto.ErrBusy)
			require.NoError(t, c.LoopStop(false))
		})
	}
}
