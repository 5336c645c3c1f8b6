package faultproxy_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m) }

// server is the proxy's target. Tests take its connections with accept.
type server struct {
	t *testing.T
	l net.Listener
}

func newServer(t *testing.T) *server {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return &server{t, l}
}

func (s *server) addr() string { return s.l.Addr().String() }

func (s *server) accept() *net.TCPConn {
	s.t.Helper()
	require.NoError(s.t, s.l.(*net.TCPListener).SetDeadline(time.Now().Add(wait.Patience)))
	conn, err := s.l.Accept()
	require.NoError(s.t, err)
	return adopt(s.t, conn)
}

// adopt sets a deadline for reads and writes, and closes the connection when the
// test ends.
func adopt(t *testing.T, conn net.Conn) *net.TCPConn {
	t.Helper()
	require.NoError(t, conn.SetDeadline(time.Now().Add(wait.Patience)))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func dial(t *testing.T, p *faultproxy.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp4", p.Addr())
	require.NoError(t, err)
	return adopt(t, conn)
}

// start starts a server and a proxy, and connects through it. client and far are
// the two ends of the connection.
func start(t *testing.T) (p *faultproxy.Proxy, s *server, client, far *net.TCPConn) {
	t.Helper()
	s = newServer(t)
	p = faultproxy.Start(t, s.addr())
	client = dial(t, p)
	return p, s, client, s.accept()
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
}

func receive(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// pass asserts that the proxy forwards bytes.
func pass(t *testing.T, from, to net.Conn) {
	t.Helper()
	send(t, from, "hello")
	receive(t, to, "hello")
}

// ended asserts that the next read returns no bytes and this error.
func ended(t *testing.T, conn net.Conn, want error) {
	t.Helper()
	n, err := conn.Read(make([]byte, 100))
	require.ErrorIs(t, err, want)
	require.Zero(t, n)
}

// silent asserts that no byte arrives within 20 ms. It can miss a byte that arrives
// later, so it never fails by mistake.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	n, err := conn.Read(make([]byte, 100))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Zero(t, n)
	require.NoError(t, conn.SetDeadline(time.Now().Add(wait.Patience)))
}

// ends returns the sender and the receiver of each direction.
func ends(client, far *net.TCPConn) map[faultproxy.Direction][2]*net.TCPConn {
	return map[faultproxy.Direction][2]*net.TCPConn{faultproxy.Up: {client, far}, faultproxy.Down: {far, client}}
}

func TestProxy_ForwardsAndCountsBytes(t *testing.T) {
	p, s, client, far := start(t)
	pass(t, client, far)
	pass(t, far, client)
	pass(t, far, client)
	other := dial(t, p)
	pass(t, other, s.accept())
	assert.Equal(t, 2, p.Accepted())
	assert.Equal(t, 2, p.Open())
	assert.Equal(t, p.Addr(), client.RemoteAddr().String())
	assert.EqualValues(t, 10, p.Bytes(faultproxy.Up))
	assert.EqualValues(t, 10, p.Bytes(faultproxy.Down))
	assert.EqualValues(t, 20, p.Bytes(faultproxy.Both))
}

func TestProxy_ForwardsLargeDataUnchanged(t *testing.T) {
	_, _, client, far := start(t)
	sent := bytes.Repeat([]byte("0123456789abcdefg"), 100_000)
	go func() {
		_, _ = client.Write(sent)
		_ = client.CloseWrite()
	}()
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got))
	pass(t, far, client) // an end of file closes one direction only
}

func TestProxy_EndOfFileInBothDirectionsClosesConnection(t *testing.T) {
	p, _, client, far := start(t)
	require.NoError(t, client.CloseWrite())
	ended(t, far, io.EOF)
	require.NoError(t, far.Close())
	ended(t, client, io.EOF)
	wait.Until(t, "the end of the connection", func() bool { return p.Open() == 0 })
}

func TestProxy_ForwardsReset(t *testing.T) {
	_, _, client, far := start(t)
	require.NoError(t, far.SetLinger(0))
	require.NoError(t, far.Close())
	ended(t, client, syscall.ECONNRESET)
}

func TestCut_ClosesWithFIN(t *testing.T) {
	p, s, client, far := start(t)
	pass(t, client, far)
	p.Cut()
	ended(t, client, io.EOF)
	ended(t, far, io.EOF)
	assert.Zero(t, p.Open())
	again := dial(t, p)
	pass(t, again, s.accept())
}

// Closing a socket with unread input would send a RST.
func TestCut_UnreadInputCausesNoReset(t *testing.T) {
	p, _, client, far := start(t)
	pass(t, client, far)
	p.Stall(faultproxy.Both)
	for range 100 {
		send(t, client, "held back")
	}
	p.Cut()
	ended(t, far, io.EOF)
	ended(t, client, io.EOF)
}

func TestReset_ClosesWithRST(t *testing.T) {
	p, s, client, far := start(t)
	pass(t, client, far)
	p.Reset()
	ended(t, client, syscall.ECONNRESET)
	ended(t, far, syscall.ECONNRESET)
	again := dial(t, p)
	pass(t, again, s.accept())
}

func TestStall_HoldsBytesUntilResume(t *testing.T) {
	p, s, client, far := start(t)
	for d, way := range ends(client, far) {
		from, to := way[0], way[1]
		p.Stall(d)
		send(t, from, "late")
		silent(t, to)
		pass(t, to, from) // the other direction is not stalled
		p.Resume(d)
		receive(t, to, "late")
	}
	p.Stall(faultproxy.Both)
	later := dial(t, p) // a new connection stalls too
	laterFar := s.accept()
	send(t, later, "late")
	silent(t, laterFar)
	require.NoError(t, client.CloseWrite()) // an end of file stalls too
	silent(t, far)
	p.Resume(faultproxy.Both)
	receive(t, laterFar, "late")
	ended(t, far, io.EOF)
}

func TestHalfClose_ClosesOneDirection(t *testing.T) {
	p, s, client, far := start(t)
	p.HalfClose(faultproxy.Down)
	ended(t, client, io.EOF)
	send(t, far, "discarded") // the sender gets no error
	pass(t, client, far)
	again := dial(t, p)
	againFar := s.accept()
	pass(t, againFar, again)
	p.HalfClose(faultproxy.Up)
	ended(t, againFar, io.EOF)
	send(t, again, "discarded")
	pass(t, againFar, again)
	assert.EqualValues(t, 5, p.Bytes(faultproxy.Up)) // discarded bytes are not counted
}

func TestDelay_DelaysChunks(t *testing.T) {
	const delay = 50 * time.Millisecond
	p, _, client, far := start(t)
	p.Delay(faultproxy.Up, delay)
	start := time.Now()
	pass(t, client, far)
	assert.GreaterOrEqual(t, time.Since(start), delay) // a busy machine may take longer
	p.Delay(faultproxy.Up, 0)
	pass(t, client, far)
}

func TestRate_LimitsBytesPerSecond(t *testing.T) {
	p, _, client, far := start(t)
	p.Rate(faultproxy.Up, 1000)
	start := time.Now()
	text := string(bytes.Repeat([]byte("x"), 100))
	send(t, client, text)
	receive(t, far, text)
	assert.GreaterOrEqual(t, time.Since(start), 90*time.Millisecond) // there is no pause before the first 10 bytes
}

func TestSplit_WritesSingleBytes(t *testing.T) {
	p, _, client, far := start(t)
	p.Split(faultproxy.Up, true)
	const n = 1000
	sent := string(bytes.Repeat([]byte("0123456789"), n/10))
	send(t, client, sent)
	var got []byte
	reads := 0
	for buf := make([]byte, n); len(got) < n; reads++ {
		k, err := far.Read(buf)
		require.NoError(t, err)
		got = append(got, buf[:k]...)
	}
	assert.Equal(t, sent, string(got))
	assert.Greater(t, reads, 10) // on a busy machine a read returns several bytes
	p.Split(faultproxy.Up, false)
	pass(t, client, far)
}

func TestCorrupt_InvertsEveryNthByte(t *testing.T) {
	p, s, client, far := start(t)
	p.Corrupt(faultproxy.Down, 4)
	send(t, far, "abcd")
	send(t, far, "efghi")
	receive(t, client, "abc\x9befg\x97i")
	pass(t, client, far)
	other := dial(t, p)
	send(t, s.accept(), "abcd")
	receive(t, other, "abc\x9b")
	p.Corrupt(faultproxy.Down, 0)
	pass(t, far, client)
}

func TestCutAfter_ClosesOneConnectionAfterNBytes(t *testing.T) {
	for _, d := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
		p, s, client, far := start(t)
		from, to := ends(client, far)[d][0], ends(client, far)[d][1]
		pass(t, from, to) // bytes before CutAfter are not counted
		p.CutAfter(d, 7)
		send(t, from, "1234")
		receive(t, to, "1234")
		send(t, from, "56789")
		receive(t, to, "567")
		ended(t, to, io.EOF)
		ended(t, from, io.EOF)
		again := dial(t, p) // CutAfter applies to one connection only
		againFar := s.accept()
		for range 3 {
			pass(t, again, againFar)
			pass(t, againFar, again)
		}
	}
}

func TestCutAfter_AppliesToNewConnection(t *testing.T) {
	s := newServer(t)
	p := faultproxy.Start(t, s.addr())
	p.CutAfter(faultproxy.Up, 3)
	client := dial(t, p)
	far := s.accept()
	send(t, client, "12345")
	receive(t, far, "123")
	ended(t, far, io.EOF)
}

func TestCutAfter_NegativeCountCancels(t *testing.T) {
	p, _, client, far := start(t)
	p.CutAfter(faultproxy.Both, 3)
	p.CutAfter(faultproxy.Both, -1)
	pass(t, client, far)
	pass(t, far, client)
}

func TestResetAfter_ClosesWithRST(t *testing.T) {
	p, _, client, far := start(t)
	p.ResetAfter(faultproxy.Up, 0)
	send(t, client, "x")
	ended(t, client, syscall.ECONNRESET)
	ended(t, far, syscall.ECONNRESET)
}

func TestProxy_NewConnectionsFollowMode(t *testing.T) {
	p, s, client, far := start(t)

	p.RefuseNew()
	_, err := net.Dial("tcp4", p.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.Equal(t, 1, p.Accepted())

	p.CloseNew()
	ended(t, dial(t, p), io.EOF)
	assert.Equal(t, 2, p.Accepted())

	p.BlackholeNew()
	lost := dial(t, p)
	send(t, lost, "unanswered")
	silent(t, lost)

	pass(t, client, far) // existing connections are not affected
	p.AcceptNew()
	again := dial(t, p)
	pass(t, again, s.accept())
	silent(t, lost)
	p.CutUnanswered()
	ended(t, lost, io.EOF)
	pass(t, client, far)
}

func TestSetTarget_AppliesToNewConnections(t *testing.T) {
	p, _, client, far := start(t)
	other := newServer(t)
	p.SetTarget(other.addr())
	moved := dial(t, p)
	pass(t, moved, other.accept())
	pass(t, client, far)
}

func TestProxy_UnreachableTargetResetsClient(t *testing.T) {
	s := newServer(t)
	p := faultproxy.Start(t, s.addr())
	require.NoError(t, s.l.Close())
	conn, err := net.Dial("tcp4", p.Addr())
	if err == nil { // otherwise Dial has already returned the reset
		_, err = adopt(t, conn).Read(make([]byte, 100))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestHeal_EndsAllFaults(t *testing.T) {
	p, s, client, far := start(t)
	p.Stall(faultproxy.Both)
	p.Corrupt(faultproxy.Both, 1)
	p.CutAfter(faultproxy.Both, 1)
	p.RefuseNew()
	p.Heal()
	pass(t, client, far)
	again := dial(t, p)
	pass(t, again, s.accept())
}

func TestClose_ResetsConnectionsAndRefusesNewOnes(t *testing.T) {
	p, _, client, far := start(t)
	pass(t, client, far)
	p.Stall(faultproxy.Both)
	send(t, client, "never to arrive")
	p.Close()
	ended(t, far, syscall.ECONNRESET)
	ended(t, client, syscall.ECONNRESET)
	p.Close()
	p.AcceptNew()
	_, err := net.Dial("tcp4", p.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// The test calls all methods from several goroutines during traffic. The race
// detector makes the assertions.
func TestProxy_ConcurrentUse(t *testing.T) {
	s := newServer(t)
	p := faultproxy.Start(t, s.addr())
	var echoes, rest sync.WaitGroup
	echoes.Add(1)
	go func() {
		defer echoes.Done()
		for {
			conn, err := s.l.Accept()
			if err != nil {
				return
			}
			echoes.Add(1)
			go func() {
				defer echoes.Done()
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	switches := []func(){
		p.Cut, p.Reset, p.RefuseNew, p.CloseNew, p.AcceptNew, p.Heal,
		func() { p.Stall(faultproxy.Both) }, func() { p.Resume(faultproxy.Both) }, func() { p.HalfClose(faultproxy.Up) },
		func() { p.Split(faultproxy.Both, true) }, func() { p.Corrupt(faultproxy.Down, 3) }, func() { p.CutAfter(faultproxy.Up, 5) },
		func() { p.SetTarget(s.addr()) }, func() { _, _ = p.Bytes(faultproxy.Both), p.Open() },
	}
	for _, change := range switches {
		rest.Add(1)
		go func() {
			defer rest.Done()
			for range 50 {
				change()
			}
		}()
	}
	for range 8 {
		rest.Add(1)
		go func() {
			defer rest.Done()
			for range 20 {
				exchange(p)
			}
		}()
	}
	rest.Wait()
	p.Heal()
	client := dial(t, p)
	pass(t, client, client) // the server echoes
	p.Close()
	s.l.Close()
	echoes.Wait()
}

// exchange writes and reads on a connection until it fails.
func exchange(p *faultproxy.Proxy) {
	conn, err := net.Dial("tcp4", p.Addr())
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Millisecond))
	for err == nil {
		if _, err = conn.Write([]byte("hello")); err == nil {
			_, err = conn.Read(make([]byte, 100))
		}
	}
}
