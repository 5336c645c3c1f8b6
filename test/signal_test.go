package test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// rudeTLS starts a TLS server that accepts each client and then resets the connection.
func rudeTLS(t *testing.T, cert *broker.Cert) (port int) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			beRude(conn.(*net.TCPConn), pair)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		wait.For(t, ended, "the end of the listener")
	})
	return l.Addr().(*net.TCPAddr).Port
}

func beRude(conn *net.TCPConn, pair tls.Certificate) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait.Patience))
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if _, err := secure.Read(make([]byte, 1000)); err != nil { // the CONNECT
		return
	}
	_, _ = secure.Write(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	_, _ = secure.Read(make([]byte, 1000)) // the PUBLISH
	_ = conn.SetLinger(0)
}

// OpenSSL writes to a connection that was reset, with libmosquitto 2.0.15 and later. On
// a thread that Go did not create, the SIGPIPE would end the program.
func TestSignals_TLSResetOnTheLibrarysThreadIsSurvived(t *testing.T) {
	if !inChild(t, "") {
		return
	}
	ca := broker.NewCA(t, "authority")
	port := rudeTLS(t, ca.Issue("server", "localhost"))
	for range 5 {
		c, e := newClient(t, "", true)
		require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
		require.NoError(t, c.LoopStart())
		require.NoError(t, c.Connect("localhost", port, keepalive))
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		_, err := c.Publish("a", nil, 0, false)
		require.NoError(t, err)
		require.NotZero(t, wait.For(t, e.disconnect, "OnDisconnect").Code)
		stop(t, c)
	}
}

// The loop runs on a goroutine, where Go handles the signals.
func TestSignals_TLSResetOnAGoroutineIsSurvived(t *testing.T) {
	if !inChild(t, "") {
		return
	}
	ca := broker.NewCA(t, "authority")
	port := rudeTLS(t, ca.Issue("server", "localhost"))
	for range 5 {
		c, e := newClient(t, "", true)
		require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
		require.NoError(t, c.Connect("localhost", port, keepalive))
		turnUntil(t, c, e.connect)
		_, err := c.Publish("a", nil, 0, false)
		require.NoError(t, err)
		require.NotZero(t, turnOn(t, c, e.disconnect).Code)
	}
}

// The library's thread starts with all signals blocked. The thread that created it gets
// its own mask back.
func TestSignals_AreBlockedOnTheLibrarysThread(t *testing.T) {
	before := blockedSignals(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.LoopStart())
	all := ^uint64(0)
	wait.Until(t, "the thread", func() bool { return libraryMask(t) != all })
	mask := libraryMask(t)
	for signal := 1; signal < 32; signal++ {
		if signal != 9 && signal != 19 { // SIGKILL and SIGSTOP cannot be blocked
			require.NotZero(t, mask&(1<<(signal-1)), "signal %d of %x", signal, mask)
		}
	}
	for thread, was := range before {
		if mask, there := blockedSignals(t)[thread]; there {
			require.Equal(t, was, mask, "thread %s", thread.id)
		}
	}
	stop(t, c)
}

// After a callback ran on the thread, Go unblocks the signals that its runtime needs,
// for example SIGSEGV. SIGPIPE stays blocked.
func TestSignals_GoPanicsWorkOnTheLibrarysThread(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	startThread(t, c, e, b.Port)
	require.NotZero(t, libraryMask(t)&(1<<(uint(syscall.SIGPIPE)-1)))
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {
		defer func() { e.publish <- published{code: mosquitto.ReasonCode(len(recover().(error).Error()))} }()
		var nowhere *int
		*nowhere = 1
	})
	c.OnPublish(nil)
	subscribe(t, c, e, "a", 0)
	_, err := c.Publish("a", nil, 0, false)
	require.NoError(t, err)
	require.NotZero(t, wait.For(t, e.publish, "the panic of a nil pointer").code)
	stop(t, c)
}

// An event without a callback is not passed to Go. Otherwise the signal mask of the
// thread would change.
func TestSignals_EventsWithoutCallbackStayInC(t *testing.T) {
	p := fakebroker.Listen(t)
	c, err := mosquitto.New("", true, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	require.NoError(t, c.LoopStart())
	conn := p.AcceptConnect()
	born := libraryMask(t)
	exchange := func() {
		for range 2 { // the second PUBACK shows that the first message was processed
			conn.Send(fakebroker.Publish(2, "a", 1, "payload"))
			conn.Expect(fakebroker.PUBACK)
		}
	}
	exchange()
	require.Equal(t, born, libraryMask(t))
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {})
	exchange()
	require.NotEqual(t, born, libraryMask(t), "a callback must change the mask, or the test proves nothing")
	go func() { _, _ = io.Copy(io.Discard, conn); conn.Close() }() // the broker's side of LoopStop
	stop(t, c)
}

// libraryMask returns the signal mask of the thread "mosquitto loop". Without this
// thread it returns a mask with all bits set.
func libraryMask(t *testing.T) uint64 {
	t.Helper()
	for thread, mask := range blockedSignals(t) {
		if thread.name == "mosquitto loop" {
			return mask
		}
	}
	return ^uint64(0)
}

type thread struct{ id, name string }

// blockedSignals returns the signal masks of the threads of this process.
func blockedSignals(t *testing.T) map[thread]uint64 {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	masks := make(map[thread]uint64)
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			continue // the thread has ended
		}
		_, name, _ := strings.Cut(string(text), "Name:\t")
		name, _, _ = strings.Cut(name, "\n")
		_, blocked, _ := strings.Cut(string(text), "SigBlk:\t")
		mask, err := strconv.ParseUint(strings.Fields(blocked)[0], 16, 64)
		require.NoError(t, err)
		masks[thread{task.Name(), name}] = mask
	}
	return masks
}

// Clients, even those that New refuses, leave the file descriptors 0 to 2 unchanged.
func TestSignals_RefusedClientsKeepFileDescriptors(t *testing.T) {
	before := openFiles(t)
	for _, id := range []string{"a\x00", "\xff", "\x01", "\ufffe", "a\x7fb"} {
		_, err := mosquitto.New(id, true, nil)
		require.Error(t, err)
		require.ErrorContains(t, err, "new: clientID: ")
		c, err := mosquitto.New("", true, nil)
		require.NoError(t, err)
		require.Error(t, c.Reinitialise(id, true, nil))
		require.NoError(t, c.Close())
	}
	_, err := mosquitto.New("", false, nil)
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.Equal(t, before, openFiles(t))
}

// openFiles returns the targets of the standard file descriptors.
func openFiles(t *testing.T) (files [3]string) {
	t.Helper()
	for fd := range files {
		what, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		require.NoError(t, err)
		files[fd] = what
	}
	return files
}
