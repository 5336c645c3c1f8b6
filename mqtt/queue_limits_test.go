//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// unreachable returns a client that cannot connect until the test calls AcceptNew of the fault
// proxy. The channel gets the messages that the client publishes on "a".
func unreachable(t *testing.T, options ...mqtt.Option) (*mqtt.Client, *faultproxy.Proxy, <-chan mqtt.Message) {
	t.Helper()
	b := plain(t)
	proxy := faultproxy.Start(t, b.Addr())
	proxy.RefuseNew()
	h, got := collect()
	require.NoError(t, dial(t, b.Port).Subscribe(wait.Soon(t), "a", 1, h))
	return dial(t, proxy.Port, append(options, mqtt.WithBackgroundConnect())...), proxy, got
}

// number publishes a number on "a". Numbers below 10 have a payload of one byte.
func number(t *testing.T, c *mqtt.Client, n int, options ...mqtt.PublishOption) *mqtt.Token {
	return c.PublishAsync(wait.Soon(t), "a", fmt.Append(nil, n), options...)
}

// The queue refuses messages above its limit, and keeps the order of accepted messages.
func TestQueueLimits_RefuseReturnsErrQueueFull(t *testing.T) {
	t.Parallel()
	c, proxy, got := unreachable(t, mqtt.WithQueue(5, 1000, mqtt.Refuse))
	for n := range 5 {
		requirePending(t, number(t, c, n, mqtt.WithQoS(mqtt.QoS(n%2))))
	}
	for range 3 {
		require.ErrorIs(t, c.Publish(wait.Soon(t), "a", []byte("more")), mqtt.ErrQueueFull)
	}
	s := c.Stats()
	require.Equal(t, 5, s.Queued)
	require.Equal(t, 5*len("a0"), s.QueuedBytes)
	require.Zero(t, s.InFlight)
	proxy.AcceptNew()
	awaitNumbers(t, got, sequence(0, 4)...)
	wait.Until(t, "room", func() bool { return c.Stats().Queued == 0 })
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("5")))
	awaitNumbers(t, got, 5)
}

// The limit counts the bytes of topic and payload.
func TestQueueLimits_CountBytes(t *testing.T) {
	t.Parallel()
	c, _, _ := unreachable(t, mqtt.WithQueue(1000, 100, mqtt.Refuse))
	requirePending(t, c.PublishAsync(wait.Soon(t), "a", make([]byte, 60)))
	require.ErrorIs(t, c.Publish(wait.Soon(t), "a", make([]byte, 60)), mqtt.ErrQueueFull)
	requirePending(t, c.PublishAsync(wait.Soon(t), "a", make([]byte, 30)))
	require.Equal(t, 92, c.Stats().QueuedBytes)
	for _, policy := range []mqtt.QueueFull{mqtt.WaitForRoom, mqtt.Refuse, mqtt.DropOldestQoS0} {
		c, _, _ := unreachable(t, mqtt.WithQueue(1000, 100, policy))
		require.ErrorIs(t, c.Publish(wait.Soon(t), "a", make([]byte, 100)), mqtt.ErrQueueFull, "would never fit")
	}
}

// Waiting publishers continue in the order of their calls, or return when their context ends.
func TestQueueLimits_WaitForRoomBlocks(t *testing.T) {
	t.Parallel()
	c, proxy, got := unreachable(t, mqtt.WithQueue(3, 1000, mqtt.WaitForRoom))
	for n := range 3 {
		requirePending(t, number(t, c, n))
	}
	err := c.Publish(context50ms(t), "a", []byte("never"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, mqtt.ErrAbandoned)
	require.ErrorIs(t, c.PublishAsync(context50ms(t), "a", []byte("never")).Err(), context.DeadlineExceeded)
	require.Equal(t, 3, c.Stats().Queued)
	accepted := make(chan *mqtt.Token, 10)
	go func() {
		for n := 3; n < 10; n++ {
			accepted <- number(t, c, n)
		}
	}()
	wait.None(t, accepted, "acceptance")
	proxy.AcceptNew()
	awaitNumbers(t, got, sequence(0, 9)...)
	for range 7 {
		require.NoError(t, wait.For(t, accepted, "acceptance").Wait(wait.Soon(t)))
	}
}

// QoS 1 is never dropped.
func TestQueueLimits_DropOldestQoS0DropsOnlyQoS0(t *testing.T) {
	t.Parallel()
	c, proxy, got := unreachable(t, mqtt.WithQueue(4, 1000, mqtt.DropOldestQoS0))
	var tokens []*mqtt.Token
	for n, qos := range []mqtt.QoS{0, 1, 0, 1, 0, 1} { // 4 replaces 0, and 5 replaces 2
		tokens = append(tokens, number(t, c, n, mqtt.WithQoS(qos)))
	}
	require.ErrorIs(t, tokens[0].Wait(wait.Soon(t)), mqtt.ErrDropped)
	require.ErrorIs(t, tokens[2].Wait(wait.Soon(t)), mqtt.ErrDropped)
	tokens = append(tokens, number(t, c, 6)) // replaces 4
	require.ErrorIs(t, tokens[4].Wait(wait.Soon(t)), mqtt.ErrDropped)
	require.ErrorIs(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(0)), mqtt.ErrQueueFull)
	require.Equal(t, 4, c.Stats().Queued)
	require.EqualValues(t, 3, c.Stats().Failed)
	proxy.AcceptNew()
	awaitNumbers(t, got, 1, 3, 5, 6)
	for _, n := range []int{1, 3, 5, 6} {
		require.NoError(t, tokens[n].Wait(wait.Soon(t)))
	}
}

func TestQueueLimits_HoldForABrokerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, _ := dialScriptedBroker(t, p, mqtt.WithQueue(500, 1<<30, mqtt.Refuse))
	for range 500 {
		c.PublishAsync(wait.Soon(t), "a", make([]byte, 50_000))
	}
	require.ErrorIs(t, c.PublishAsync(wait.Soon(t), "a", nil).Err(), mqtt.ErrQueueFull)
	require.Equal(t, 500, c.Stats().Queued)
}

// The test is not parallel, because it measures the heap of the process.
func TestQueueLimits_MemoryOfflineIsBounded(t *testing.T) {
	c, _, _ := unreachable(t, mqtt.WithQueue(1000, 4<<20, mqtt.DropOldestQoS0))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	payload := make([]byte, 10_000)
	for range 8000 { // 80 MB
		c.PublishAsync(context.Background(), "a", payload, mqtt.WithQoS(0))
	}
	require.Less(t, heap(), before+8<<20)
	require.LessOrEqual(t, c.Stats().QueuedBytes, 4<<20)
}
