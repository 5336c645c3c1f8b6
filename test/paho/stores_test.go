package paho_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	theirmqtt "github.com/eclipse/paho.mqtt.golang"
	theirpackets "github.com/eclipse/paho.mqtt.golang/packets"
	ourmqtt "github.com/mosquitto-go/mosquitto/paho"
	ourpackets "github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStores_HoldTheSame does the same random operations with the stores of both sides,
// before Open, while they are open, and after Close.
func TestStores_HoldTheSame(t *testing.T) {
	for name, stores := range map[string]struct {
		their   theirmqtt.Store
		our     ourmqtt.Store
		ordered bool
	}{
		"memory":  {theirmqtt.NewMemoryStore(), ourmqtt.NewMemoryStore(), false},
		"ordered": {theirmqtt.NewOrderedMemoryStore(), ourmqtt.NewOrderedMemoryStore(), true},
		"files":   {theirmqtt.NewFileStore(filepath.Join(t.TempDir(), "a/b")), ourmqtt.NewFileStore(filepath.Join(t.TempDir(), "a/b")), false},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 4)) // always the same operations
			their, our := stores.their, stores.our
			same := func(i int) {
				t.Helper()
				theirKeys, ourKeys := their.All(), our.All()
				if !stores.ordered { // the stores promise no order
					slices.Sort(theirKeys)
					slices.Sort(ourKeys)
				}
				require.Len(t, ourKeys, len(theirKeys), "operation %d", i)
				if len(theirKeys) > 0 {
					require.Equal(t, theirKeys, ourKeys, "operation %d", i)
				}
				for _, key := range append(theirKeys, "o.999") {
					theirPacket, ourPacket := their.Get(key), our.Get(key)
					require.Equal(t, theirPacket == nil, ourPacket == nil, key)
					if theirPacket != nil {
						require.Equal(t, exported(theirPacket), exported(ourPacket), key)
					}
				}
			}
			open := func() { their.Open(); our.Open() }
			closeBoth := func() { their.Close(); our.Close() }
			put := func(i int) {
				key := fmt.Sprintf("%c.%d", "io"[random.IntN(2)], random.IntN(9))
				theirPacket, ourPacket := messages(uint16(i))
				their.Put(key, theirPacket)
				our.Put(key, ourPacket)
			}
			put(0) // not open yet
			open()
			for i := range 500 {
				switch random.IntN(20) {
				case 0:
					their.Reset()
					our.Reset()
				case 1:
					closeBoth()
					put(i)
					same(i)
					open()
				case 2, 3, 4, 5, 6, 7, 8:
					key := fmt.Sprintf("%c.%d", "io"[random.IntN(2)], random.IntN(9))
					their.Del(key)
					our.Del(key)
				default:
					put(i)
				}
				same(i)
			}
		})
	}
}

// messages are the same PUBLISH of both sides.
func messages(id uint16) (*theirpackets.PublishPacket, *ourpackets.PublishPacket) {
	their := theirpackets.NewControlPacket(theirpackets.Publish).(*theirpackets.PublishPacket)
	their.TopicName, their.Qos, their.MessageID, their.Payload = "topic", 1, id, []byte(fmt.Sprint("message ", id))
	our := ourpackets.NewControlPacket(ourpackets.Publish).(*ourpackets.PublishPacket)
	our.TopicName, our.Qos, our.MessageID, our.Payload = "topic", 1, id, []byte(fmt.Sprint("message ", id))
	return their, our
}

// TestFileStore_ReadsTheFilesOfTheOther lets each side read what the other has written,
// and a file that is cut off.
func TestFileStore_ReadsTheFilesOfTheOther(t *testing.T) {
	dir := t.TempDir()
	their, our := theirmqtt.NewFileStore(dir), ourmqtt.NewFileStore(dir)
	their.Open()
	our.Open()
	theirPacket, ourPacket := messages(7)
	their.Put("o.7", theirPacket)
	require.NotNil(t, our.Get("o.7"))
	assert.Equal(t, exported(their.Get("o.7")), exported(our.Get("o.7")))
	our.Put("o.8", ourPacket)
	require.NotNil(t, their.Get("o.8"))
	assert.Equal(t, exported(our.Get("o.8")), exported(their.Get("o.8")))
	assert.ElementsMatch(t, []string{"o.7", "o.8"}, our.All())

	file := filepath.Join(dir, "o.8.msg")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, whole[:len(whole)-3], 0o600))
	assert.Nil(t, our.Get("o.8"))
	assert.NoFileExists(t, file)
	assert.FileExists(t, filepath.Join(dir, "o.8.CORRUPT"))
}
