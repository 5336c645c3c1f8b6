package test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// runOnce is run for RunOnce.
func runOnce(t testing.TB, ctx context.Context, c *mosquitto.Client) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ended <- c.RunOnce(ctx)
	}()
	t.Cleanup(func() {
		c.Close()
		wait.For(t, gone, "the end of RunOnce")
	})
	return ended
}

func TestRunOnce_ReturnsTheErrorOfALostConnection(t *testing.T) {
	c, e := newClient(t, "once", true)
	for range 2 { // the client connects to one server after the other
		p := fakebroker.Listen(t)
		require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", p.Port, keepalive, "", nil))
		ended := runOnce(t, context.Background(), c)
		conn := p.AcceptConnect()
		wait.For(t, e.connect, "OnConnect")
		conn.Reset()
		var fault *mosquitto.OpError
		require.ErrorAs(t, wait.For(t, ended, "the end of RunOnce"), &fault)
		require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	}
}

func TestRunOnce_ReturnsEveryRefusal(t *testing.T) {
	for _, code := range []mosquitto.ConnackCode{mosquitto.ConnackRefusedServerUnavailable, mosquitto.ConnackRefusedNotAuthorized} {
		p := fakebroker.Listen(t)
		c, _ := newClient(t, "once", true)
		require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", p.Port, keepalive, "", nil))
		ended := runOnce(t, context.Background(), c)
		conn := p.Accept()
		conn.Expect(fakebroker.CONNECT)
		conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, byte(code)))
		require.ErrorIs(t, wait.For(t, ended, "the end of RunOnce"), mosquitto.ConnackError{Code: code})
	}
}

func TestRunOnce_ReturnsTheErrorOfAFailedConnect(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		c, _ := newClient(t, "once", true)
		requireRefusedConnects(t, c)
	})
	t.Run("TLS", func(t *testing.T) {
		c, _ := trusting(t, broker.NewCA(t, "authority"))
		requireRefusedConnects(t, c)
	})
}

func requireRefusedConnects(t *testing.T, c *mosquitto.Client) {
	t.Helper()
	connect := func() error {
		err := c.ConnectAsyncContext(t.Context(), "127.0.0.1", broker.FreePort(t), keepalive, "", nil)
		if err != nil { // the kernel may refuse immediately
			return err
		}
		return c.RunOnce(context.Background())
	}
	require.ErrorIs(t, connect(), syscall.ECONNREFUSED)
	require.ErrorIs(t, connect(), syscall.ECONNREFUSED)
}

func TestRunOnce_EndsWithDisconnectAndContext(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "once", true)
	require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", b.Port, keepalive, "", nil))
	ended := runOnce(t, context.Background(), c)
	wait.For(t, e.connect, "OnConnect")
	require.NoError(t, c.Disconnect())
	require.NoError(t, wait.For(t, ended, "the end of RunOnce"))

	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(t, c.ConnectAsyncContext(ctx, "127.0.0.1", b.Port, keepalive, "", nil))
	ended = runOnce(t, ctx, c)
	wait.For(t, e.connect, "OnConnect")
	cancel()
	require.ErrorIs(t, wait.For(t, ended, "the end of RunOnce"), context.Canceled)
}

func TestConnectAsyncContext_SendsProperties(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "once", true)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		for _, sent := range []struct {
			props mosquitto.Properties
			bytes []byte
		}{
			{mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 7}}, []byte{0x11, 0, 0, 0, 7}},
			{mosquitto.Properties{{ID: mosquitto.PropRequestProblemInformation, Number: 0}}, []byte{0x17, 0}},
			{nil, nil},
		} {
			ctx, cancel := context.WithCancel(context.Background())
			require.NoError(t, c.ConnectAsyncContext(ctx, host, p.Port, keepalive, "", sent.props))
			ended := runOnce(t, ctx, c)
			conn := p.Accept()
			receiveMaximum := []byte{0x21, 0, 20} // set by the library
			require.Equal(t, append(sent.bytes, receiveMaximum...), readConnect(t, conn).props)
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
			wait.For(t, e.connect, "OnConnect")
			cancel()
			wait.For(t, ended, "the end of RunOnce")
		}
	}
}

func TestConnectAsyncContext_InvalidCallsReturnErrors(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "once", true)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, c.ConnectAsyncContext(gone, "127.0.0.1", b.Port, keepalive, "", nil), context.Canceled)
	require.ErrorIs(t, c.ConnectAsyncContext(t.Context(), "", b.Port, keepalive, "", nil), mosquitto.ErrInval)
	require.ErrorIs(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", b.Port, time.Second, "", nil), mosquitto.ErrInval)
	props := mosquitto.Properties{{ID: mosquitto.PropSessionExpiryInterval, Number: 7}}
	require.ErrorIs(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", b.Port, keepalive, "", props), mosquitto.ErrNotSupported)

	inside := make(chan error, 2)
	within := make(chan bool, 1)
	c.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		within <- c.InCallback()
		inside <- c.RunOnce(context.Background())
		inside <- c.ConnectAsyncContext(context.Background(), "127.0.0.1", b.Port, keepalive, "", nil)
	})
	require.NoError(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", b.Port, keepalive, "", nil))
	runOnce(t, context.Background(), c)
	wait.For(t, e.connect, "OnConnect")
	require.ErrorIs(t, c.ConnectAsyncContext(t.Context(), "127.0.0.1", b.Port, keepalive, "", nil), mosquitto.ErrBusy)
	require.False(t, c.InCallback())
	_, err := c.Subscribe("a", 0)
	require.NoError(t, err)
	require.True(t, wait.For(t, within, "InCallback"))
	require.ErrorIs(t, wait.For(t, inside, "RunOnce inside a callback"), mosquitto.ErrInCallback)
	require.ErrorIs(t, wait.For(t, inside, "ConnectAsyncContext inside a callback"), mosquitto.ErrInCallback)
}

// A TLS client connects to a server without TLS. The connection was accepted, so the
// error must not report a refused connection or the errno of an earlier call.
func TestRunOnce_ServerWithoutTLSIsNotConnectionRefused(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"closes at once":    func(net.Conn) {},
		"resets at once":    func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		"closes when asked": func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
		"other protocol": func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					answer(c)
					c.Close()
				}
			}()
			c, _ := trusting(t, broker.NewCA(t, "authority"))
			for range 200 {
				err := c.ConnectAsyncContext(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port, keepalive, "", nil)
				if err == nil {
					err = c.RunOnce(t.Context())
				}
				require.Error(t, err)
				require.NotErrorIs(t, err, syscall.ECONNREFUSED)
				require.NotErrorIs(t, err, syscall.EINPROGRESS)
				require.NotErrorIs(t, err, syscall.EAGAIN)
				require.NotErrorIs(t, err, syscall.EINVAL)
			}
		})
	}
}
