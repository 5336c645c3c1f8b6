//go:build cgo

package mqtt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/exampletb"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
)

// exampleEnv is the environment of the examples: a broker with a listener for each kind of
// connection. It runs until all tests have ended.
type exampleEnv struct {
	exampletb.TB

	ca      *broker.CA
	plain   string
	tls     string
	psk     string
	unix    string
	network *faultproxy.Proxy
	proxied string // plain, through the fault proxy
	stopped string // no server listens on this port
}

// The first example that calls exampleServers starts them.
var (
	startedEnv *exampleEnv
	startEnv   sync.Once
)

func exampleServers() *exampleEnv {
	startEnv.Do(func() { startedEnv = startExampleServers() })
	return startedEnv
}

// stopExampleServers is called by TestMain.
func stopExampleServers() {
	if startedEnv != nil {
		startedEnv.End()
	}
}

func startExampleServers() *exampleEnv {
	s := &exampleEnv{}
	s.ca = broker.NewCA(s, "ca")
	cert := s.ca.Issue("server", "localhost", "127.0.0.1")
	keys := filepath.Join(s.TempDir(), "psk")
	if err := os.WriteFile(keys, []byte("sensor-7:6d6f7371756974746f\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	tlsPort, pskPort := broker.FreePort(s), broker.FreePort(s)
	b := broker.Start(s, broker.Config{Unix: true, Extra: strings.Join([]string{
		fmt.Sprintf("listener %d 127.0.0.1", tlsPort), "certfile " + cert.CertFile, "keyfile " + cert.KeyFile,
		fmt.Sprintf("listener %d 127.0.0.1", pskPort), "psk_hint example", "psk_file " + keys,
	}, "\n")})
	s.unix = "unix:" + b.Unix
	s.network = faultproxy.Start(s, b.Addr())
	s.plain, s.proxied, s.stopped = url(b.Port), url(s.network.Port), url(broker.FreePort(s))
	s.tls, s.psk = fmt.Sprintf("mqtts://localhost:%d", tlsPort), fmt.Sprintf("mqtts://localhost:%d", pskPort)
	return s
}

// The examples call the following functions.

// servers returns the addresses of brokers, such as "mqtt://broker.example:1883".
func servers() []string { return []string{exampleServers().plain} }

// cluster returns the addresses of two servers. The first server is stopped.
func cluster() []string { return []string{exampleServers().stopped, exampleServers().plain} }

func stoppedServers() []string { return []string{exampleServers().stopped} }

// unixServers returns the address of a unix socket, such as "unix:/run/mosquitto.sock".
func unixServers() []string { return []string{exampleServers().unix} }

// The addresses of tlsServers and pskServers begin with mqtts://.
func tlsServers() []string { return []string{exampleServers().tls} }
func pskServers() []string { return []string{exampleServers().psk} }

// unreliableServers returns a server behind a network that loseNetwork interrupts.
func unreliableServers() []string { return []string{exampleServers().proxied} }
func loseNetwork()                { exampleServers().network.RefuseNew(); exampleServers().network.Reset() }
func restoreNetwork()             { exampleServers().network.AcceptNew() }

// secret returns a secret of the program, for example from a vault or the environment.
func secret(name string) []byte {
	text, err := os.ReadFile(map[string]string{"ca": exampleServers().ca.File}[name])
	if err != nil {
		exampleServers().Fatal(err)
	}
	return text
}
