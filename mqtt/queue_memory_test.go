//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// memoryInUse returns the memory of this process in bytes: Go's heap after a garbage collection,
// and all memory, which includes the library's.
func memoryInUse(t testing.TB) (heap, all int) {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	_, err = fmt.Sscan(strings.Fields(string(text))[1], &all)
	require.NoError(t, err)
	return int(m.HeapAlloc), all * os.Getpagesize()
}

// The memory of the queue stays within its limits of messages and bytes. The size of a
// message includes its properties.
func TestQueueMemory_IsBoundedDuringFaults(t *testing.T) {
	b := plain(t)
	const messages, bytes, size = 1000, 1 << 20, 8 << 10
	for _, policy := range []mqtt.QueueFull{mqtt.WaitForRoom, mqtt.Refuse, mqtt.DropOldestQoS0} {
		for _, x := range networkFaults {
			if !slices.Contains([]string{"cut", "half-close up", "stall", "black hole", "low rate"}, x.name) {
				continue // the other faults fill the queue in the same ways
			}
			t.Run(fmt.Sprint(policy, " ", x.name), func(t *testing.T) {
				p := faultproxy.Start(t, b.Addr())
				c := dial(t, p.Port, shortConnectTimeout(), mqtt.WithProtocol(mqtt.V5), mqtt.WithQueue(messages, bytes, policy))
				x.begin(p)
				before, allBefore := memoryInUse(t)
				ctx, cancel := context.WithCancel(context.Background())
				cancel() // WaitForRoom must not block
				for n := range 3000 {
					one := context.Background()
					if policy == mqtt.WaitForRoom && n >= bytes/(3*size) {
						one = ctx
					}
					c.PublishAsync(one, "a", make([]byte, size/100), mqtt.WithQoS(mqtt.QoS(n%3)),
						mqtt.WithUserProperty("name", strings.Repeat("x", size)))
				}
				require.LessOrEqual(t, c.Stats().Queued, messages)
				require.LessOrEqual(t, c.Stats().QueuedBytes, bytes)
				after, allAfter := memoryInUse(t)
				require.Less(t, after-before, 3*bytes)
				require.Less(t, allAfter-allBefore, 64<<20)
			})
		}
	}
}
