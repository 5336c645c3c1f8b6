//go:build cgo && !asan

package mqtt_test

// The address sanitizer would change the measurements: it allocates memory and keeps freed
// memory.

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/race"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// mallocs returns the number of Go allocations per message, of all goroutines. Tests that call
// it must not be parallel.
func mallocs(n int, f func()) float64 {
	var before, after runtime.MemStats
	f() // pools and buffers fill
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

func TestMemory_AllocationsOfAMessageAreLimited(t *testing.T) {
	const n = 2000
	p := fakebroker.Listen(t)
	got := make(chan struct{}, n)
	c, conn := dialScriptedBroker(t, p, mqtt.WithDefaultHandler(func(context.Context, mqtt.Message) { got <- struct{}{} }))
	h := func(context.Context, mqtt.Message) { got <- struct{}{} }
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "some/+", 1, h) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	message := []byte(strings.Repeat(string(fakebroker.Publish(0, "some/topic", 0, "payload")), n))
	receive := mallocs(n, func() {
		conn.Send(message)
		for range n {
			<-got
		}
	})
	t.Log("received, through the router:", receive)
	require.Less(t, receive, 1.5)

	go func() { // replies to each PUBLISH, which has 14 bytes, with PUBACK
		packet, answer := make([]byte, 14), fakebroker.Ack(fakebroker.PUBACK, 0)
		for at := 0; ; {
			k, err := conn.Read(packet[at:])
			if err != nil {
				return
			}
			if at += k; at < len(packet) {
				continue
			}
			at = 0
			if packet[0]&6 != 0 {
				answer[2], answer[3] = packet[len(packet)-2], packet[len(packet)-1]
				_, _ = conn.Write(answer)
			}
		}
	}()
	ctx := context.Background()
	require.NoError(t, conn.SetDeadline(time.Time{}))
	var failed error
	publish := mallocs(n, func() {
		for range n {
			if err := c.Publish(ctx, "topic/12", nil); err != nil {
				failed = err
			}
		}
	})
	require.NoError(t, failed)
	t.Log("published with QoS 1, awaited:", publish)
	require.Less(t, publish, 2.5)

	payload := make([]byte, 100)
	tokens := make([]*mqtt.Token, n)
	async := mallocs(n, func() {
		for i := range tokens {
			tokens[i] = c.PublishAsync(ctx, "topic/12", payload, mqtt.WithQoS(0))
		}
		for _, token := range tokens[n-1:] {
			if err := token.Wait(ctx); err != nil {
				failed = err
			}
		}
	})
	require.NoError(t, failed)
	t.Log("published with QoS 0:", async)
	if !race.Enabled() { // the race detector makes a sync.Pool forget values
		require.Less(t, async, 1.2) // the token
	}
}

// resident returns the memory of this process, including C's.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// The heaps of Go and C do not grow with the number of messages and connections. The test is
// not parallel, because it measures the whole process.
func TestMemory_HeapsDoNotGrow(t *testing.T) {
	b := plain(t)
	h, got := collect()
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	payload := make([]byte, 100_000)
	round := func(n int) {
		for range n {
			token := c.PublishAsync(wait.Soon(t), "a", payload, mqtt.WithUserProperty("name", "value"))
			wait.For(t, got, "a message")
			require.NoError(t, token.Wait(wait.Soon(t)))
		}
		for range n / 50 {
			require.NoError(t, dial(t, b.Port).Close(wait.Soon(t)))
		}
	}
	round(300)
	before := resident(t)
	round(1000) // 100 MB in each direction
	require.Less(t, resident(t), before+50<<20)
}
