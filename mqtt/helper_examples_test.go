//go:build cgo

package mqtt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
)

// exampleEnv is the environment of the examples: a broker with a listener for each kind of
// connection. It runs until all tests have ended.
type exampleEnv struct {
	testing.TB // nil, because examples have none. Its methods below are all that broker and fault call.
	cleanups   []func()

	ca      *broker.CA
	plain   string
	tls     string
	psk     string
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
		for _, f := range slices.Backward(startedEnv.cleanups) {
			f()
		}
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
	b := broker.Start(s, broker.Config{Extra: strings.Join([]string{
		fmt.Sprintf("listener %d 127.0.0.1", tlsPort), "certfile " + cert.CertFile, "keyfile " + cert.KeyFile,
		fmt.Sprintf("listener %d 127.0.0.1", pskPort), "psk_hint example", "psk_file " + keys,
	}, "\n")})
	s.network = faultproxy.Start(s, b.Addr())
	s.plain, s.proxied, s.stopped = url(b.Port), url(s.network.Port), url(broker.FreePort(s))
	s.tls, s.psk = fmt.Sprintf("mqtts://localhost:%d", tlsPort), fmt.Sprintf("mqtts://localhost:%d", pskPort)
	return s
}

func (s *exampleEnv) Failed() bool                      { return false }
func (s *exampleEnv) Helper()                           {}
func (s *exampleEnv) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *exampleEnv) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (s *exampleEnv) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *exampleEnv) TempDir() string {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The examples call the following functions.

// servers returns the addresses of brokers, such as "mqtt://broker.example:1883".
func servers() []string { return []string{exampleServers().plain} }

// cluster returns the addresses of two servers. The first server is stopped.
func cluster() []string { return []string{exampleServers().stopped, exampleServers().plain} }

func stoppedServers() []string { return []string{exampleServers().stopped} }

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
