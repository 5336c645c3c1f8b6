//go:build cgo

package mqtt_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// alertOnce is a TLS listener that sends a TLS alert to the first clients, as a starting broker
// may do, and accepts later clients.
type alertOnce struct {
	net.Listener
	alerts int
}

func (a *alertOnce) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil || a.alerts == 0 {
			return conn, err
		}
		a.alerts--
		sendAlert(conn)
	}
}

// internalError is a fatal TLS alert.
var internalError = []byte{21, 3, 3, 0, 2, 2, 80}

func sendAlert(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait.Patience))
	hello := make([]byte, 16<<10)
	_, _ = conn.Read(hello)
	_, _ = conn.Write(internalError)
}

func TestTLSErrors_AlertOfAStartingBrokerIsTemporary(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "test CA")
	cert := ca.Issue("broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	b := fakeBrokerOn(t, tls.NewListener(&alertOnce{l, 3}, &tls.Config{Certificates: []tls.Certificate{pair}}), nil)
	option, changes := watchStates()
	c, err := mqtt.Dial(wait.Soon(t), []string{fmt.Sprint("mqtts://127.0.0.1:", b.port)}, fast(), mqtt.WithConnectRetry(), option,
		mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	require.NoError(t, err)
	t.Cleanup(func() { closeNow(t, c) })
	require.Positive(t, awaitAttempts(t, changes))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// awaitAttempts waits for the connection and returns the number of failed attempts before it.
func awaitAttempts(t *testing.T, changes <-chan mqtt.StateChange) (failed int) {
	t.Helper()
	for {
		switch change := wait.For(t, changes, "the connection"); change.State {
		case mqtt.StateConnected:
			return failed
		case mqtt.StateDisconnected, mqtt.StateConnecting:
			failed++
		}
	}
}
