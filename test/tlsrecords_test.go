package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// recordConn is the broker's end of a TCP connection. While it holds, it collects the TLS
// records, and the test decides which bytes are sent together.
type recordConn struct {
	net.Conn
	mu   sync.Mutex
	hold bool
	held []byte
}

func (r *recordConn) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hold {
		return r.Conn.Write(b)
	}
	r.held = append(r.held, b...)
	return len(b), nil
}

func (r *recordConn) setHold(hold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = hold
}

// release sends the held bytes with one write, except the last ones.
func (r *recordConn) release(t testing.TB, except int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.held) - except
	_, err := r.Conn.Write(r.held[:n])
	require.NoError(t, err)
	r.held = r.held[n:]
}

// recordListener is a TLS listener that reports its TCP connections.
type recordListener struct {
	*net.TCPListener
	config *tls.Config
	conns  chan *recordConn
}

func (l recordListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recordConn{Conn: conn}
	l.conns <- r
	return tls.Server(r, l.config), nil
}

// recordBroker starts a fake broker with this version of TLS, and returns a client that
// trusts it.
func recordBroker(t testing.TB, version uint16) (*fakebroker.Broker, <-chan *recordConn, *mosquitto.Client, *events) {
	t.Helper()
	ca := broker.NewCA(t, "authority")
	cert := ca.Issue("broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	network, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, MaxVersion: version}
	l := recordListener{network, config, make(chan *recordConn, 10)}
	c, e := trusting(t, ca)
	return fakebroker.On(t, l), l.conns, c, e
}

var tlsVersions = []struct {
	name    string
	version uint16
}{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

// forTLSVersions runs a test with a client in Run for each version of TLS.
func forTLSVersions(t *testing.T, test func(t *testing.T, c *mosquitto.Client, e *events, conn *fakebroker.Conn, records *recordConn)) {
	t.Helper()
	for _, v := range tlsVersions {
		t.Run(v.name, func(t *testing.T) {
			p, conns, c, e := recordBroker(t, v.version)
			conn, _ := meetRun(t, c, e, p)
			test(t, c, e, conn, wait.For(t, conns, "the TCP connection"))
		})
	}
}

// sendRecords sends messages with the payloads first to last, each in a TLS record.
func sendRecords(conn *fakebroker.Conn, first, last int) {
	for i := first; i <= last; i++ {
		conn.Send(fakebroker.Publish(0, "a", 0, fmt.Sprint(i)))
	}
}

func expectRecords(t testing.TB, e *events, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, e.message, "a message").Payload))
	}
}

// All records arrive before Run reads the first one. The network reports no further input.
func TestTLS_RunReadsAllRecordsThatArriveTogether(t *testing.T) {
	forTLSVersions(t, func(t *testing.T, _ *mosquitto.Client, e *events, conn *fakebroker.Conn, records *recordConn) {
		for _, n := range []int{2, 255, 256, 257, 600, 3000} {
			records.setHold(true)
			sendRecords(conn, 1, n)
			records.release(t, 0)
			expectRecords(t, e, 1, n)
		}
	})
}

func TestTLS_RunWaitsForTheRestOfARecord(t *testing.T) {
	forTLSVersions(t, func(t *testing.T, c *mosquitto.Client, e *events, conn *fakebroker.Conn, records *recordConn) {
		records.setHold(true)
		for missing := range 40 { // also parts of the header, of the next record and of the one before
			sendRecords(conn, 1, 3)
			records.release(t, missing)
			expectRecords(t, e, 1, 1)
			turned(t, c)
			records.release(t, 0)
			expectRecords(t, e, 2, 3)
		}
		sendRecords(conn, 1, 2)
		records.release(t, 5)
		expectRecords(t, e, 1, 1)
		before := cpuTime(t)
		quiet := time.NewTimer(time.Second) // the CPU time of this second is measured
		<-quiet.C
		require.Less(t, cpuTime(t)-before, 200*time.Millisecond)
		wait.None(t, e.message, "message of an incomplete record")
		records.release(t, 0)
		expectRecords(t, e, 2, 2)
	})
}

// With ThreadedSet(false) the library acknowledges each message while Run reads. When the socket
// is full, it reports that it would block, although OpenSSL holds further messages.
func TestTLS_RunReadsAllRecordsAlthoughAcknowledgementsFillTheSocket(t *testing.T) {
	const count = 430
	p, conns, c, e := recordBroker(t, tls.VersionTLS12)
	require.NoError(t, c.ThreadedSet(false))
	conn, _ := meetRun(t, c, e, p)
	records := wait.For(t, conns, "the TCP connection")
	require.NoError(t, records.Conn.(*net.TCPConn).SetReadBuffer(2048))
	require.NoError(t, syscall.SetsockoptInt(c.Socket(), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 2048))
	records.setHold(true)
	for i := 1; i <= count; i++ {
		conn.Send(fakebroker.Publish(2, "a", uint16(i), fmt.Sprint(i)))
	}
	records.release(t, 0)
	turned(t, c)
	for range count {
		conn.Expect(fakebroker.PUBACK)
	}
	expectRecords(t, e, 1, count)
}

// After PauseReading, no message is lost that arrived before the end of the connection.
func TestTLS_ResumeReadingDeliversRecordsOfAClosedConnection(t *testing.T) {
	const count = 300
	forTLSVersions(t, func(t *testing.T, c *mosquitto.Client, e *events, conn *fakebroker.Conn, records *recordConn) {
		c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
			if string(m.Payload) == "1" {
				_ = c.PauseReading()
			}
			e.message <- m
		})
		records.setHold(true)
		sendRecords(conn, 1, count)
		records.release(t, 0)
		expectRecords(t, e, 1, 1)
		turned(t, c)
		require.NoError(t, records.Conn.Close())
		turned(t, c)
		wait.None(t, e.message, "message while paused")
		wait.None(t, e.disconnect, "OnDisconnect before the last message")
		require.NoError(t, c.ResumeReading())
		expectRecords(t, e, 2, count)
		wait.For(t, e.disconnect, "OnDisconnect")
	})
}

// A panic closes the connection although Run has not read all records.
func TestTLS_PanicClosesTheConnectionDespiteUnreadRecords(t *testing.T) {
	p, conns, c, e := recordBroker(t, tls.VersionTLS13)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		_ = c.PauseReading()
		e.message <- m
	})
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	raised := make(chan any, 1)
	go func() {
		defer func() { raised <- recover() }()
		_ = c.Run(context.Background())
	}()
	conn := p.AcceptConnect()
	records := wait.For(t, conns, "the TCP connection")
	wait.For(t, e.connect, "OnConnect")
	records.setHold(true)
	sendRecords(conn, 1, 100)
	records.release(t, 0)
	expectRecords(t, e, 1, 1)
	require.NoError(t, c.Post(func() { panic("ouch") }))
	require.IsType(t, &mosquitto.PanicError{}, wait.For(t, raised, "the panic"))
	require.Negative(t, c.Socket())
	conn.ExpectClosed()
}

// expectPublished reads messages until a DISCONNECT and the end of the TLS connection, and
// asserts their order.
func expectPublished(t testing.TB, conn *fakebroker.Conn, count int) {
	t.Helper()
	for i := range count {
		packet := conn.Expect(fakebroker.PUBLISH)
		require.Equal(t, fmt.Sprintf("%06d", i), string(packet.Body[3:9]))
	}
	conn.Expect(fakebroker.DISCONNECT)
	_, err := conn.Next()
	require.Equal(t, io.EOF, err, "the alert close_notify")
}

func TestTLS_RunSendsAllMessagesBeforeDisconnect(t *testing.T) {
	for _, size := range []int{10, 300, 20_000} {
		forTLSVersions(t, func(t *testing.T, c *mosquitto.Client, _ *events, conn *fakebroker.Conn, _ *recordConn) {
			const count = 500
			for i := range count {
				_, err := c.Publish("a", fmt.Appendf(nil, "%06d%*d", i, size, 0), 0, false)
				require.NoError(t, err)
			}
			require.NoError(t, c.Disconnect())
			expectPublished(t, conn, count)
		})
	}
}

// publishPair publishes two messages that Run writes together, and reports whether the
// library has written them.
func publishPair(t testing.TB, c *mosquitto.Client, e *events, pair int) bool {
	t.Helper()
	require.NoError(t, c.Post(func() {
		for i := range 2 {
			_, _ = c.Publish("a", fmt.Appendf(nil, "%06d%1000d", 2*pair+i, 0), 0, false)
		}
	}))
	turned(t, c)
	written := len(e.publish) == 2
	for len(e.publish) > 0 {
		<-e.publish
	}
	return written
}

// The library has written all messages, but the socket is full. Run sends the rest when the
// broker reads, although no further message follows.
func TestTLS_RunSendsTheLastOutputThatAFullSocketRefused(t *testing.T) {
	forTLSVersions(t, func(t *testing.T, c *mosquitto.Client, e *events, conn *fakebroker.Conn, records *recordConn) {
		require.NoError(t, records.Conn.(*net.TCPConn).SetReadBuffer(4096))
		require.NoError(t, syscall.SetsockoptInt(c.Socket(), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096))
		expect := func(pairs int) {
			for i := range 2 * pairs {
				packet := conn.Expect(fakebroker.PUBLISH)
				require.Equal(t, fmt.Sprintf("%06d", i), string(packet.Body[3:9]))
			}
		}
		capacity := 0
		for publishPair(t, c, e, capacity) {
			capacity++
		}
		expect(capacity + 1)
		for pairs := max(capacity-2, 0); pairs <= capacity+1; pairs++ {
			for i := range pairs {
				publishPair(t, c, e, i)
			}
			expect(pairs)
		}
	})
}

// While the broker does not read, Run needs no CPU time and still receives. It sends
// everything when the broker reads again, and a DISCONNECT at the end.
func TestTLS_RunKeepsOutputThatAFullSocketRefuses(t *testing.T) {
	forTLSVersions(t, func(t *testing.T, c *mosquitto.Client, e *events, conn *fakebroker.Conn, _ *recordConn) {
		const count = 10_000
		for i := range count {
			_, err := c.Publish("a", fmt.Appendf(nil, "%06d%*d", i, 1500, 0), 0, false)
			require.NoError(t, err)
		}
		conn.Send(fakebroker.Publish(0, "a", 0, "1"))
		expectRecords(t, e, 1, 1)
		before := cpuTime(t)
		quiet := time.NewTimer(time.Second) // the CPU time of this second is measured
		<-quiet.C
		require.Less(t, cpuTime(t)-before, 200*time.Millisecond)
		require.NoError(t, c.Disconnect())
		expectPublished(t, conn, count)
	})
}
