package boltoutbox_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

func TestOutbox_ReturnsStoredMessages(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	want := []mqtt.Publication{
		{Topic: "a", QoS: 1},
		{Topic: "a/b", Payload: []byte("x"), QoS: 2, Retain: true},
		{Topic: strings.Repeat("ä", 30_000), Payload: []byte{0, 255}, QoS: 1},
		{Topic: "large", Payload: bytes.Repeat([]byte("0123456789abcdef"), 300_000), QoS: 2},
		{Topic: "a", Payload: []byte("x"), QoS: 1, Properties: mqtt.Properties{
			{ID: mosquitto.PropPayloadFormatIndicator, Number: 1},
			{ID: mosquitto.PropMessageExpiryInterval, Number: 1<<32 - 1},
			{ID: mosquitto.PropContentType, Text: "text/plain"},
			{ID: mosquitto.PropCorrelationData, Data: []byte{1, 0, 2}},
			{ID: mosquitto.PropUserProperty, Name: "a", Text: "b"},
			{ID: mosquitto.PropUserProperty, Name: "a", Text: ""},
		}},
	}
	var keys []uint64
	for _, p := range want {
		payload := slices.Clone(p.Payload)
		p.Payload = payload
		key, err := o.Put(&p)
		require.NoError(t, err)
		clear(payload) // Put must not keep the payload
		keys = append(keys, key)
	}
	for range 2 {
		gotKeys, got := stored(t, o, 0)
		require.Equal(t, keys, gotKeys)
		require.True(t, slices.IsSorted(keys))
		for i := range want {
			require.Len(t, got[i].Payload, len(want[i].Payload))
			require.True(t, bytes.Equal(want[i].Payload, got[i].Payload))
			got[i].Payload = want[i].Payload
			require.Equal(t, want[i], got[i])
		}
		require.Equal(t, len(want), length(t, o))
		require.NoError(t, o.Close())
		o = open(t, file)
	}
}

// The format is documented, and other versions of this package must be able to read it.
func TestOutbox_FormatIsAsDocumented(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	_, err := o.Put(&mqtt.Publication{Topic: "a/b", Payload: []byte("xyz"), QoS: 2, Retain: true, Properties: mqtt.Properties{
		{ID: mosquitto.PropMessageExpiryInterval, Number: 300},
		{ID: mosquitto.PropUserProperty, Name: "n", Text: "v"},
	}})
	require.NoError(t, err)
	require.NoError(t, o.Close())
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	edit(t, file, func(tx *bolt.Tx) {
		require.Equal(t, "mosquitto-go outbox 1", string(tx.Bucket([]byte("meta")).Get([]byte("format"))))
		key, record := tx.Bucket([]byte("messages")).Cursor().First()
		require.Equal(t, "0000000000000001", hex.EncodeToString(key))
		require.Equal(t, "01"+"06"+"03"+hex.EncodeToString([]byte("a/b"))+"02"+
			"02"+"ac02"+"00"+"00"+"00"+
			"26"+"00"+"01"+"6e"+"01"+"76"+"00"+
			hex.EncodeToString([]byte("xyz"))+"c0230b6d", hex.EncodeToString(record))
	})
}

// edit changes the database directly.
func edit(t testing.TB, file string, f func(tx *bolt.Tx)) {
	t.Helper()
	db, err := bolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		f(tx)
		return nil
	}))
}

func TestLoad_ContinuesAfterAKey(t *testing.T) {
	o := open(t, newFile(t))
	keys := put(t, o, 10)
	got, _ := stored(t, o, keys[3])
	require.Equal(t, keys[4:], got)
	got, _ = stored(t, o, keys[9])
	require.Empty(t, got)
	seen := 0
	require.NoError(t, o.Load(0, func(uint64, *mqtt.Publication) bool {
		seen++
		return seen < 3
	}))
	require.Equal(t, 3, seen)
}

func TestDelete_RemovesMessagesAtOnce(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	keys := put(t, o, 5)
	for _, key := range []uint64{keys[0], keys[2], keys[2], 999} { // one key twice, and one unknown key
		o.Delete(key)
	}
	for range 3 {
		got, _ := stored(t, o, 0)
		require.Equal(t, []uint64{keys[1], keys[3], keys[4]}, got, "deleted at once, even before the deletion is written")
		last := put(t, o, 1)[0] // the deletions are written with it
		o.Delete(last)
	}
	require.NoError(t, o.Close())
	o = open(t, file)
	require.Equal(t, 3, length(t, o))
	for i, key := range []uint64{keys[1], keys[3], keys[4]} {
		o.Delete(key)
		require.Equal(t, 2-i, length(t, o))
	}
	wait.Until(t, "the deletions on the disk", func() bool { return recordsOf(t, file) == 0 })
	next := put(t, o, 1)[0]
	require.Greater(t, next, keys[4], "keys are not reused while the outbox is open")
}

// recordsOf returns the number of records in the file. It reads a copy, because the
// file is locked.
func recordsOf(t *testing.T, file string) (n int) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	copied := newFile(t)
	require.NoError(t, os.WriteFile(copied, content, 0o600))
	edit(t, copied, func(tx *bolt.Tx) { n = tx.Bucket([]byte("messages")).Stats().KeyN })
	return n
}

func TestClose_WritesTheDeletions(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	key := put(t, o, 1)[0]
	o.Delete(key)
	require.NoError(t, o.Close())
	require.NoError(t, o.Close())
	_, err := o.Put(message("a", 1))
	require.ErrorIs(t, err, boltoutbox.ErrClosed)
	_, err = o.Len()
	require.ErrorIs(t, err, boltoutbox.ErrClosed)
	require.ErrorIs(t, o.Load(0, func(uint64, *mqtt.Publication) bool { return true }), boltoutbox.ErrClosed)
	o.Delete(key)
	require.Zero(t, recordsOf(t, file), "Close writes the deletions")
}

// Concurrent Puts share a transaction, which also writes the deletions. Otherwise each
// message would need several writes to the disk.
func TestPut_SharesTransactions(t *testing.T) {
	const goroutines, each = 64, 30
	file := newFile(t)
	o := open(t, file)
	before := transactions(t, file)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := uint64(0)
			for i := range each {
				key, err := o.Put(message("a", i))
				if err != nil || key <= last {
					t.Errorf("key %d after %d: %v", key, last, err)
				}
				last = key
				o.Delete(key)
			}
		}()
	}
	wg.Wait()
	require.NoError(t, o.Close())
	require.Zero(t, recordsOf(t, file))
	made := transactions(t, file) - before
	t.Logf("%d messages put and deleted in %d transactions", goroutines*each, made)
	require.Less(t, made, goroutines*each/2)
}

// transactions returns the number of transactions of a file so far.
func transactions(t *testing.T, file string) (n int) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	copied := newFile(t)
	require.NoError(t, os.WriteFile(copied, content, 0o600))
	edit(t, copied, func(tx *bolt.Tx) { n = tx.ID() })
	return n
}

func TestOutbox_IsSafeForConcurrentUse(t *testing.T) {
	o := open(t, newFile(t))
	var wg sync.WaitGroup
	run := func(f func()) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				f()
			}
		}()
	}
	for range 4 {
		run(func() {
			if key, err := o.Put(message("a", 1)); err == nil {
				o.Delete(key)
			}
		})
		run(func() { _ = o.Load(0, func(uint64, *mqtt.Publication) bool { return true }) })
		run(func() { _, _ = o.Len() })
	}
	run(func() { _, _ = o.Put(message("a", 2)) })
	wg.Wait()
	require.Equal(t, 50, length(t, o))
	for range 4 {
		run(func() { _, _ = o.Put(message("a", 3)) })
	}
	require.NoError(t, o.Close())
	wg.Wait()
}
