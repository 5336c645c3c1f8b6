package mosquitto

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// A panic passes through C as a number.
func TestPanicTickets_KeepPanics(t *testing.T) {
	first, second := keepPanic("one"), keepPanic(io.EOF)
	require.NotZero(t, first)
	require.NotZero(t, second)
	require.NotEqual(t, first, second)

	e := takePanic(second)
	require.ErrorIs(t, e, io.EOF)
	require.Contains(t, string(e.Stack), "TestPanicTickets_KeepPanics")
	require.Contains(t, e.Error(), "panic in a mosquitto callback: EOF")
	require.Contains(t, e.Error(), "TestPanicTickets_KeepPanics")

	again := keepPanic(e) // as when it passes through an outer callback
	require.Same(t, e, takePanic(again))

	e = takePanic(first)
	require.Equal(t, "one", e.Value)
	require.NoError(t, errors.Unwrap(e))
	require.Empty(t, panics.waiting)
}

func TestPanicTickets_AreNeverZero(t *testing.T) {
	panics.Lock()
	last := panics.last
	panics.last = 1 << 30
	panics.Unlock()
	ticket := keepPanic(1)
	require.EqualValues(t, 1, ticket)
	require.Equal(t, 1, takePanic(ticket).Value)
	panics.Lock()
	panics.last = max(last, 1)
	panics.Unlock()
}

func TestGuarded_KeepsPanics(t *testing.T) {
	require.Zero(t, guarded(func() {}))
	ticket := guarded(func() { panic("x") })
	require.Equal(t, "x", takePanic(int32(ticket)).Value)
	ticket = guarded(func() {
		var none []int
		none[len(none)] = 1
	})
	var runtimeError interface{ RuntimeError() }
	require.ErrorAs(t, takePanic(int32(ticket)), &runtimeError)
}

// An event is passed from C to Go only if it has a callback.
func TestListeners_OnlyTheirEventsReachGo(t *testing.T) {
	c, err := New("", true, nil)
	require.NoError(t, err)
	defer c.Close()
	calls := 0
	tell := func() { gomosqGoPublish(_Ctype_uintptr_t(c.id), 1, 0, nil, 0) }

	require.Zero(t, c.c.interest)
	tell()
	require.Zero(t, calls)

	c.OnPublish(func(*Client, int, ReasonCode, Properties) { calls++ })
	require.EqualValues(t, evPublish, c.c.interest)
	tell()
	require.Equal(t, 1, calls)

	c.OnMessage(func(*Client, Message) {})
	require.EqualValues(t, evPublish|evMessage, c.c.interest)
	c.OnPublish(nil)
	require.EqualValues(t, evMessage, c.c.interest)
	tell()
	require.Equal(t, 1, calls)

	c.OnPublish(func(*Client, int, ReasonCode, Properties) { calls++ })
	id := c.id
	require.NoError(t, c.gate.enter()) // a running call keeps the client after Close
	require.True(t, c.shut())
	gomosqGoPublish(_Ctype_uintptr_t(id), 1, 0, nil, 0)
	require.Equal(t, 1, calls, "after Close no callback starts")
	c.end()
	c.end()
	require.Nil(t, lookupHandle(id))
}

func TestListeners_AreRemovedByReinitialise(t *testing.T) {
	c, err := New("", true, 1)
	require.NoError(t, err)
	defer c.Close()
	c.OnConnect(func(*Client, Connack) {})
	c.OnLog(func(*Client, LogLevel, string) {})
	require.NoError(t, c.Reinitialise("", true, 2))
	require.Equal(t, 2, c.UserData())
	require.Zero(t, c.c.interest)
	require.False(t, c.logging.Load())
	_, on := c.listeners.connect.get()
	require.False(t, on)
	c.OnConnect(func(*Client, Connack) {})
	require.EqualValues(t, evConnect, c.c.interest)
}

func TestLogLevel_HasAName(t *testing.T) {
	for level, name := range map[LogLevel]string{
		LogInfo: "info", LogNotice: "notice", LogWarning: "warning", LogErr: "error", LogDebug: "debug",
		LogSubscribe: "subscribe", LogUnsubscribe: "unsubscribe", LogWebsockets: "websockets", LogInternal: "internal",
		LogInfo | LogErr: "level 0x9",
	} {
		require.Equal(t, name, level.String())
	}
	require.EqualValues(t, 0xffffffff, LogAll)
}
