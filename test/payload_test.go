package test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// pattern returns a payload whose bytes depend on their position, so that moved bytes
// are noticed.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}

func TestPayload_OfEachSizeArrives(t *testing.T) {
	b := plain(t)
	largest := pattern(10 << 20)
	for _, v := range protocols {
		c, e := newVersion(t, "id", true, v.version)
		ended := connect(t, c, e, b.Port)
		subscribe(t, c, e, "a/b", 2)
		for _, size := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 10 << 20} {
			for _, qos := range []mosquitto.QoS{0, 1, 2} {
				sent := bytes.Clone(largest[:size])
				mid, err := c.Publish("a/b", sent, qos, false)
				require.NoError(t, err)
				clear(sent) // the library has copied it
				m := wait.For(t, e.message, "the message")
				require.Len(t, m.Payload, size)
				require.True(t, bytes.Equal(largest[:size], m.Payload), "%s: %d bytes", v.name, size)
				require.Equal(t, size == 0, m.Payload == nil)
				require.Equal(t, mid, wait.For(t, e.publish, "OnPublish").mid)
			}
		}
		leave(t, c, e, ended)
	}
}

func TestPayload_MayHaveAnyBytes(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a/b", 0)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, sent := range [][]byte{all, {0}, {0, 0, 0}, []byte("\xff\xfe not UTF-8 \x80"), {}} {
		_, err := c.Publish("a/b", sent, 0, false)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, wait.For(t, e.message, "the message").Payload))
	}
	leave(t, c, e, ended)
}

// A message may be kept: later messages do not overwrite it.
func TestPayload_MayBeKept(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	var kept []mosquitto.Message
	for i := range 100 {
		conn.Send(fakebroker.Publish(0, fmt.Sprintf("topic/%d", i), 0, fmt.Sprintf("payload %d", i)))
		m := wait.For(t, e.message, "the message")
		m.Payload = append(m.Payload, '!') // the bytes after the payload belong to no other message
		kept = append(kept, m)
	}
	for i, m := range kept {
		require.Equal(t, fmt.Sprintf("topic/%d", i), m.Topic)
		require.Equal(t, fmt.Sprintf("payload %d!", i), string(m.Payload))
	}
	part(t, c, conn, ended)
}

// Messages that Run delivers together share memory, and may be kept as well. Successive
// messages with the same topic share the topic.
func TestPayload_OfABatchMayBeKept(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, _ := meetRun(t, c, e, p)
	var sent []byte
	payload := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), []int{0, 1, 20, 90, 700, 1000}[i%6]) }
	topic := func(i int) string {
		return []string{fmt.Sprintf("topic/%d", i), "same", "same", "same", "some", "som", "so", "so"}[i/5%8]
	}
	flags := func(i int) byte { return byte(i / 7 % 2) } // the retain flag
	const n = 2000
	for i := range n {
		sent = append(sent, fakebroker.Publish(flags(i), topic(i), 0, payload(i))...)
	}
	conn.Send(sent)
	var kept []mosquitto.Message
	for range n {
		m := wait.For(t, e.message, "the message")
		m.Payload = append(m.Payload, '!')
		kept = append(kept, m)
	}
	for i, m := range kept {
		require.Equal(t, topic(i), m.Topic)
		require.Equal(t, payload(i)+"!", string(m.Payload))
		require.Equal(t, mosquitto.Message{Topic: m.Topic, Payload: m.Payload, Retain: flags(i) == 1}, m)
	}
}

func TestPayload_TopicsArriveUnchanged(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "#", 1)
	for _, topic := range []string{
		"a", "/", "//", "a//b", " ", "a b/c d", "τόπος/話題/🌳", "\U0010fffd", strings.Repeat("x", 255), strings.Repeat("x", 256),
		strings.Repeat("é", 32767), strings.Repeat("x", 65535),
	} {
		_, err := c.Publish(topic, []byte("hello"), 1, false)
		require.NoError(t, err)
		m := wait.For(t, e.message, "the message")
		require.Equal(t, topic, m.Topic)
		require.Equal(t, "hello", string(m.Payload))
	}
	leave(t, c, e, ended)
}

func TestPayload_LongestFilterIsAccepted(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	filter := strings.Repeat("f", 65533) + "/+"
	subscribe(t, c, e, filter, 1)
	topic := strings.Repeat("f", 65533) + "/x"
	mark(t, c, e, topic)
	require.Equal(t, topic, wait.For(t, e.message, "the message").Topic)
	_, err := c.Unsubscribe(filter)
	require.NoError(t, err)
	wait.For(t, e.unsubscribe, "OnUnsubscribe")
	leave(t, c, e, ended)
}

// Topics with characters that MQTT advises against are refused when sent and when
// received.
func TestPayload_InvalidTopicIsRefused(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, _ := meet(t, c, e, p)
	for _, topic := range []string{"a/+", "#", "a/#"} {
		_, err := c.Publish(topic, nil, 0, false)
		require.ErrorIs(t, err, mosquitto.ErrInval, topic)
	}
	for _, topic := range []string{"\x01", "a\x7f", "\u0085", "\uffff"} {
		_, err := c.Publish(topic, nil, 0, false)
		require.ErrorIs(t, err, mosquitto.ErrMalformedUTF8, "%q", topic)
	}
	conn.Send(fakebroker.Publish(0, "a\x01", 0, ""))
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrMalformedUTF8)
	wait.None(t, e.message, "message")
}

// A packet may arrive in pieces of any size, or together with others.
func TestPayload_ArrivesInPieces(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	packet := fakebroker.Publish(0, "a/b", 0, strings.Repeat("x", 200))
	for i := range packet {
		conn.Send(packet[i : i+1])
	}
	require.Len(t, wait.For(t, e.message, "the message").Payload, 200)
	conn.Send(bytes.Repeat(packet, 500))
	for range 500 {
		require.Len(t, wait.For(t, e.message, "the message").Payload, 200)
	}
	part(t, c, conn, ended)
	wait.None(t, e.message, "message")
}
