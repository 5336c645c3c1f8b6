package boltoutbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
)

// childVariable contains the job of a child process.
const childVariable = "BOLTOUTBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	wait.Patience = 20 * time.Second // processes start, and wait for the disk
	if job := children[os.Getenv(childVariable)]; job != nil {
		job()
		return
	}
	leak.Main(m)
}

// children are the jobs of child processes.
var children = map[string]func(){"hold": holdInChild, "publish": publishInChild, "drain": drainInChild}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "outbox") }

// open opens an outbox that is closed when the test ends.
func open(t testing.TB, file string) *boltoutbox.Outbox {
	t.Helper()
	o, err := boltoutbox.Open(file, boltoutbox.WithLockTimeout(wait.Patience))
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func message(topic string, n int) *mqtt.Publication {
	return &mqtt.Publication{Topic: topic, Payload: fmt.Append(nil, n), QoS: 1}
}

// put stores messages with the payloads from 0 to n-1.
func put(t testing.TB, o *boltoutbox.Outbox, n int) (keys []uint64) {
	t.Helper()
	for i := range n {
		key, err := o.Put(message("a", i))
		require.NoError(t, err)
		keys = append(keys, key)
	}
	return keys
}

// stored returns the stored messages with keys above after.
func stored(t testing.TB, o *boltoutbox.Outbox, after uint64) (keys []uint64, all []mqtt.Publication) {
	t.Helper()
	require.NoError(t, o.Load(after, func(key uint64, p *mqtt.Publication) bool {
		keys, all = append(keys, key), append(all, *p)
		return true
	}))
	return keys, all
}

func length(t testing.TB, o *boltoutbox.Outbox) int {
	t.Helper()
	n, err := o.Len()
	require.NoError(t, err)
	return n
}
