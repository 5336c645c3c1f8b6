package test

import (
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// everyCallback connects a client to a broker and makes each of its callbacks run f. It
// returns the results of f by callback name.
func everyCallback(t *testing.T, b *broker.Broker, f func(*mosquitto.Client, string) map[string]error) map[string]map[string]error {
	t.Helper()
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	results := make(chan inside, 100)
	installEvery(c, func(c *mosquitto.Client, kind string) { results <- inside{kind, f(c, kind)} })
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	all := make(map[string]map[string]error)
	for range len(callbackKinds()) {
		r := wait.For(t, results, "a callback")
		all[r.kind] = r.errs
		step(t, c, r.kind)
	}
	require.NoError(t, wait.For(t, ended, "the end of the loop"))
	for _, kind := range callbackKinds() {
		require.Contains(t, all, kind)
	}
	return all
}

type inside struct {
	kind string
	errs map[string]error
}

func callbackKinds() []string {
	kinds := []string{"OnConnect", "OnSubscribe", "OnMessage", "OnPublish", "OnUnsubscribe", "OnDisconnect"}
	if has21() {
		kinds = append(kinds, "OnPreConnect")
	}
	return kinds
}

// installEvery sets all callbacks. Each calls f with its name.
func installEvery(c *mosquitto.Client, f func(*mosquitto.Client, string)) {
	c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { f(c, "OnConnect") })
	c.OnDisconnect(func(c *mosquitto.Client, _ mosquitto.Disconnection) { f(c, "OnDisconnect") })
	c.OnPublish(func(c *mosquitto.Client, _ int, _ mosquitto.ReasonCode, _ mosquitto.Properties) { f(c, "OnPublish") })
	c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) { f(c, "OnMessage") })
	c.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		f(c, "OnSubscribe")
	})
	c.OnUnsubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		f(c, "OnUnsubscribe")
	})
	_ = c.OnPreConnect(func(c *mosquitto.Client) { f(c, "OnPreConnect") })
}

// step causes the next callback.
func step(t *testing.T, c *mosquitto.Client, kind string) {
	t.Helper()
	var err error
	switch kind {
	case "OnConnect":
		_, err = c.Subscribe("step", 1)
	case "OnSubscribe":
		_, err = c.Publish("step", nil, 1, false)
	case "OnPublish":
		_, err = c.Unsubscribe("step")
	case "OnUnsubscribe":
		err = c.Disconnect()
	}
	require.NoError(t, err)
}

// Before 2.0.21 the library's setters deadlock inside a callback.
func TestCallback_SettersInsideItSucceed(t *testing.T) {
	all := everyCallback(t, plain(t), func(c *mosquitto.Client, kind string) map[string]error {
		if kind != "OnConnect" && kind != "OnPreConnect" { // these two must still run
			c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) {})
		}
		c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) {})
		c.OnLog(nil)
		return settings(c)
	})
	for kind, errs := range all {
		for what, err := range errs {
			require.NoError(t, err, "%s inside %s", what, kind)
		}
	}
}

// settings calls setters that do not affect the current connection.
func settings(c *mosquitto.Client) map[string]error {
	return map[string]error{
		"IntOption": c.IntOption(mosquitto.OptTCPNodelay, 1), "UsernamePwSet": c.UsernamePwSet("a", "b"),
		"WillSet": c.WillSet("a", nil, 0, false), "WillClear": c.WillClear(), "TLSInsecureSet": c.TLSInsecureSet(true),
		"ReconnectDelaySet": c.ReconnectDelaySet(time.Second, time.Second, false),
	}
}

func TestCallback_SetInsideACallbackTakesEffectAtOnce(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	got := make(chan string, 10)
	c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) {
		got <- "first"
		c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) {
			got <- "second"
			c.OnMessage(nil)
		})
	})
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 1)
	for range 4 {
		_, err := c.Publish("a", nil, 1, false)
		require.NoError(t, err)
		wait.For(t, e.publish, "OnPublish")
	}
	subscribe(t, c, e, "b", 1) // earlier messages have arrived now
	require.Equal(t, "first", <-got)
	require.Equal(t, "second", <-got)
	wait.None(t, got, "message")
	leave(t, c, e, ended)
}

// Inside a callback, loops, Reinitialise and LoopStop are refused. Connecting is
// allowed only in OnDisconnect after a connection loss.
func TestCallback_LoopsAndConnectsInsideItAreRefused(t *testing.T) {
	b := plain(t)
	all := everyCallback(t, b, func(c *mosquitto.Client, _ string) map[string]error {
		return map[string]error{
			"Loop": c.Loop(0), "LoopForever": c.LoopForever(0), "LoopRead": c.LoopRead(), "LoopWrite": c.LoopWrite(),
			"LoopMisc": c.LoopMisc(), "LoopStart": c.LoopStart(), "LoopStop": c.LoopStop(false),
			"Reinitialise": c.Reinitialise("", true, nil), "Connect": c.Connect("127.0.0.1", b.Port, keepalive),
			"ConnectAsync": c.ConnectAsync("127.0.0.1", b.Port, keepalive), "Reconnect": c.Reconnect(), "ReconnectAsync": c.ReconnectAsync(),
		}
	})
	for kind, errs := range all {
		for what, err := range errs {
			require.ErrorIs(t, err, mosquitto.ErrInCallback, "%s inside %s", what, kind)
		}
	}
}

func TestCallback_PublishAndSubscribeInsideItOnlyQueue(t *testing.T) {
	b := plain(t)
	for qos := mosquitto.QoS(0); qos <= 2; qos++ {
		c, e := newClient(t, "", true)
		failed := make(chan error, 100)
		try := func(_ int, err error) {
			if err != nil {
				failed <- err
			}
		}
		c.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { try(c.Subscribe("chain/#", qos)) })
		c.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
			try(c.Publish("chain/0", nil, qos, false))
		})
		c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
			e.message <- m
			if m.Topic != "chain/0000000000" {
				try(c.Publish(m.Topic+"0", nil, qos, false))
			} else {
				try(c.Unsubscribe("chain/#"))
			}
		})
		published := 0
		c.OnPublish(func(c *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
			if published++; published <= 5 {
				try(c.Publish("other", nil, qos, false)) // the library's default mode would deadlock when OnPublish runs inside OnPublish
			}
		})
		c.OnUnsubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
			if err := c.Disconnect(); err != nil {
				failed <- err
			}
		})
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		require.NoError(t, wait.For(t, loop(t, c), "the end of the loop"))
		wait.None(t, failed, "failure")
		require.Len(t, e.message, 10)
	}
}

// After a connection loss OnDisconnect may reconnect, as C programs do.
func TestCallback_OnDisconnectMayReconnectAfterALoss(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "same", true)
	reconnected := make(chan error, 10)
	c.OnDisconnect(func(c *mosquitto.Client, d mosquitto.Disconnection) { reconnected <- c.Reconnect() })
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, c, e.connect)
	rival, re := newClient(t, "same", true)
	require.NoError(t, rival.Connect("127.0.0.1", b.Port, keepalive))
	turnUntil(t, rival, re.connect) // and the broker disconnects the first client
	require.NoError(t, turnOn(t, c, reconnected))
	require.NoError(t, turnUntil(t, c, e.connect).Err())

	require.NoError(t, c.Disconnect())
	err := turnOn(t, c, reconnected)
	require.ErrorIs(t, err, mosquitto.ErrInCallback, "the library 2.0 deadlocks after Disconnect")
	require.Equal(t, -1, c.Socket())
	require.NoError(t, c.Reconnect(), "outside the callback")
	require.NoError(t, turnUntil(t, c, e.connect).Err())
}

// turnOn is turnUntil for a loop that may return errors.
func turnOn[T any](t *testing.T, c *mosquitto.Client, ch <-chan T) T {
	t.Helper()
	wait.Until(t, "the callback", func() bool {
		_ = c.Loop(time.Millisecond)
		return len(ch) > 0
	})
	return <-ch
}

// Callbacks never run concurrently.
func TestCallback_RunsAloneAtAnyTime(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	busy, overlapped := make(chan struct{}, 1), make(chan struct{}, 10000)
	done := make(chan struct{}, 10000)
	alone := func() {
		select {
		case busy <- struct{}{}:
			<-busy
		default:
			overlapped <- struct{}{}
		}
		done <- struct{}{}
	}
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 1)
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) { alone() })
	c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) { alone() })
	wait.AtOnce(20, func(int) {
		for range 20 {
			_, _ = c.Publish("a", nil, 1, false)
		}
	})
	for range 2 * 400 {
		wait.For(t, done, "OnMessage and OnPublish")
	}
	wait.None(t, overlapped, "callback that ran concurrently with another")
	leave(t, c, e, ended)
}
