package paho_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	theirpackets "github.com/eclipse/paho.mqtt.golang/packets"
	ourpackets "github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPackets_AreWrittenTheSame fills the fields of each type of packet with random
// values, writes it with both packages, and reads it back with both.
func TestPackets_AreWrittenTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // always the same values
	for kind := byte(theirpackets.Connect); kind <= theirpackets.Disconnect; kind++ {
		for range 50 {
			their, our := theirpackets.NewControlPacket(kind), ourpackets.NewControlPacket(kind)
			assert.Equal(t, exported(their), exported(our), "a new packet")
			fill(reflect.ValueOf(their).Elem(), reflect.ValueOf(our).Elem(), random)
			require.Equal(t, exported(their), exported(our))
			if p, ok := their.(*theirpackets.ConnectPacket); ok {
				assert.Equal(t, p.Validate(), our.(*ourpackets.ConnectPacket).Validate())
			}
			assert.Equal(t, fmt.Sprintf("%+v", their.Details()), fmt.Sprintf("%+v", our.Details()))
			var theirBytes, ourBytes bytes.Buffer
			require.NoError(t, their.Write(&theirBytes))
			require.NoError(t, our.Write(&ourBytes))
			require.Equal(t, theirBytes.Bytes(), ourBytes.Bytes(), "%T %+v", their, their)
			readBoth(t, ourBytes.Bytes())
		}
	}
}

// readBoth reads a packet with both packages. Both must return the same packet, or both
// an error.
func readBoth(t *testing.T, b []byte) {
	t.Helper()
	their, theirErr := theirpackets.ReadPacket(bytes.NewReader(b))
	our, ourErr := ourpackets.ReadPacket(bytes.NewReader(b))
	require.Equal(t, theirErr == nil, ourErr == nil, "%x: theirs %v, ours %v", b, theirErr, ourErr)
	if theirErr == nil {
		require.Equal(t, exported(their), exported(our), "%x", b)
	}
}

// TestPackets_NamesAreTheSame compares what programs look up in the tables.
func TestPackets_NamesAreTheSame(t *testing.T) {
	assert.Equal(t, theirpackets.PacketNames, ourpackets.PacketNames)
	assert.Equal(t, slices.Sorted(maps.Keys(theirpackets.ConnackReturnCodes)), slices.Sorted(maps.Keys(ourpackets.ConnackReturnCodes)))
	assert.Equal(t, slices.Sorted(maps.Keys(theirpackets.ConnErrors)), slices.Sorted(maps.Keys(ourpackets.ConnErrors)))
	for code, err := range theirpackets.ConnErrors {
		assert.Equal(t, err == nil, ourpackets.ConnErrors[code] == nil, code)
	}
}

// FuzzReadPacket looks for packets that the two packages read differently. paho reads
// malformed packets too: only what it would write itself is compared.
func FuzzReadPacket(f *testing.F) {
	for kind := byte(theirpackets.Connect); kind <= theirpackets.Disconnect; kind++ {
		var b bytes.Buffer
		if err := theirpackets.NewControlPacket(kind).Write(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if their, err := theirpackets.ReadPacket(bytes.NewReader(b)); err == nil {
			var written bytes.Buffer
			if their.Write(&written) == nil && bytes.Equal(written.Bytes(), b) {
				readBoth(t, b)
			}
		}
	})
}

// exported are the fields of a packet, as text.
func exported(packet any) string {
	return fmt.Sprintf("%#v", plain(reflect.ValueOf(packet).Elem()))
}

// plain is a struct without the names of its types.
func plain(v reflect.Value) any {
	if v.Kind() != reflect.Struct {
		return v.Interface()
	}
	values := map[string]any{}
	for i := range v.NumField() {
		values[v.Type().Field(i).Name] = plain(v.Field(i))
	}
	return values
}

// fill sets the fields of both sides to the same values, in the ranges that the
// specification permits.
func fill(their, our reflect.Value, random *rand.Rand) {
	for i := range their.NumField() {
		name := their.Type().Field(i).Name
		to := []reflect.Value{their.Field(i), our.FieldByName(name)}
		switch to[0].Interface().(type) {
		case bool:
			on := random.IntN(2) == 1
			to[0].SetBool(on)
			to[1].SetBool(on)
		case byte:
			n := uint64(random.IntN(3))
			if name != "MessageType" && name != "ReservedBit" && name != "ProtocolVersion" {
				to[0].SetUint(n)
				to[1].SetUint(n)
			}
		case uint16:
			n := uint64(1 + random.IntN(65535))
			to[0].SetUint(n)
			to[1].SetUint(n)
		case string:
			if name == "ProtocolName" {
				continue
			}
			text := string('a'+rune(random.IntN(26))) + "/ü"
			to[0].SetString(text)
			to[1].SetString(text)
		case []byte:
			n := 1 + random.IntN(300)
			if name == "Qoss" { // one for each of the topics
				n = 2
			}
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(random.IntN(3))
			}
			to[0].SetBytes(b)
			to[1].SetBytes(b)
		case []string:
			list := reflect.ValueOf([]string{"a", "b/#"})
			to[0].Set(list)
			to[1].Set(list)
		default:
			if to[0].Kind() == reflect.Struct && their.Type() == reflect.TypeFor[theirpackets.PublishPacket]() { // the header of others is fixed
				fill(to[0], to[1], random)
			}
		}
	}
}
