package test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

type line struct {
	level mosquitto.LogLevel
	text  string
}

// logTo sends the client's log lines of these levels to a channel.
func logTo(c *mosquitto.Client, levels ...mosquitto.LogLevel) <-chan line {
	lines := make(chan line, 10000)
	c.OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) { lines <- line{level, text} }, levels...)
	return lines
}

// count counts the lines in the channel that contain text.
func count(lines <-chan line, text string) (n int) {
	for {
		select {
		case l := <-lines:
			if strings.Contains(l.text, text) {
				n++
			}
		default:
			return n
		}
	}
}

func TestOnLog_ReportsEachPacket(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "logged", true)
	lines := logTo(c)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 1)
	_, err := c.Publish("a", []byte("x"), 1, false)
	require.NoError(t, err)
	wait.For(t, e.message, "OnMessage")
	wait.For(t, e.publish, "OnPublish")
	leave(t, c, e, ended)
	seen := map[string]int{"sending CONNECT": 1, "received CONNACK": 1, "sending SUBSCRIBE": 1, "sending PUBLISH": 1, "received PUBLISH": 1, "sending PUBACK": 1, "sending DISCONNECT": 1}
	for len(lines) > 0 {
		l := <-lines
		require.Equal(t, mosquitto.LogDebug, l.level, l.text)
		require.NotEmpty(t, l.text)
		for what := range seen {
			if strings.Contains(l.text, what) {
				seen[what]--
			}
		}
	}
	for what, n := range seen {
		require.Zero(t, n, what)
	}
}

// C drops the lines of other levels.
func TestOnLog_ReportsOnlyTheseLevels(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	unwanted := logTo(c, mosquitto.LogErr, mosquitto.LogWarning, mosquitto.LogNotice)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 1)
	wait.None(t, unwanted, "log line")

	wanted := logTo(c, mosquitto.LogErr, mosquitto.LogDebug)
	subscribe(t, c, e, "b", 1)
	require.Equal(t, 1, count(wanted, "SUBSCRIBE"))
	wait.None(t, unwanted, "log line of a callback that was replaced")

	c.OnLog(nil)
	subscribe(t, c, e, "c", 1)
	wait.None(t, wanted, "log line of a callback that was removed")

	again := logTo(c)
	subscribe(t, c, e, "d", 1)
	require.Equal(t, 1, count(again, "SUBSCRIBE"))
	leave(t, c, e, ended)
}

// The library would deadlock or overflow the stack.
func TestOnLog_CallsInsideItAreRefused(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	errs := make(chan map[string]error, 1000)
	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, _ string) {
		errs <- refusedInside(c, b.Port)
	})
	ended := connect(t, c, e, b.Port)
	_, err := c.Publish("a", nil, 2, false)
	require.NoError(t, err)
	wait.For(t, e.publish, "OnPublish")
	require.Greater(t, len(errs), 3)
	for len(errs) > 0 {
		for what, err := range <-errs {
			require.ErrorIs(t, err, mosquitto.ErrInCallback, what)
		}
	}
	c.OnLog(nil)
	subscribe(t, c, e, "a", 1) // the refused calls changed nothing
	leave(t, c, e, ended)
}

// refusedInside makes all calls that are refused inside OnLog.
func refusedInside(c *mosquitto.Client, port int) map[string]error {
	_, publish := c.Publish("inside", nil, 0, false)
	_, publishV5 := c.PublishV5("inside", nil, 0, false, nil)
	_, subscribe := c.Subscribe("inside", 0)
	_, unsubscribe := c.Unsubscribe("inside")
	return map[string]error{
		"Publish": publish, "PublishV5": publishV5, "Subscribe": subscribe, "Unsubscribe": unsubscribe,
		"Disconnect": c.Disconnect(), "DisconnectV5": c.DisconnectV5(0, nil),
		"Connect": c.Connect("127.0.0.1", port, keepalive), "ConnectAsync": c.ConnectAsync("127.0.0.1", port, keepalive), "Reconnect": c.Reconnect(),
		"Loop": c.Loop(0), "LoopForever": c.LoopForever(0), "LoopRead": c.LoopRead(), "LoopWrite": c.LoopWrite(),
		"LoopMisc": c.LoopMisc(), "LoopStart": c.LoopStart(), "LoopStop": c.LoopStop(false), "Reinitialise": c.Reinitialise("", true, nil),
		"IntOption": c.IntOption(mosquitto.OptTCPNodelay, 1), "WillClear": c.WillClear(), "UsernamePwSet": c.UsernamePwSet("", ""),
		"ThreadedSet": c.ThreadedSet(true), "TLSInsecureSet": c.TLSInsecureSet(false),
	}
}

// Callbacks can be set everywhere, even OnLog inside OnLog.
func TestOnLog_MaySetCallbacks(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	first, second := make(chan string, 100), make(chan string, 10000)
	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, text string) {
		first <- text
		c.OnLog(func(_ *mosquitto.Client, _ mosquitto.LogLevel, text string) { second <- text })
		c.OnPublish(nil)
	})
	ended := connect(t, c, e, b.Port)
	require.Len(t, first, 1)
	require.NotEmpty(t, second)

	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, text string) {
		first <- text
		c.OnLog(nil)
	})
	subscribe(t, c, e, "a", 1)
	require.Len(t, first, 2)
	c.OnLog(func(_ *mosquitto.Client, _ mosquitto.LogLevel, text string) { first <- text })
	subscribe(t, c, e, "b", 1)
	require.Greater(t, len(first), 2)
	leave(t, c, e, ended)
}

// OnLog is set and removed during traffic, inside and outside callbacks.
func TestOnLog_CanBeSetDuringTraffic(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	var logged atomic.Int64
	on := func() {
		c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) { logged.Add(1) })
	}
	got := make(chan struct{}, 10000)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		if m.Payload[0]%2 == 0 {
			on()
		} else {
			c.OnLog(nil)
		}
		got <- struct{}{}
	})
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				on()
				c.OnLog(nil)
			}
		}
	}()
	const n = 2000
	for i := range n {
		_, err := c.Publish("a", []byte{byte(i)}, mosquitto.QoS(i%3), false)
		require.NoError(t, err)
	}
	for range n {
		wait.For(t, got, "OnMessage")
	}
	close(stop)
	wg.Wait()
	on()
	before := logged.Load()
	subscribe(t, c, e, "b", 0)
	require.Greater(t, logged.Load(), before)
	c.OnLog(nil)
	leave(t, c, e, ended)
}

// Without a loop, OnLog runs on the goroutine of the call that logs.
func TestOnLog_RunsInsideConnect(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "", true)
	lines := logTo(c)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	require.Equal(t, 1, count(lines, "sending CONNECT"))
}

// The client is freed when the call that logs has returned.
func TestOnLog_CloseInsideItIsDeferred(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "", true)
	closed := make(chan error, 100)
	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, _ string) { closed <- c.Close() })
	_ = c.Connect("127.0.0.1", b.Port, keepalive)
	require.NoError(t, wait.For(t, closed, "Close"))
	require.ErrorIs(t, c.Loop(0), mosquitto.ErrClosed)
	require.Empty(t, closed, "no callback starts after Close")
}
