//go:build cgo

package mqtt_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// direct is a dialer without a proxy.
func direct() mqtt.Option { return mqtt.WithDialer(new(net.Dialer).DialContext) }

// pipes is a network in memory: a listener for the fake broker, and its dialer.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.dialed <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-time.After(wait.Patience):
		return nil, os.ErrDeadlineExceeded
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// dialPipes connects a client to a fake broker through pipes in memory.
func dialPipes(t *testing.T, options ...mqtt.Option) (*mqtt.Client, *fakebroker.Broker, *fakebroker.Conn) {
	t.Helper()
	network := newPipes()
	p := fakebroker.On(t, network)
	options = append(options, mqtt.WithDialer(network.dial), mqtt.WithBackgroundConnect())
	c := dialAll(t, []string{"mqtt://in.memory"}, options...)
	conn := p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	return c, p, conn
}

func TestDialer_MessagesPassThroughPipeInBothDirections(t *testing.T) {
	t.Parallel()
	c, _, conn := dialPipes(t)
	h, got := collect()
	subscribing := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, h) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, subscribing, "SUBACK"))
	conn.Send(fakebroker.Publish(0, "a", 0, "text"))
	require.Equal(t, "text", string(wait.For(t, got, "a message").Payload))
	publishing := inBackground(func() error { return c.Publish(wait.Soon(t), "b", []byte("x")) })
	packet := conn.Expect(fakebroker.PUBLISH)
	packet.Body = packet.Body[len("00b"):] // the packet id follows the topic
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, packet.MID()))
	require.NoError(t, wait.For(t, publishing, "PUBACK"))
}

func TestDialer_ReceivesNetworkAndUnresolvedAddress(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Unix: true})
	calls := make(chan [2]string, 10)
	dialer := func(ctx context.Context, network, address string) (net.Conn, error) {
		calls <- [2]string{network, address}
		return new(net.Dialer).DialContext(ctx, "tcp", b.Addr())
	}
	dialAll(t, []string{"mqtt://name.invalid"}, mqtt.WithDialer(dialer))
	dialAll(t, []string{"unix:/some/path"}, mqtt.WithDialer(dialer))
	require.Equal(t, [2]string{"tcp", "name.invalid:1883"}, wait.For(t, calls, "the first call"))
	require.Equal(t, [2]string{"unix", "/some/path"}, wait.For(t, calls, "the second call"))
	dialAll(t, []string{"unix:" + b.Unix}, direct())
}

func TestDialer_ErrorNamesServerAndReason(t *testing.T) {
	t.Parallel()
	failure := errors.New("the tunnel is closed")
	fails := func(context.Context, string, string) (net.Conn, error) { return nil, failure }
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://broker.test"}, mqtt.WithDialer(fails))
	require.ErrorIs(t, err, failure)
	require.EqualError(t, err, "mqtt: connect mqtt://broker.test:1883: the tunnel is closed")

	nothing := func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	_, err = mqtt.Dial(wait.Soon(t), []string{"mqtt://broker.test"}, mqtt.WithDialer(nothing))
	requireConnectError(t, err, "mqtt://broker.test:1883")

	server := url(broker.FreePort(t))
	_, err = mqtt.Dial(wait.Soon(t), []string{server}, direct())
	requireConnectError(t, err, server)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	var operation *net.OpError
	require.ErrorAs(t, err, &operation)
}

func TestDialer_ThatIgnoresContextTimesOut(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	t.Cleanup(func() { far.Close() })
	release := make(chan struct{})
	blocks := func(context.Context, string, string) (net.Conn, error) {
		<-release
		return near, nil
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://broker.test"}, mqtt.WithDialer(blocks),
		mqtt.WithConnectTimeout(50*time.Millisecond))
	require.ErrorIs(t, err, mqtt.ErrConnectTimeout)
	close(release)
	require.NoError(t, far.SetReadDeadline(time.Now().Add(wait.Patience)))
	_, err = far.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the client closes the late connection")
}

func TestDialer_CloseEndsBlockedDialer(t *testing.T) {
	t.Parallel()
	dialing, ended := make(chan struct{}, 1), make(chan struct{})
	blocks := func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialing <- struct{}{}
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	c := dialAll(t, []string{"mqtt://broker.test"}, mqtt.WithDialer(blocks), mqtt.WithBackgroundConnect())
	wait.For(t, dialing, "the dialer's call")
	require.NoError(t, c.Close(wait.Soon(t)))
	wait.For(t, ended, "the end of the dialer")
}

func TestDialer_ResetIsReported(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	changed, changes := watchStates()
	_, conn := dialScriptedBroker(t, p, direct(), changed)
	awaitState(t, changes, mqtt.StateConnected)
	conn.Reset()
	lost := awaitState(t, changes, mqtt.StateDisconnected)
	require.ErrorIs(t, lost.Err, syscall.ECONNRESET)
	require.ErrorContains(t, lost.Err, "mqtt: connection to "+url(p.Port)+": read tcp ")
	p.AcceptConnect()
	awaitState(t, changes, mqtt.StateConnected)
}

func TestDialer_ServerCloseIsConnectionLost(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	changed, changes := watchStates()
	h, got := collect()
	_, conn := dialScriptedBroker(t, p, direct(), changed, mqtt.WithDefaultHandler(h))
	awaitState(t, changes, mqtt.StateConnected)
	const messages = 1000
	var all []byte
	for n := range messages {
		all = append(all, fakebroker.Publish(0, "a", 0, fmt.Sprint(n))...)
	}
	conn.Send(all)
	conn.Close()
	awaitNumbers(t, got, sequence(0, messages-1)...) // all bytes arrive before the end
	lost := awaitState(t, changes, mqtt.StateDisconnected)
	require.ErrorIs(t, lost.Err, mosquitto.ErrConnLost)
}

// libmosquitto 2.1 keeps input behind a malformed packet. It connects several times to
// drop the input, but the server must see one connection only.
func TestDialer_ReconnectsAfterMalformedPacket(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, direct())
	input := fakebroker.Bytes(0, 0)
	for range 5 {
		input = append(input, fakebroker.Publish(0, "a", 0, "x")...)
	}
	conn.Send(input)
	p.AcceptConnect()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
}

func TestDialer_RefusalIsReported(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Users: map[string]string{"u": "p"}})
	_, err := mqtt.Dial(wait.Soon(t), []string{url(b.Port)}, direct(), mqtt.WithCredentials("u", "wrong"))
	var refusal mosquitto.ConnackError
	require.ErrorAs(t, err, &refusal)
	dial(t, b.Port, direct(), mqtt.WithCredentials("u", "p"))
}

func TestDialer_CloseSendsDisconnectAfterLastMessage(t *testing.T) {
	t.Parallel()
	c, _, conn := dialPipes(t)
	token := c.PublishAsync(wait.Soon(t), "a", []byte("x"), mqtt.WithQoS(0))
	closing := inBackground(func() error { return c.Close(wait.Soon(t)) })
	conn.Expect(fakebroker.PUBLISH)
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, closing, "the end of Close"))
	require.NoError(t, token.Err())
}

func TestDialer_CloseDoesNotWaitForSilentServer(t *testing.T) {
	t.Parallel()
	c, _, _ := dialPipes(t) // net.Pipe has no buffer: the server reads not even DISCONNECT
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, c.Close(ctx))
	wait.For(t, c.Done(), "the end of the client")
}

func TestDialer_ReconnectsThroughDialer(t *testing.T) {
	t.Parallel()
	b := plain(t)
	var dials atomic.Int32
	dialer := func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c := dial(t, b.Port, mqtt.WithDialer(dialer))
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	b.Kill()
	b.Restart()
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x")))
	wait.For(t, got, "a message")
	require.GreaterOrEqual(t, dials.Load(), int32(2))
}

func TestDialer_KeepsOrderOfTenThousandMessages(t *testing.T) {
	t.Parallel()
	b := plain(t)
	c := dial(t, b.Port, direct())
	const messages = 10_000
	h, got := collect()
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	var last *mqtt.Token
	for n := range messages {
		last = c.PublishAsync(context.Background(), "a", []byte(fmt.Sprint(n)))
	}
	awaitNumbers(t, got, sequence(0, messages-1)...)
	wait.For(t, last.Done(), "PUBACK")
	require.NoError(t, last.Err())
}

func TestDialer_SlowHandlerBlocksServer(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	received, release := make(chan struct{}, 1000), make(chan struct{})
	slow := func(context.Context, mqtt.Message) {
		received <- struct{}{}
		<-release
	}
	_, conn := dialScriptedBroker(t, p, direct(), mqtt.WithDefaultHandler(slow))
	message := fakebroker.Publish(0, "a", 0, string(make([]byte, 1<<20)))
	const messages = 64
	sent := make(chan int, messages)
	go func() {
		defer close(sent)
		for n := range messages {
			_ = conn.SetWriteDeadline(time.Now().Add(wait.Patience))
			if _, err := conn.Write(message); err != nil {
				return
			}
			sent <- n
		}
	}()
	wait.For(t, received, "the first message")
	n := 0
	for blocked := false; !blocked; {
		select {
		case _, more := <-sent:
			require.True(t, more, "the server must not be able to send 64 MiB to a blocked client")
			n++
		case <-time.After(300 * time.Millisecond):
			blocked = true
		}
	}
	require.Less(t, n, messages)
	close(release)
	for range messages - 1 {
		wait.For(t, received, "a message")
	}
}

func TestDialer_ManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Quiet: true})
	const clients = 300
	failures := make(chan error, clients)
	for n := range clients {
		go func() {
			failures <- func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 3*wait.Patience)
				defer cancel()
				c, err := mqtt.Dial(ctx, []string{url(b.Port)}, direct(), mqtt.WithConnectTimeout(wait.Patience))
				if err != nil {
					return err
				}
				defer func() { _ = c.Close(ctx) }()
				got := make(chan struct{}, 1)
				topic := fmt.Sprint("own/", n)
				if err := c.Subscribe(ctx, topic, 1, func(context.Context, mqtt.Message) { got <- struct{}{} }); err != nil {
					return err
				}
				if err := c.Publish(ctx, topic, nil); err != nil {
					return err
				}
				select {
				case <-got:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}()
		}()
	}
	for range clients {
		require.NoError(t, wait.For(t, failures, "a client"))
	}
}

func TestDialer_OptionsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	config := mqtt.WithTLSConfig(new(tls.Config))
	for name, c := range map[string]struct {
		server  string
		options []mqtt.Option
		says    string
	}{
		"nil dialer":        {"mqtt://h", []mqtt.Option{mqtt.WithDialer(nil)}, "WithDialer: dial is nil"},
		"nil config":        {"mqtts://h", []mqtt.Option{mqtt.WithTLSConfig(nil)}, "WithTLSConfig: config is nil"},
		"two kinds of TLS":  {"mqtts://h", []mqtt.Option{config, mqtt.WithTLS(mqtt.TLS{})}, "WithTLSConfig: WithTLS is set too"},
		"OpenSSL":           {"mqtts://h", []mqtt.Option{direct(), mqtt.WithTLS(mqtt.TLS{})}, "WithTLS: with WithDialer, TLS needs WithTLSConfig"},
		"no TLS":            {"mqtt://h", []mqtt.Option{config}, "WithTLSConfig: the servers are not mqtts://"},
		"proxy":             {"mqtt://h", []mqtt.Option{direct(), mqtt.WithProxy("p", 1080, "", "")}, "WithProxy: WithDialer"},
		"local address":     {"mqtt://h", []mqtt.Option{direct(), mqtt.WithBindAddress("127.0.0.1")}, "WithBindAddress: WithDialer"},
		"bad local address": {"mqtts://127.0.0.1:1", []mqtt.Option{config, mqtt.WithBindAddress("name.invalid")}, "WithBindAddress"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mqtt.Dial(wait.Soon(t), []string{c.server}, c.options...)
			requireOneLine(t, err)
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{"ws://h"}, direct())
	require.Error(t, err, "with libmosquitto 2.1 as before it")
}

// trusting returns a TLS configuration that trusts an authority.
func trusting(t *testing.T, ca *broker.CA) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem(t, ca.File)))
	return &tls.Config{RootCAs: pool}
}

func TestTLSConfig_MessagesPass(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	for name, options := range map[string][]mqtt.Option{
		"alone": {}, "local address": {mqtt.WithBindAddress("127.0.0.1")}, "dialer": {direct()},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialAll(t, []string{secure(b.Port)}, append(options, mqtt.WithTLSConfig(trusting(t, ca)))...)
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), name, 1, h))
			for _, size := range []int{0, 1, 600, 20_000, 1 << 20} {
				require.NoError(t, c.Publish(wait.Soon(t), name, make([]byte, size)))
				require.Len(t, wait.For(t, got, "a message").Payload, size)
			}
			b.Kill()
			b.Restart()
			require.NoError(t, c.Publish(wait.Soon(t), name, []byte("after a reconnect")))
			require.NoError(t, c.Close(wait.Soon(t)))
		})
	}
}

func TestTLSConfig_UnknownAuthorityIsPermanentError(t *testing.T) {
	t.Parallel()
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "another authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	var log logBuffer
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(trusting(t, other)), mqtt.WithLogger(log.logger(slog.LevelInfo)))
	requireConnectError(t, err, secure(b.Port))
	require.ErrorContains(t, err, "x509: certificate signed by unknown authority")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	wait.Until(t, "the log line", func() bool {
		return containsAll(log.String(), secure(b.Port), "x509: certificate signed by unknown authority")
	})
}

func TestTLSConfig_HostNameOfServerIsVerified(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "broker.test")})
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(trusting(t, ca)))
	var wrongName x509.HostnameError
	require.ErrorAs(t, err, &wrongName)
	config := trusting(t, ca)
	config.ServerName = "broker.test"
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
}

// opaqueKey is a private key that can only sign, as a key in hardware.
type opaqueKey struct{ crypto.Signer }

func TestTLSConfig_ClientCertificateIsPresented(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	own := ca.Issue("client")
	certificate, err := tls.LoadX509KeyPair(own.CertFile, own.KeyFile)
	require.NoError(t, err)
	certificate.PrivateKey = opaqueKey{certificate.PrivateKey.(crypto.Signer)}
	config := trusting(t, ca)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	c := dialAll(t, []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

func TestTLSConfig_AlertOfServerIsReported(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	config := trusting(t, ca)
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(config)) // a permanent error: Dial does not retry
	requireConnectError(t, err, secure(b.Port))
	require.ErrorContains(t, err, "remote error: tls: certificate required")
	config.MaxVersion = tls.VersionTLS12
	_, err = mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
	requireConnectError(t, err, secure(b.Port))
	require.ErrorContains(t, err, "remote error: tls: ")
}

func TestTLSConfig_VerifyConnectionDecides(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	refusal := errors.New("not the pinned certificate")
	config := trusting(t, ca)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return x509.UnknownAuthorityError{Cert: state.PeerCertificates[0]}
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(config)) // a permanent error: Dial does not retry
	requireConnectError(t, err, secure(b.Port))
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if state.PeerCertificates[0].Subject.CommonName == "broker" {
			return refusal
		}
		return nil
	}
	_, err = mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
	require.ErrorIs(t, err, refusal)
	requireConnectError(t, err, secure(b.Port))
}

// The session ticket arrives after the handshake. A reconnect and another client use it.
func TestTLSConfig_SessionCacheResumesSessions(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	resumed := make(chan bool, 10)
	config := trusting(t, ca)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		resumed <- state.DidResume
		return nil
	}
	c := dialAll(t, []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
	require.False(t, wait.For(t, resumed, "the first handshake"))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.NoError(t, c.Reconnect(wait.Soon(t)))
	require.True(t, wait.For(t, resumed, "the handshake of the reconnect"))
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLSConfig(config))
	require.True(t, wait.For(t, resumed, "the handshake of another client"))
}

func TestTLSConfig_SilentServerTimesOut(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(p.Port)}, mqtt.WithTLSConfig(new(tls.Config)),
		mqtt.WithConnectTimeout(100*time.Millisecond))
	require.ErrorIs(t, err, mqtt.ErrConnectTimeout)
}
