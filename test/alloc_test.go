//go:build !asan

package test

// Not for the address sanitizer, which allocates by itself.

import (
	"bytes"
	"crypto/tls"
	"io"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/race"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// quiet returns a connected client without callbacks, whose loop runs on the library's
// thread. The loop then makes no allocations in Go.
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

func TestPublish_AllocatesNothing(t *testing.T) {
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
	long := string(bytes.Repeat([]byte("x"), 5000)) // C copies a long topic, too
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Publish(long, nil, 0, false) }))
}

// flood sends the message n times and waits until the client has processed all of them.
// It returns the number of allocations in Go during this time.
func flood(t *testing.T, conn *fakebroker.Conn, e *events, message []byte, n int) (mallocs uint64) {
	t.Helper()
	packets := append(bytes.Repeat(message, n), fakebroker.Bytes(fakebroker.UNSUBACK, 0, 7)...)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	conn.Send(packets)
	wait.For(t, e.unsubscribe, "OnUnsubscribe")
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// some is the number of allocations that the test itself may make while it waits.
const some = 300

// One allocation holds both topic and payload.
func TestMessage_AllocatesOnce(t *testing.T) {
	const n = 10000
	for name, message := range map[string][]byte{
		"payload":    fakebroker.Publish(0, "some/topic", 0, "a payload of some bytes"),
		"no payload": fakebroker.Publish(0, "some/topic", 0, ""),
		"large":      fakebroker.Publish(0, "some/topic", 0, string(make([]byte, 2000))),
		"QoS 1":      fakebroker.Publish(2, "some/topic", 9, "a payload"),
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "", true)
			conn, _ := meet(t, c, e, p)
			go func() { _, _ = io.Copy(io.Discard, conn.Conn) }() // the acknowledgements
			received := 0
			c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { received += len(m.Topic) })
			mallocs := flood(t, conn, e, message, n)
			require.Equal(t, n*len("some/topic"), received)
			require.LessOrEqual(t, mallocs, uint64(n+some))
			require.GreaterOrEqual(t, mallocs, uint64(n), "each message is in Go memory")
		})
	}
}

func TestOnPublish_AllocatesNothing(t *testing.T) {
	const n = 2000
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.MaxInflightMessagesSet(0))
	conn, _ := meetRun(t, c, e, p)
	acknowledged := 0
	c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) { acknowledged++ })
	var acks []byte
	for range n {
		mid, err := c.Publish("a", nil, 1, false)
		require.NoError(t, err)
		conn.Expect(fakebroker.PUBLISH)
		acks = append(acks, fakebroker.Ack(fakebroker.PUBACK, uint16(mid))...)
	}
	require.LessOrEqual(t, flood(t, conn, e, acks, 1), uint64(some))
	require.Equal(t, n, acknowledged)
}

// Run delivers short messages that arrive together from one shared allocation.
func TestMessage_BatchAllocatesLess(t *testing.T) {
	const n = 10000
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meetRun(t, c, e, p)
	received := 0
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { received += len(m.Topic) })
	mallocs := flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "a payload of some bytes"), n)
	require.Equal(t, n*len("some/topic"), received)
	require.Less(t, mallocs, uint64(n/2))
}

// Without OnMessage no message is passed from C to Go.
func TestMessage_WithoutOnMessageAllocatesNothing(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meet(t, c, e, p)
	c.OnMessage(nil)
	require.Less(t, flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {})
	require.Greater(t, flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	c.OnMessage(nil)
	require.Less(t, flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
}

// C drops log lines of other levels before they reach Go.
func TestOnLog_OtherLevelsAllocateNothing(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	conn, _ := meet(t, c, e, p)
	c.OnMessage(nil)
	lines := logTo(c, mosquitto.LogErr)
	require.Less(t, flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "payload"), 10000), uint64(some))
	wait.None(t, lines, "log line")
	c.OnLog(nil)
}

func TestTopicMatchesSub_AllocatesNothing(t *testing.T) {
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

// The certificates of the system use about 1 MB. Clients with the same authorities share them.
func TestSetTLS_ClientsShareAuthorities(t *testing.T) {
	const clients = 100
	all := make([]*mosquitto.Client, clients)
	for i := range all {
		all[i], _ = newClient(t, "", true)
	}
	before := residentBytes(t)
	for _, c := range all {
		require.NoError(t, c.SetTLS(mosquitto.TLS{}))
	}
	debug.FreeOSMemory() // the texts of the files
	require.Less(t, residentBytes(t)-before, 80<<20)
}

// A pass of Run must end although input does not end: a long pass would be taken for slow
// callbacks, whose messages do not share an allocation.
func TestTLS_FloodAllocatesLessThanOnceForAMessage(t *testing.T) {
	const n = 300_000
	p, _, c, e := recordBroker(t, tls.VersionTLS13)
	conn, _ := meetRun(t, c, e, p)
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {})
	least := uint64(n)
	for range 3 { // passes may be long because other programs use the machine
		least = min(least, flood(t, conn, e, fakebroker.Publish(0, "some/topic", 0, "a payload of some bytes"), n))
	}
	if !race.Enabled() { // it makes the callbacks slow
		require.Less(t, least, uint64(n*3/4)) // about n without the limit of a burst
	}
}
