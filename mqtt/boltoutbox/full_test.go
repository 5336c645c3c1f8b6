package boltoutbox_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The test runs in a process of its own, whose files must not grow.
func TestPut_OnAFullDiskReturnsErrors(t *testing.T) {
	const inChild = "BOLTOUTBOX_TEST_FULL"
	if os.Getenv(inChild) == "" {
		cmd := subprocess.Command(os.Args[0], "-test.run=^TestPut_OnAFullDiskReturnsErrors$", "-test.v")
		cmd.Env = append(os.Environ(), inChild+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	file := newFile(t)
	o := open(t, file)
	limit(t, 1<<20)

	large := &mqtt.Publication{Topic: "large", Payload: make([]byte, 100_000), QoS: 1}
	var keys []uint64
	for {
		key, err := o.Put(large)
		if err != nil {
			require.ErrorContains(t, err, file)
			require.ErrorContains(t, err, syscall.EFBIG.Error())
			break
		}
		keys = append(keys, key)
	}
	require.Greater(t, len(keys), 4)
	got, all := stored(t, o, 0)
	require.Equal(t, keys, got, "exactly the accepted messages are stored")
	require.Equal(t, *large, all[len(all)-1])

	for _, key := range keys[:4] { // frees space
		o.Delete(key)
	}
	var key uint64
	wait.Until(t, "space for a message", func() (ok bool) {
		var err error
		key, err = o.Put(large)
		return err == nil
	})
	keys = append(keys[4:], key)

	for range 10 { // a message that does not fit does not affect other messages
		outcomes := make(chan error, 2)
		go func() {
			_, err := o.Put(&mqtt.Publication{Topic: "larger", Payload: make([]byte, 1<<20), QoS: 1})
			outcomes <- err
		}()
		small, err := o.Put(message("small", 1))
		require.NoError(t, err)
		require.ErrorContains(t, wait.For(t, outcomes, "Put"), syscall.EFBIG.Error())
		o.Delete(small)
	}

	limit(t, 1<<30)
	key, err := o.Put(large)
	require.NoError(t, err, "Put succeeds when there is space again")
	require.NoError(t, o.Close())
	got, _ = stored(t, open(t, file), 0)
	require.Equal(t, append(keys, key), got)
}

// limit sets the largest size of files of this process.
func limit(t *testing.T, bytes uint64) {
	t.Helper()
	var l syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l))
	l.Cur = bytes
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l))
}
