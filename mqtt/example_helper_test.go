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

	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
)

// stage is what the examples run on: a broker that lives until the tests have
// ended, with a listener for each kind of connection.
type stage struct {
	testing.TB // none: examples have none, and broker and fault want little of it
	cleanups   []func()

	ca       *broker.CA
	plain    string
	tls      string
	psk      string
	faulty   string // plain, over the network
	network  *fault.Proxy
	deserted string // nobody listens there
}

// theStage is set up by the first example that needs it.
var (
	theStage  *stage
	onceStage sync.Once
)

func onStage() *stage {
	onceStage.Do(func() { theStage = setStage() })
	return theStage
}

// endStage is for TestMain.
func endStage() {
	if theStage != nil {
		for _, f := range slices.Backward(theStage.cleanups) {
			f()
		}
	}
}

func setStage() *stage {
	s := &stage{}
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
	s.network = fault.Start(s, b.Addr())
	s.plain, s.faulty, s.deserted = url(b.Port), url(s.network.Port), url(broker.FreePort(s))
	s.tls, s.psk = fmt.Sprintf("mqtts://localhost:%d", tlsPort), fmt.Sprintf("mqtts://localhost:%d", pskPort)
	return s
}

func (s *stage) Failed() bool                      { return false }
func (s *stage) Helper()                           {}
func (s *stage) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *stage) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (s *stage) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// What the examples know of it.

// servers are the addresses of brokers, such as "mqtt://broker.example:1883".
func servers() []string { return []string{onStage().plain} }

// cluster is the same with a first server that does not answer.
func cluster() []string { return []string{onStage().deserted, onStage().plain} }

// deserted are servers that do not run.
func deserted() []string { return []string{onStage().deserted} }

// tlsServers and pskServers begin with mqtts://.
func tlsServers() []string { return []string{onStage().tls} }
func pskServers() []string { return []string{onStage().psk} }

// shaky is a server behind a network that fails when told so.
func shaky() []string { return []string{onStage().faulty} }
func loseNetwork()    { onStage().network.RefuseNew(); onStage().network.Reset() }
func regainNetwork()  { onStage().network.AcceptNew() }

// secret is what the program has from its vault, or from its environment.
func secret(name string) []byte {
	text, err := os.ReadFile(map[string]string{"ca": onStage().ca.File}[name])
	if err != nil {
		onStage().Fatal(err)
	}
	return text
}
