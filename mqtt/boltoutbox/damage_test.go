package boltoutbox_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

var messages = []byte("messages")

// prepared returns the file of a closed outbox with three messages.
func prepared(t *testing.T) (file string, keys []uint64) {
	t.Helper()
	file = newFile(t)
	o := open(t, file)
	keys = put(t, o, 3)
	require.NoError(t, o.Close())
	return file, keys
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return b
}

// refused asserts that Open refuses a file, that the error contains its path, and that
// the file is unchanged.
func refused(t *testing.T, file string, want error, text string) {
	t.Helper()
	before := content(t, file)
	_, err := boltoutbox.Open(file)
	if want != nil {
		require.ErrorIs(t, err, want)
	}
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, text)
	require.Equal(t, before, content(t, file))
}

func TestOpen_RefusesForeignFiles(t *testing.T) {
	text := newFile(t)
	require.NoError(t, os.WriteFile(text, []byte("temperature: 20.5\n"), 0o600))
	refused(t, text, boltoutbox.ErrDamaged, "not an outbox, or damaged")
	require.NoError(t, os.WriteFile(text, make([]byte, 1<<20), 0o600))
	refused(t, text, boltoutbox.ErrDamaged, "not an outbox, or damaged")

	other := newFile(t)
	edit(t, other, func(tx *bolt.Tx) {
		_, err := tx.CreateBucket(messages)
		require.NoError(t, err)
	})
	refused(t, other, boltoutbox.ErrDamaged, "database of another program")

	newer, _ := prepared(t)
	edit(t, newer, func(tx *bolt.Tx) {
		require.NoError(t, tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("mosquitto-go outbox 2")))
	})
	refused(t, newer, nil, "written by a newer version")
}

func TestOpen_AcceptsEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := boltoutbox.Open(dir)
	require.ErrorContains(t, err, dir)
	_, err = boltoutbox.Open(dir + "/no/outbox")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, dir+"/no/outbox")

	empty := newFile(t) // a crash may leave an empty file
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	put(t, open(t, empty), 1)
	unused := newFile(t) // a crash may also leave an empty database
	edit(t, unused, func(*bolt.Tx) {})
	put(t, open(t, unused), 1)
}

func TestOpen_RefusesTruncatedFiles(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	for range 10 {
		_, err := o.Put(&mqtt.Publication{Topic: "a", Payload: make([]byte, 100_000), QoS: 1})
		require.NoError(t, err)
	}
	require.NoError(t, o.Close())
	whole := content(t, file)
	for _, size := range []int{1, 100, 4096, 8192, 16384, len(whole) / 4, len(whole) / 2} {
		require.NoError(t, os.WriteFile(file, whole[:size], 0o600))
		refused(t, file, boltoutbox.ErrDamaged, "not an outbox, or damaged")
	}
}

// damaged asserts that Load stops at a damaged record and returns an error.
func damaged(t *testing.T, file string, before []uint64, text string) {
	t.Helper()
	o := open(t, file)
	defer o.Close()
	var got []uint64
	err := o.Load(0, func(key uint64, _ *mqtt.Publication) bool {
		got = append(got, key)
		return true
	})
	require.ErrorIs(t, err, boltoutbox.ErrDamaged)
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, text)
	require.Equal(t, before, got)
	require.Equal(t, 3, length(t, o), "the other records are still stored")
	_, err = mqtt.Dial(wait.Soon(t), []string{"127.0.0.1:1"}, mqtt.WithOutbox(o))
	require.ErrorIs(t, err, boltoutbox.ErrDamaged)
}

func TestLoad_StopsAtADamagedRecord(t *testing.T) {
	file, keys := prepared(t)
	var second, record []byte
	edit(t, file, func(tx *bolt.Tx) {
		c := tx.Bucket(messages).Cursor()
		c.First()
		k, v := c.Next()
		second, record = append(second, k...), append(record, v...)
	})
	set := func(value []byte) {
		edit(t, file, func(tx *bolt.Tx) { require.NoError(t, tx.Bucket(messages).Put(second, value)) })
	}
	for i := range record { // one bit of each byte
		changed := append([]byte{}, record...)
		changed[i] ^= 1 << (i % 8)
		set(changed)
		damaged(t, file, keys[:1], "message 2: ")
	}
	for n := range record {
		set(record[:n])
		damaged(t, file, keys[:1], "message 2: ")
	}
	set(append(record, 0))
	damaged(t, file, keys[:1], "message 2: ")

	edit(t, file, func(tx *bolt.Tx) { // a valid record under the wrong key
		require.NoError(t, tx.Bucket(messages).Put(second, tx.Bucket(messages).Get([]byte{0, 0, 0, 0, 0, 0, 0, 1})))
	})
	damaged(t, file, keys[:1], "message 2: ")

	edit(t, file, func(tx *bolt.Tx) {
		require.NoError(t, tx.Bucket(messages).Delete(second))
		require.NoError(t, tx.Bucket(messages).Put([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0}, record))
	})
	refused(t, file, boltoutbox.ErrDamaged, "a key that is invalid")
}

// With arbitrary damage the process survives, and messages that are returned are
// correct.
func TestLoad_SurvivesRandomDamage(t *testing.T) {
	file := newFile(t)
	o := open(t, file)
	put(t, o, 300)
	require.NoError(t, o.Close())
	whole := content(t, file)
	r := rand.New(rand.NewPCG(1, 2)) // fixed seed: bbolt has no checksums, and a rare kind of damage makes it loop
	refused, stopped := 0, 0
	for range 100 {
		changed := append([]byte{}, whole...)
		for range 1 + r.IntN(20) {
			changed[r.IntN(len(changed))] ^= 1 << r.IntN(8)
		}
		file := newFile(t)
		require.NoError(t, os.WriteFile(file, changed, 0o600))
		o, err := boltoutbox.Open(file)
		if err != nil {
			require.ErrorContains(t, err, file)
			refused++
			continue
		}
		want := 0
		err = o.Load(0, func(key uint64, p *mqtt.Publication) bool {
			require.Equal(t, *message("a", int(key-1)), *p)
			want++
			return true
		})
		if err != nil {
			require.ErrorContains(t, err, file)
			stopped++
		}
		_ = o.Close()
	}
	t.Logf("%d files refused, %d stopped at a record", refused, stopped)
	require.Positive(t, stopped)
}
