//go:build cgo

package mqtt_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The client connects to an IP address. The broker's certificate has a host name.
func TestServerName_IsVerifiedInsteadOfTheAddress(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "broker.internal"), ClientCA: ca.File})
	own := ca.Issue("client")
	read := func(file string) []byte {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return text
	}
	servers := []string{fmt.Sprintf("mqtts://127.0.0.1:%d", b.Port)}
	for name, settings := range map[string]mqtt.TLS{
		"files":  {ServerName: "broker.internal", CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile},
		"memory": {ServerName: "broker.internal", CA: read(ca.File), Cert: read(own.CertFile), Key: read(own.KeyFile)},
		"encrypted key": {
			ServerName: "broker.internal", CA: read(ca.File), Cert: read(own.CertFile), Key: read(ca.Encrypt(own.KeyFile, "secret")),
			KeyPassword: func() (string, error) { return "secret", nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialAll(t, servers, mqtt.WithTLS(settings))
			b.Restart()
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "after a reconnect")
		})
	}
	_, err := mqtt.Dial(wait.Soon(t), servers, mqtt.WithTLS(mqtt.TLS{ServerName: "elsewhere.internal", CAFile: ca.File, CertFile: own.CertFile, KeyFile: own.KeyFile}))
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.Contains(t, failure.Detail, "certificate verify failed")

	_, err = mqtt.Dial(wait.Soon(t), servers, mqtt.WithTLS(mqtt.TLS{ServerName: "broker.internal", PSK: "abcd", PSKIdentity: "me"}))
	require.ErrorIs(t, err, mosquitto.ErrInval)
}
