//go:build cgo

package mqtttest_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

// pair is a connection through a proxy, and its server side.
func pair(t *testing.T) (proxy *mqtttest.Proxy, client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	proxy = mqtttest.StartProxy(t, l.Addr().String())
	client = connect(t, proxy)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	require.NoError(t, server.SetDeadline(time.Now().Add(wait.Patience)))
	requireArrives(t, client, server)
	requireArrives(t, server, client)
	return proxy, client, server
}

func connect(t *testing.T, proxy *mqtttest.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(wait.Patience)))
	return conn
}

func requireArrives(t *testing.T, from, to net.Conn) {
	t.Helper()
	_, err := from.Write([]byte("ping"))
	require.NoError(t, err)
	requireReads(t, to, "ping")
}

func requireReads(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	buf := make([]byte, len(text))
	_, err := io.ReadFull(conn, buf)
	require.NoError(t, err)
	require.Equal(t, text, string(buf))
}

func requireReadError(t *testing.T, conn net.Conn, expected error) {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, expected)
}

// requireSilence checks that nothing arrives for a moment.
func requireSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(wait.Patience)))
}

func TestStartProxy_ForwardsBothDirectionsAndTheEnd(t *testing.T) {
	_, client, server := pair(t)
	_, err := server.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	requireReads(t, client, "last words")
	requireReadError(t, client, io.EOF)
}

func TestStartProxy_URLHasTheSchemeOfTheServer(t *testing.T) {
	require.Regexp(t, `^mqtts://127\.0\.0\.1:\d+$`, mqtttest.StartProxy(t, "mqtts://127.0.0.1:1").URL())
	proxy := mqtttest.StartProxy(t, "127.0.0.1:1")
	require.Equal(t, "mqtt://"+proxy.Addr(), proxy.URL())
}

func TestStartProxy_WrongServerFails(t *testing.T) {
	for _, server := range []string{"", "localhost", "mqtt://localhost", "mqtt://%zz:1"} {
		requireFatal(t, "StartProxy: server \""+server+"\"", func(r *recorder) { mqtttest.StartProxy(r, server) })
	}
}

func TestStartProxy_RefusingServerResetsTheClient(t *testing.T) {
	proxy := mqtttest.StartProxy(t, "127.0.0.1:1")
	conn, err := net.Dial("tcp", proxy.Addr())
	if err == nil { // otherwise the reset has arrived before Dial has returned
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(wait.Patience)))
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestStartProxy_ForwardsTLS(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithTLS())
	proxy := mqtttest.StartProxy(t, broker.URL())
	requireRoundTrip(t, mustDial(t, proxy.URL(), mqtt.WithTLS(mqtt.TLS{CAFile: broker.CAFile()})), "a")
}

func TestProxyCut_BothSidesReadTheEnd(t *testing.T) {
	proxy, client, server := pair(t)
	proxy.Cut()
	requireReadError(t, client, io.EOF)
	requireReadError(t, server, io.EOF)
	proxy.Cut()
}

func TestProxyCut_StalledDataIsLost(t *testing.T) {
	proxy, client, server := pair(t)
	proxy.Stall()
	_, err := client.Write([]byte("lost"))
	require.NoError(t, err)
	proxy.Cut()
	proxy.Resume()
	requireReadError(t, client, io.EOF)
	requireReadError(t, server, io.EOF)
}

func TestProxyReset_BothSidesGetAReset(t *testing.T) {
	proxy, client, server := pair(t)
	proxy.Reset()
	requireReadError(t, client, syscall.ECONNRESET)
	requireReadError(t, server, syscall.ECONNRESET)
	proxy.Reset()
}

func TestProxyStall_ResumeForwardsHeldData(t *testing.T) {
	proxy, client, server := pair(t)
	proxy.Stall()
	for _, conn := range []net.Conn{client, server} {
		_, err := conn.Write([]byte("held"))
		require.NoError(t, err)
	}
	requireSilence(t, client)
	requireSilence(t, server)
	proxy.Resume()
	requireReads(t, client, "held")
	requireReads(t, server, "held")
}

func TestProxyStall_NewClientReceivesNoCONNACK(t *testing.T) {
	proxy := mqtttest.StartProxy(t, mqtttest.StartBroker(t).URL())
	proxy.Stall()
	_, err := dial(t, proxy.URL(), mqtt.WithConnectTimeout(50*time.Millisecond))
	require.Error(t, err)
	proxy.Resume()
	requireRoundTrip(t, mustDial(t, proxy.URL()), "a")
}

func TestProxyRefuse_ExistingConnectionsContinue(t *testing.T) {
	proxy, client, server := pair(t)
	proxy.Refuse()
	proxy.Refuse()
	_, err := net.Dial("tcp", proxy.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	requireArrives(t, client, server)
	proxy.Cut()
	requireReadError(t, client, io.EOF)
}

func TestProxyAccept_ClientReconnects(t *testing.T) {
	proxy := mqtttest.StartProxy(t, mqtttest.StartBroker(t).URL())
	states := make(chan mqtt.StateChange, 1000)
	client := mustDial(t, proxy.URL(), mqtt.WithStateHandler(func(_ *mqtt.Client, c mqtt.StateChange) { states <- c }))
	proxy.Refuse()
	proxy.Cut()
	for wait.For(t, states, "the loss of the connection").State != mqtt.StateDisconnected {
	}
	proxy.Accept()
	proxy.Accept()
	require.NoError(t, client.AwaitConnected(wait.Soon(t)))
	requireRoundTrip(t, client, "a")
}

func TestProxyDelay_DataArrivesLater(t *testing.T) {
	proxy, client, server := pair(t)
	const delay = 100 * time.Millisecond
	proxy.Delay(delay)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		sent := time.Now()
		requireArrives(t, way[0], way[1])
		require.GreaterOrEqual(t, time.Since(sent), delay)
	}
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	proxy.Cut()
	requireReadError(t, server, io.EOF)
}
