package mosquitto_test

import (
	"fmt"
	"strings"
	"sync"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/exampletb"
)

// exampleEnv is the environment of the examples: a broker that runs until all tests have
// ended.
type exampleEnv struct {
	exampletb.TB

	broker *broker.Broker
	ca     *broker.CA
	tls    int // port
}

// The first example that calls exampleServers starts them.
var (
	startedEnv *exampleEnv
	startEnv   sync.Once
)

func exampleServers() *exampleEnv {
	startEnv.Do(func() {
		s := &exampleEnv{}
		s.ca = broker.NewCA(s, "ca")
		cert := s.ca.Issue("server", "localhost", "127.0.0.1")
		s.tls = broker.FreePort(s)
		s.broker = broker.Start(s, broker.Config{Unix: true, Extra: strings.Join([]string{
			fmt.Sprintf("listener %d 127.0.0.1", s.tls), "certfile " + cert.CertFile, "keyfile " + cert.KeyFile,
		}, "\n")})
		startedEnv = s
	})
	return startedEnv
}

// stopExampleServers is called by TestMain.
func stopExampleServers() {
	if startedEnv != nil {
		startedEnv.End()
	}
}

// The examples call the following functions.

// brokerPort returns the port of the broker, such as 1883.
func brokerPort() int { return exampleServers().broker.Port }

// tlsPort returns the port of the broker for TLS, such as 8883.
func tlsPort() int { return exampleServers().tls }

// caFile returns the PEM file of the authority that has signed the broker's certificate.
func caFile() string { return exampleServers().ca.File }

// socketPath returns the path of a unix socket on which the broker listens.
func socketPath() string { return exampleServers().broker.Unix }
