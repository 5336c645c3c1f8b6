//go:build cgo

package mqtt_test

import (
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The client connects with ws and wss after a stopped server, and reconnects after a restart.
// Before libmosquitto 2.1 Dial returns an error.
func TestWebsocket_ConnectsAndReconnects(t *testing.T) {
	ca := broker.NewCA(t, "authority")
	cert := ca.Issue("broker", "localhost")
	for scheme, tls := range map[string]string{"ws": "", "wss": fmt.Sprintf("\ncertfile %s\nkeyfile %s", cert.CertFile, cert.KeyFile)} {
		t.Run(scheme, func(t *testing.T) {
			gone, port := broker.FreePort(t), broker.FreePort(t)
			servers := []string{fmt.Sprintf("%s://localhost:%d", scheme, gone), fmt.Sprintf("%s://localhost:%d/mqtt", scheme, port)}
			var options []mqtt.Option
			if tls != "" {
				options = append(options, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
			}
			if major, minor, _ := mosquitto.LibVersion(); major*1000+minor < 2001 {
				_, err := mqtt.Dial(wait.Soon(t), servers, options...)
				require.ErrorIs(t, err, mqtt.ErrNotSupported)
				require.ErrorContains(t, err, "websockets need libmosquitto 2.1")
				return
			}
			b := broker.Start(t, broker.Config{Extra: fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets", port) + tls})
			c := dialAll(t, servers, options...)
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
			for range 2 {
				require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x")))
				wait.For(t, got, "a message")
				b.Restart()
			}
		})
	}
}
