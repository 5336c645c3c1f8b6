//go:build !asan

package test

// Not for the address sanitizer, which allocates.

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// quiet makes a client whose loop runs on the library's thread, connected,
// without listeners: what Go allocates now is not the loop's.
func quiet(t *testing.T, port int) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, "", true)
	startThread(t, c, e, port)
	c.OnConnect(nil)
	c.OnDisconnect(nil)
	c.OnPublish(nil)
	c.OnMessage(nil)
	return c, e
}

// Decision 9: publishing allocates nothing in Go.
func TestPublishAllocatesNothing(t *testing.T) {
	b := plain(t)
	c, _ := quiet(t, b.Port)
	topic, payload := "some/topic/of/usual/length", make([]byte, 100)
	for qos := mosquitto.QoS(0); qos <= 2; qos++ {
		var failed error
		allocations := testing.AllocsPerRun(500, func() {
			if _, err := c.Publish(topic, payload, qos, false); err != nil {
				failed = err
			}
		})
		require.NoError(t, failed)
		require.Zero(t, allocations, "QoS %d", qos)
	}
	long := string(bytes.Repeat([]byte("x"), 5000)) // its copy is C's too
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Publish(long, nil, 0, false) }))
}

// flood sends n messages to the client and waits until all are through; it
// returns what Go has allocated meanwhile.
func flood(t *testing.T, conn *peer.Conn, e *events, message []byte, n int) (mallocs uint64) {
	t.Helper()
	packets := append(bytes.Repeat(message, n), peer.Bytes(peer.UNSUBACK, 0, 7)...)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	conn.Send(packets)
	wait.For(t, e.unsubscribe, "OnUnsubscribe")
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// some is what the waiting itself may allocate.
const some = 300

// Decision 9: one allocation per message, for topic and payload together.
func TestMessageAllocatesOnce(t *testing.T) {
	const n = 10000
	for name, message := range map[string][]byte{
		"payload":      peer.Publish(0, "some/topic", 0, "a payload of some bytes"),
		"no payload":   peer.Publish(0, "some/topic", 0, ""),
		"large":        peer.Publish(0, "some/topic", 0, string(make([]byte, 2000))),
		"QoS 1's acks": peer.Publish(2, "some/topic", 9, "a payload"),
	} {
		t.Run(name, func(t *testing.T) {
			p := peer.Listen(t)
			c, e := newClient(t, "", true)
			conn, _ := meet(t, c, e, p)
			go func() { _, _ = io.Copy(io.Discard, conn.Conn) }() // the acknowledgements
			received := 0
			c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { received += len(m.Topic) })
			mallocs := flood(t, conn, e, message, n)
			require.Equal(t, n*len("some/topic"), received)
			require.LessOrEqual(t, mallocs, uint64(n+some))
			require.GreaterOrEqual(t, mallocs, uint64(n), "the messages are Go's")
		})
	}
}

// OnPublish allocates nothing in Run for an acknowledged message.
func TestOnPublishAllocatesNothing(t *testing.T) {
	const n = 2000
	p := peer.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.MaxInflightMessagesSet(0))
	conn, _ := meetRun(t, c, e, p)
	acknowledged := 0
	c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) { acknowledged++ })
	var acks []byte
	for range n {
		mid, err := c.Publish("a", nil, 1, false)
		require.NoError(t, err)
		conn.Expect(peer.PUBLISH)
		acks = append(acks, peer.Ack(peer.PUBACK, uint16(mid))...)
	}
	require.LessOrEqual(t, flood(t, conn, e, acks, 1), uint64(some))
	require.Equal(t, n, acknowledged)
}

// Short messages that Run delivers together take fewer.
func TestMessagesThatCameTogetherAllocateLess(t *testing.T) {
	const n = 10000
	p := peer.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meetRun(t, c, e, p)
	received := 0
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { received += len(m.Topic) })
	mallocs := flood(t, conn, e, peer.Publish(0, "some/topic", 0, "a payload of some bytes"), n)
	require.Equal(t, n*len("some/topic"), received)
	require.Less(t, mallocs, uint64(n/2))
}

// Decision 2: without a listener no message crosses into Go.
func TestUnheardMessagesAllocateNothing(t *testing.T) {
	p := peer.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meet(t, c, e, p)
	c.OnMessage(nil)
	require.Less(t, flood(t, conn, e, peer.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {})
	require.Greater(t, flood(t, conn, e, peer.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	c.OnMessage(nil)
	require.Less(t, flood(t, conn, e, peer.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
}

// A log listener of other levels: the lines do not cross.
func TestUnwantedLogLinesAllocateNothing(t *testing.T) {
	p := peer.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meet(t, c, e, p)
	c.OnMessage(nil)
	lines := logTo(c, mosquitto.LogErr)
	require.Less(t, flood(t, conn, e, peer.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	wait.None(t, lines, "log line")
	c.OnLog(nil)
}

// The helpers that are called per message.
func TestTopicMatchAllocatesNothing(t *testing.T) {
	var failed error
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if yes, err := mosquitto.TopicMatchesSub("a/+/#", "a/b/c"); !yes || err != nil {
			failed = err
		}
	}))
	require.NoError(t, failed)
}

func TestPost_AllocatesNothing(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	connectRun(t, c, e, b.Port)
	ran := make(chan struct{}, 1)
	f := func() { ran <- struct{}{} }
	post := func() {
		_ = c.Post(f)
		<-ran
	}
	for range 100 {
		post()
	}
	require.Less(t, testing.AllocsPerRun(1000, post), 0.1)
}
