//go:build cgo

package mqtttest_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

func TestStartBroker_DeliversMessages(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	require.Equal(t, "mqtt://"+broker.Addr(), broker.URL())
	require.True(t, strings.HasPrefix(broker.Addr(), "127.0.0.1:"), broker.Addr())
	requireRoundTrip(t, mustDial(t, broker.URL(), mqtt.WithClientID("first")), "a/b")
	require.Contains(t, broker.Log(), "Received PUBLISH from first")
}

func TestStartBroker_BrokersDoNotShareMessages(t *testing.T) {
	one, two := mqtttest.StartBroker(t), mqtttest.StartBroker(t)
	require.NotEqual(t, one.Addr(), two.Addr())
	require.NoError(t, mustDial(t, one.URL()).Publish(wait.Soon(t), "a", []byte("1"), mqtt.WithRetain(true)))
	client := mustDial(t, two.URL())
	received := make(chan string, 10)
	require.NoError(t, client.Subscribe(wait.Soon(t), "a", 1, func(_ context.Context, m mqtt.Message) { received <- string(m.Payload) }))
	require.NoError(t, client.Publish(wait.Soon(t), "a", []byte("2")))
	require.Equal(t, "2", wait.For(t, received, "the message"))
}

func TestStartBroker_EndsWithTheTest(t *testing.T) {
	var addr string
	t.Run("test", func(t *testing.T) { addr = mqtttest.StartBroker(t).Addr() })
	_, err := net.Dial("tcp", addr)
	require.ErrorContains(t, err, "refused")
}

func TestStartBroker_MissingProgramNamesThePackage(t *testing.T) {
	mqtttest.SearchOnlyPATH(t)
	t.Setenv("PATH", t.TempDir())
	requireFatal(t, "install the package mosquitto", func(r *recorder) { mqtttest.StartBroker(r) })
	requireFatal(t, "install docker", func(r *recorder) { mqtttest.StartBroker(r, mqtttest.WithImage("image")) })
}

func TestStartBroker_WrongLineOfConfigFailsWithTheLog(t *testing.T) {
	requireFatal(t, "no_such_option", func(r *recorder) {
		mqtttest.StartBroker(r, mqtttest.WithConfig("no_such_option 1"))
	})
}

func TestStartBroker_FailedTestPrintsTheLog(t *testing.T) {
	r := record(t, func(r *recorder) {
		mqtttest.StartBroker(r)
		r.failed = true
	})
	require.Empty(t, r.fatal)
	require.Regexp(t, `mosquitto version \S+ running`, r.logged)

	r = record(t, func(r *recorder) { mqtttest.StartBroker(r) })
	require.Empty(t, r.logged, "a passed test prints nothing")
}

func TestBroker_StopEndsConnectionsAndStartAcceptsAgain(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	addr := broker.Addr()
	states := make(chan mqtt.StateChange, 100)
	client := mustDial(t, broker.URL(), mqtt.WithProtocol(mqtt.V5), mqtt.WithStateHandler(func(_ *mqtt.Client, c mqtt.StateChange) { states <- c }))
	broker.Stop()
	for wait.For(t, states, "the loss of the connection").State != mqtt.StateDisconnected {
	}
	require.NotContains(t, broker.Log(), "Sending DISCONNECT to ")
	_, err := net.Dial("tcp", addr)
	require.ErrorContains(t, err, "refused")
	broker.Stop() // the second call changes nothing

	broker.Start()
	require.Equal(t, addr, broker.Addr())
	require.NoError(t, client.AwaitConnected(wait.Soon(t)))
	requireRoundTrip(t, client, "a")
	broker.Start() // the second call changes nothing
	requireRoundTrip(t, client, "b")
}

func TestBroker_KillEndsConnections(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	conn, err := net.Dial("tcp", broker.Addr())
	require.NoError(t, err)
	defer conn.Close()
	broker.Kill()
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = net.Dial("tcp", broker.Addr())
	require.ErrorContains(t, err, "refused")
	broker.Kill()
	broker.Start()
	requireRoundTrip(t, mustDial(t, broker.URL()), "a")
}

func TestBroker_StartFailsIfThePortIsTaken(t *testing.T) {
	requireFatal(t, "already in use", func(r *recorder) {
		broker := mqtttest.StartBroker(r)
		broker.Stop()
		l, err := net.Listen("tcp", broker.Addr())
		if err != nil {
			r.Fatalf("%v", err)
		}
		defer l.Close()
		broker.Start()
	})
}

func TestBroker_LeavesNoFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Run("test", func(t *testing.T) {
		broker := mqtttest.StartBroker(t, mqtttest.WithClientCertificates(), mqtttest.WithPersistence(), mqtttest.WithACL("topic #"))
		broker.Certificate("alice")
		require.FileExists(t, broker.CAFile())
		broker.Stop()
	})
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
