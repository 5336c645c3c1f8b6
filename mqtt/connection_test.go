//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The client sends SUBSCRIBE first if the broker has lost the session.
func TestConnection_SubscriptionsAreRestoredBeforeConnected(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	option, told := watchStates()
	c, conn := dialScriptedBroker(t, p, option, mqtt.WithClientID("x"), mqtt.WithSession(-1))
	for _, filter := range []string{"a", "b/#"} {
		ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), filter, 1, ignore) })
		acknowledgeSubscribe(conn, 1)
		require.NoError(t, wait.For(t, ended, "Subscribe"))
	}
	awaitState(t, told, mqtt.StateConnected)
	conn.Close()
	awaitFailure(t, told)
	c.PublishAsync(wait.Soon(t), "p", nil)
	conn = p.AcceptConnect()
	packet := conn.Expect(fakebroker.SUBSCRIBE)
	require.Equal(t, fakebroker.Hex("'a' 01 'b/#' 01"), packet.Body[2:])
	require.Equal(t, "p", string(conn.Expect(fakebroker.PUBLISH).Body[2:3]))
	require.NotEqual(t, mqtt.StateConnected, c.State())
	wait.None(t, told, "change of state")
	conn.Send(fakebroker.V311.Suback(packet.MID(), []byte{1, 1}))
	awaitState(t, told, mqtt.StateConnected)
	require.Equal(t, mqtt.StateConnected, c.State())

	conn.Close()
	conn = p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(true, 0)) // the broker has kept the session
	conn.Expect(fakebroker.PUBLISH)             // the first packet is the unacknowledged message
	awaitState(t, told, mqtt.StateConnected)
}

// Another server may hold an older session of the client.
func TestConnection_OldSessionOfAnotherServerIsUpdated(t *testing.T) {
	t.Parallel()
	first, second := fakebroker.Listen(t), fakebroker.Listen(t)
	c := dialAll(t, []string{url(first.Port), url(second.Port)}, mqtt.WithBackgroundConnect(), mqtt.WithClientID("x"), mqtt.WithSession(-1))
	conn := first.AcceptConnect()
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	first.Close()
	conn.Close()
	conn = second.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(true, 0))
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
}

// The client subscribes again at the next connection.
func TestConnection_RefusalAtAReconnectIsReported(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	lost := make(chan *mqtt.SubscribeError, 10)
	c, conn := dialScriptedBroker(t, p, mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- err }}))
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	for range 2 {
		conn.Close()
		conn = p.AcceptConnect()
		acknowledgeSubscribe(conn, 0x80)
		require.Equal(t, &mqtt.SubscribeError{Filter: "a", Code: 0x80}, wait.For(t, lost, "the hook"))
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
	conn.Close()
	conn = p.AcceptConnect()
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	wait.None(t, lost, "hook")
}

func TestConnection_EveryLossIsReportedAndFollowedByAReconnect(t *testing.T) {
	t.Parallel()
	_, proxy := startProxiedBroker(t)
	option, told := watchStates()
	c := dial(t, proxy.Port, option, mqtt.WithConnectTimeout(200*time.Millisecond))
	awaitState(t, told, mqtt.StateConnected)
	failsWith := func(want error) {
		t.Helper()
		for {
			s := awaitFailure(t, told)
			if s.Attempt == 0 { // the connection loss
				continue
			}
			require.Error(t, s.Err)
			require.Equal(t, url(proxy.Port), s.Server)
			if want == nil || errors.Is(s.Err, want) {
				return
			}
		}
	}
	noise := func() { proxy.Corrupt(faultproxy.Down, 1); proxy.Cut(); failsWith(nil) }
	for name, fault := range map[string]func(){
		"cut":              proxy.Cut,
		"reset":            proxy.Reset,
		"half":             func() { proxy.HalfClose(faultproxy.Down) },
		"refuse":           func() { proxy.RefuseNew(); proxy.Cut(); failsWith(syscall.ECONNREFUSED) },
		"close":            func() { proxy.CloseNew(); proxy.Cut(); failsWith(mosquitto.ErrConnLost) },
		"silent":           func() { proxy.BlackholeNew(); proxy.Cut(); failsWith(mqtt.ErrConnectTimeout); proxy.CutUnanswered() },
		"noise":            noise,
		"noise and close":  func() { noise(); proxy.CloseNew(); failsWith(mosquitto.ErrConnLost) },
		"noise and refuse": func() { noise(); proxy.RefuseNew(); failsWith(syscall.ECONNREFUSED) },
	} {
		before := c.Stats().Connects
		fault()
		proxy.Heal()
		wait.Until(t, "the next connection after "+name, func() bool { return c.Stats().Connects > before })
		require.NoError(t, c.AwaitConnected(wait.Soon(t)), name)
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil), name)
	}
}

// The library's own loop ends after this kind of loss.
func TestConnection_TLSLossIsFollowedByAReconnect(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	c := dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	for range 2 {
		b.Kill()
		b.Restart()
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	}
}

// secure returns the mqtts address of a server on this machine.
func secure(port int) string { return "mqtts" + url(port)[len("mqtt"):] }

// The client reports DISCONNECT and a refusal of the server with their reason codes.
func TestConnection_DisconnectAndRefusalAreReported(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	option, told := watchStates()
	c, conn := dialScriptedBroker(t, p, option, mqtt.WithProtocol(mqtt.V5))
	awaitState(t, told, mqtt.StateConnected)
	conn.Send(fakebroker.V5.Disconnect(byte(mosquitto.RCServerShuttingDown)))
	var reason mosquitto.ReasonError
	require.ErrorAs(t, awaitFailure(t, told).Err, &reason)
	require.Equal(t, mosquitto.RCServerShuttingDown, reason.Code)
	for range 3 {
		conn, _ = acceptNextConnect(t, p)
		conn.Send(fakebroker.V5.Connack(false, byte(mosquitto.RCNotAuthorized)))
		var refusal mosquitto.ConnackError
		require.ErrorAs(t, awaitFailure(t, told).Err, &refusal)
		conn.Close()
	}
	conn, _ = acceptNextConnect(t, p)
	conn.Send(fakebroker.V5.Connack(false, 0))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
}

// unresponsivePort returns a port that accepts no connection, because its backlog is full.
func unresponsivePort(t *testing.T) (port int) {
	socket := func() int {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		require.NoError(t, syscall.SetNonblock(fd, true))
		t.Cleanup(func() { syscall.Close(fd) })
		return fd
	}
	l := socket()
	require.NoError(t, syscall.Bind(l, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(l, 0))
	address, err := syscall.Getsockname(l)
	require.NoError(t, err)
	port = address.(*syscall.SockaddrInet4).Port
	for range 3 {
		_ = syscall.Connect(socket(), &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
	}
	return port
}

// The client then tries the next server. Dial ends with its context.
func TestConnection_SilentServerCostsTheConnectTimeout(t *testing.T) {
	t.Parallel()
	b := plain(t)
	silent, deaf := fakebroker.Listen(t).Port, unresponsivePort(t) // the first accepts connections and sends nothing
	for name, port := range map[string]int{"no CONNACK": silent, "no TCP": deaf} {
		quick := mqtt.WithConnectTimeout(100 * time.Millisecond)
		_, err := mqtt.Dial(wait.Soon(t), []string{url(port)}, quick)
		require.ErrorIs(t, err, mqtt.ErrConnectTimeout, name)
		var failure *mqtt.ConnectError
		require.ErrorAs(t, err, &failure, name)
		require.Equal(t, url(port), failure.Server)

		_, err = mqtt.Dial(context50ms(t), []string{url(port)})
		require.ErrorIs(t, err, context.DeadlineExceeded, name)

		c := dialAll(t, []string{url(port), url(b.Port)}, quick)
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil), name)
	}
}

// Not parallel: the test replaces Go's resolver.
func TestConnection_SilentResolverCostsTheConnectTimeout(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	old := net.DefaultResolver
	defer func() { net.DefaultResolver = old }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp4", silent.LocalAddr().String())
	}}
	_, err = mqtt.Dial(wait.Soon(t), []string{"mqtt://broker.test"}, mqtt.WithConnectTimeout(100*time.Millisecond))
	var failure *net.DNSError
	require.ErrorAs(t, err, &failure)
	require.True(t, failure.IsTimeout)
	_, err = mqtt.Dial(context50ms(t), []string{"mqtt://broker.test"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnection_MessagesWaitForTheFirstConnack(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c := dial(t, p.Port, mqtt.WithBackgroundConnect())
	tokens := make([]*mqtt.Token, 3)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	for qos := range tokens {
		tokens[qos] = c.PublishAsync(wait.Soon(t), "a", nil, mqtt.WithQoS(mqtt.QoS(qos)))
	}
	for _, token := range tokens {
		requirePending(t, token)
	}
	conn.Send(fakebroker.V311.Connack(false, 0))
	conn.Dialog().Expect(fakebroker.V311.Publish(0, "a", 0, ""))
	require.NoError(t, tokens[0].Wait(wait.Soon(t)))
	conn.Expect(fakebroker.PUBLISH)
	conn.Expect(fakebroker.PUBLISH)
	requirePending(t, tokens[1])
	requirePending(t, tokens[2])
}
