//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/lowfds"
	"github.com/mosquitto-go/mosquitto/internal/race"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The test is not parallel, because it opens all file descriptors up to 1023.
func TestScale_FileDescriptorsAbove1023Work(t *testing.T) {
	lowfds.Descriptors(t)
	b := plain(t)
	var m *mosquitto.Client
	c := dial(t, b.Port, underneath(&m))
	require.Greater(t, m.Socket(), 1023)
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 2, h))
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(qos)))
		wait.For(t, got, "a message")
	}
	b.Kill()
	b.Restart()
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	wait.For(t, got, "a message after a reconnect")
	require.Greater(t, m.Socket(), 1023)
}

// count returns the number of entries of a folder of /proc/self.
func count(t *testing.T, folder string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/" + folder)
	require.NoError(t, err)
	return len(entries)
}

// A client needs one goroutine and four file descriptors, and no thread.
func TestScale_ThousandClientsNeedNoThreads(t *testing.T) {
	if isChild(t) {
		port, err := strconv.Atoi(os.Getenv("PORT"))
		require.NoError(t, err)
		thousandClients(t, port)
		return
	}
	t.Parallel()
	said, err := runInChild(t, fmt.Sprint("PORT=", plain(t).Port))
	require.NoError(t, err, said)
	require.Contains(t, said, "--- PASS")
}

// stackBytes returns the memory of all stacks. The garbage collector halves the stacks
// of goroutines that use less than a quarter.
func stackBytes() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}

func thousandClients(t *testing.T, port int) {
	const n, atOnce = 1000, 10
	left := leak.Take()
	goroutines, descriptors := runtime.NumGoroutine(), count(t, "fd")
	clients, failed := make([]*mqtt.Client, n), make(chan error, n)
	got := make(chan string, n)
	inParallel := func(f func(i int)) {
		var running sync.WaitGroup
		for first := range atOnce {
			running.Add(1)
			go func() {
				defer running.Done()
				for i := first; i < n; i += atOnce {
					f(i)
				}
			}()
		}
		running.Wait()
	}
	inParallel(func(i int) {
		own := fmt.Sprint("client/", i)
		c, err := mqtt.Dial(wait.Soon(t), []string{url(port)}, mqtt.WithSubscription(own, 1, func(_ context.Context, m mqtt.Message) { got <- m.Topic }))
		clients[i] = c
		failed <- err
	})
	for range n {
		require.NoError(t, <-failed)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+n+10, "goroutines")
	require.LessOrEqual(t, count(t, "fd"), descriptors+4*n+10, "descriptors")
	require.LessOrEqual(t, count(t, "task"), 10*runtime.NumCPU()+3*atOnce, "threads")
	require.Zero(t, leak.LibraryThreads())
	inParallel(func(i int) { failed <- clients[i].Publish(wait.Soon(t), fmt.Sprint("client/", (i+1)%n), nil) })
	topics := map[string]bool{}
	for range n {
		require.NoError(t, <-failed)
		topics[wait.For(t, got, "a message")] = true
	}
	require.Len(t, topics, n, "each message must arrive on the topic of its client")
	if !race.Instrumented() {
		require.Less(t, stackBytes()/n, 5<<10, "a stack of 4 KiB for each idle client, although it has grown for the messages")
	}
	inParallel(func(i int) { failed <- clients[i].Close(wait.Soon(t)) })
	for range n {
		require.NoError(t, <-failed)
	}
	require.Empty(t, left.Left(wait.Patience))
}

// By default TCP_NODELAY is on and many messages may be in flight.
func TestScale_DefaultsDoNotDelay(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	var m *mosquitto.Client
	c, conn := dialScriptedBroker(t, p, underneath(&m))
	value, err := syscall.GetsockoptInt(m.Socket(), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	require.NoError(t, err)
	require.NotZero(t, value)
	tokens := make([]*mqtt.Token, 150)
	for i := range tokens {
		tokens[i] = c.PublishAsync(wait.Soon(t), "a", nil)
	}
	for range 100 { // no acknowledgements; the library's own default limit is 20
		conn.Expect(fakebroker.PUBLISH)
	}
	for mid := range 150 {
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(mid+1)))
		if mid < 50 {
			conn.Expect(fakebroker.PUBLISH)
		}
	}
	for _, token := range tokens {
		require.NoError(t, token.Wait(wait.Soon(t)))
	}
}
