package mqtttest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Broker is a Mosquitto broker that [StartBroker] has started.
type Broker struct {
	t        testing.TB
	settings settings
	program  program
	dir      string // of all files

	authority         *authority // nil without TLS
	certFile, keyFile string

	mu      sync.Mutex // held during Start, Stop and Kill
	port    int        // constant after StartBroker
	running *process   // nil while the broker is stopped
}

// StartBroker starts a broker and returns when it accepts connections. The broker listens
// only on 127.0.0.1, on a free port. By default it accepts every client without
// credentials, writes no messages to disk, and has mosquitto's default limits.
//
// The broker ends with the test, and its files are removed. If the test has failed, its
// log shows the last lines of [Broker.Log]. On Linux the broker also ends if the test's
// process crashes.
//
// StartBroker ends the test with Fatal if an option is wrong, if neither mosquitto nor
// docker is installed, or if the broker does not start within 10 seconds (5 minutes with
// docker).
func StartBroker(t testing.TB, options ...Option) *Broker {
	t.Helper()
	s, err := read(options)
	if err != nil {
		t.Fatalf("mqtttest: %v", err)
	}
	p, err := findProgram(s.image)
	if err != nil {
		t.Fatalf("mqtttest: %v", err)
	}
	b := &Broker{t: t, settings: s, program: p, dir: t.TempDir()}
	if err := b.writeFiles(); err != nil {
		t.Fatalf("mqtttest: write the broker's files: %v", err)
	}
	t.Cleanup(b.Kill)
	if err := b.startOnFreePort(); err != nil {
		t.Fatalf("mqtttest: start %s: %v", p.path, err)
	}
	t.Cleanup(b.printLogOfFailure)
	return b
}

// startOnFreePort retries, because another process can take the port before the broker.
func (b *Broker) startOnFreePort() (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range 5 {
		if b.port, err = freePort(); err != nil {
			return err
		}
		if err = b.write("mosquitto.conf", b.config()); err != nil {
			return err
		}
		if err = b.start(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

var errPortTaken = errors.New("the port is already in use")

// start starts the broker, unless it runs. The caller must hold mu.
func (b *Broker) start() error {
	if b.running != nil && !b.running.hasExited() {
		return nil
	}
	earlier := len(b.Log())
	log := func() string { return b.logSince(earlier) }
	p, err := startProcess(b.program.command(b.dir, b.port), b.file("log"), b.program.lastSignal())
	if err != nil {
		return err
	}
	b.running = p
	deadline := time.Now().Add(b.program.startTimeout())
	for !isListening(log()) {
		if p.hasExited() {
			return startError(log())
		}
		if time.Now().After(deadline) {
			b.end(syscall.SIGKILL)
			return fmt.Errorf("no connection accepted within %v:\n%s", b.program.startTimeout(), tail(log()))
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// isListening reports whether the log has the line "mosquitto version 2.0.11 running".
// The broker logs it when its ports are open.
func isListening(log string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "mosquitto version ") && strings.HasSuffix(line, " running\n") {
			return true
		}
	}
	return false
}

func startError(log string) error {
	switch lower := strings.ToLower(log); {
	case strings.Contains(lower, "already in use"), strings.Contains(lower, "already allocated"):
		return fmt.Errorf("%w:\n%s", errPortTaken, tail(log))
	case strings.Contains(log, `Unknown configuration variable "`+protocolsOption+`"`):
		return fmt.Errorf("WithProtocols needs mosquitto 2.1 or later:\n%s", tail(log))
	default:
		return fmt.Errorf("the broker ended at once:\n%s", tail(log))
	}
}

// URL returns the broker's address for [mqtt.Dial], for example mqtt://127.0.0.1:12345, or
// mqtts:// with [WithTLS].
//
// [mqtt.Dial]: https://pkg.go.dev/github.com/mosquitto-go/mosquitto/mqtt#Dial
func (b *Broker) URL() string {
	if b.settings.tls {
		return "mqtts://" + b.Addr()
	}
	return "mqtt://" + b.Addr()
}

// Addr returns the broker's TCP address, for example 127.0.0.1:12345. It stays the same
// when the broker restarts.
func (b *Broker) Addr() string { return loopback(b.port) }

// CAFile returns the PEM file of the authority that signed the broker's certificate. It
// needs [WithTLS]. The file exists until the test ends.
func (b *Broker) CAFile() string {
	b.t.Helper()
	b.needTLS("CAFile")
	return b.authority.file()
}

// Certificate issues a client certificate and returns the PEM files of the certificate and
// its key. The common name of its subject is name. It is valid for 24 hours. It needs
// [WithTLS] or [WithClientCertificates]. The files exist until the test ends.
func (b *Broker) Certificate(name string) (certFile, keyFile string) {
	b.t.Helper()
	b.needTLS("Certificate")
	certFile, keyFile, err := b.authority.issueClient(name)
	if err != nil {
		b.t.Fatalf("mqtttest: issue a certificate for %q: %v", name, err)
	}
	return certFile, keyFile
}

func (b *Broker) needTLS(method string) {
	b.t.Helper()
	if b.authority == nil {
		b.t.Fatalf("mqtttest: %s needs the option WithTLS or WithClientCertificates", method)
	}
}

// Stop shuts the broker down with SIGTERM, as on a planned restart, and waits for its end.
// The broker closes all connections. Mosquitto sends no DISCONNECT then. Clients cannot
// connect until [Broker.Start]. Stop does nothing if the broker is stopped.
func (b *Broker) Stop() { b.endLocking(syscall.SIGTERM) }

// Kill ends the broker with SIGKILL, as a crash does, and waits for its end. Clients see
// the end of the connection; with TLS, the closing message of TLS (close_notify) is missing.
// The broker does not write to disk: see [WithPersistence]. Clients cannot connect until
// [Broker.Start]. Kill does nothing if the broker is stopped.
func (b *Broker) Kill() { b.endLocking(syscall.SIGKILL) }

// Start starts the broker again after [Broker.Stop] or [Broker.Kill], with the same
// address, certificates and settings. It returns when the broker accepts connections.
// Start does nothing if the broker runs.
func (b *Broker) Start() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.start(); err != nil {
		b.t.Fatalf("mqtttest: start %s again: %v", b.program.path, err)
	}
}

// Log returns the broker's log since StartBroker, with all of mosquitto's log types. It
// has a line for each packet. It includes earlier runs of a restarted broker.
func (b *Broker) Log() string { return b.logSince(0) }

// logSince returns the log after its first bytes.
func (b *Broker) logSince(bytes int) string {
	file, err := os.Open(b.file("log"))
	if err != nil { // missing until the first start
		return ""
	}
	defer file.Close()
	text, _ := io.ReadAll(io.NewSectionReader(file, int64(bytes), math.MaxInt64-int64(bytes)))
	return string(text)
}

func (b *Broker) endLocking(signal syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(signal)
}

// end sends the signal until the broker has ended: mosquitto ignores SIGTERM before its
// loop runs. After 10 attempts it kills the process. The caller must hold mu.
func (b *Broker) end(signal syscall.Signal) {
	if b.running == nil {
		return
	}
	for range 10 {
		b.program.signal(b.running, signal)
		select {
		case <-b.running.exited:
			b.running = nil
			return
		case <-time.After(time.Second):
		}
	}
	b.running.signal(syscall.SIGKILL)
	<-b.running.exited
	b.running = nil
}

func (b *Broker) printLogOfFailure() {
	if b.t.Failed() {
		b.t.Logf("mqtttest: the last log lines of the broker on %s:\n%s", b.Addr(), tail(b.Log()))
	}
}

// tail returns the last lines of a log.
func tail(log string) string {
	const most = 40
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
