//go:build !mosquitto_portable

package test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Mosquitto sends with the Nagle delay: a small message waits until the client's system has
// acknowledged the previous message. Linux delays this acknowledgement by 40 ms on a connection
// that also sends.
func TestRun_AcknowledgesInputAtOnce(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "acknowledge", true)
	conn, _ := meetRun(t, c, e, p)
	early := 0
	for range 15 {
		publishOne(t, c, conn)
		for range 2 { // the program does not answer the first message
			early += sendOne(t, conn, e)
		}
	}
	require.Greater(t, early, 20, "messages of 30 that were acknowledged at once")
}

// The output of a program that answers at once carries the acknowledgements. Run notices
// when the program stops to answer.
func TestRun_AcknowledgesInputWhenAnswersEnd(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "answer", true)
	conn, _ := meetRun(t, c, e, p)
	for range 30 {
		conn.Send(fakebroker.Publish(0, "a", 0, ""))
		wait.For(t, e.message, "OnMessage")
		publishOne(t, c, conn)
	}
	early := 0
	for range 30 {
		early += sendOne(t, conn, e)
	}
	require.Greater(t, early, 20, "messages of 30 that were acknowledged at once")
}

// While messages are in flight, the library reads on until the socket is empty.
func TestRun_AcknowledgesPubacksAtOnceWhileMessagesAreInFlight(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "acknowledge", true)
	conn, _ := meetRun(t, c, e, p)
	early := 0
	for n := range 15 { // the library has at most 20 in flight
		for range 2 {
			_, err := c.Publish("a", nil, 1, false)
			require.NoError(t, err)
			conn.Expect(fakebroker.PUBLISH)
		}
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(n+1)))
		require.Equal(t, n+1, wait.For(t, e.publish, "OnPublish").mid)
		early += acknowledgedEarly(t, conn.Conn)
	}
	require.Greater(t, early, 10, "PUBACKs of 15 that were acknowledged at once")
}

// With TLS 1.3 mosquitto sends two session tickets before the CONNACK. They are input without a
// packet. If their acknowledgement is delayed, so is the CONNACK.
func TestRun_AcknowledgesTicketsAtOnce(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	c, e := trusting(t, ca)
	sent, received := make(chan time.Time, 1), make(chan time.Time, 1)
	c.OnLog(func(_ *mosquitto.Client, _ mosquitto.LogLevel, line string) {
		switch {
		case strings.Contains(line, "sending CONNECT"):
			sent <- time.Now()
		case strings.Contains(line, "received CONNACK"):
			received <- time.Now()
		}
	})
	early := 0
	for range 10 {
		require.NoError(t, c.ConnectAsync("127.0.0.1", b.Port, keepalive))
		ended := make(chan error, 1)
		go func() { ended <- c.RunOnce(t.Context()) }()
		wait.For(t, e.connect, "OnConnect")
		if (<-received).Sub(<-sent) < 30*time.Millisecond { // Linux delays an acknowledgement by 40 ms
			early++
		}
		require.NoError(t, c.Disconnect())
		require.NoError(t, wait.For(t, ended, "the end of RunOnce"))
	}
	require.Greater(t, early, 3, "CONNACKs of 10 that were not delayed")
}

// sendOne sends a message to the client, and returns the result of acknowledgedEarly.
func sendOne(t *testing.T, conn *fakebroker.Conn, e *events) int {
	t.Helper()
	conn.Send(fakebroker.Publish(0, "a", 0, ""))
	wait.For(t, e.message, "OnMessage")
	return acknowledgedEarly(t, conn.Conn)
}

// acknowledgedEarly returns 1 if the peer's system acknowledges everything in less than half
// the time that Linux delays an acknowledgement, otherwise 0.
func acknowledgedEarly(t *testing.T, conn net.Conn) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if unacknowledged(t, conn) == 0 {
			return 1
		}
	}
	return 0
}

// publishOne publishes a message, which makes Linux delay the next acknowledgement.
func publishOne(t *testing.T, c *mosquitto.Client, conn *fakebroker.Conn) {
	t.Helper()
	_, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
}

// unacknowledged returns the number of sent bytes that the peer's system has not
// acknowledged.
func unacknowledged(t testing.TB, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }))
	require.NoError(t, err)
	return n
}
