// Package broker starts the real mosquitto broker for tests, on a free
// loopback port, and stops it.
package broker

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/test/spawn"
)

// Config says how the broker listens and whom it lets in. The zero value is a
// plain listener for everybody.
type Config struct {
	Users       map[string]string // passwords; nobody else is let in
	TLS         *Cert             // the broker's certificate: the listener speaks TLS
	ClientCA    string            // file: clients must show a certificate of this CA
	PSK         map[string]string // identity to key in hex digits: the listener speaks TLS with these
	Unix        bool              // a unix socket beside the port
	Persistence bool              // sessions and retained messages survive a restart
	Quiet       bool              // logs errors and warnings alone, for what runs long
	Extra       string            // further lines of mosquitto.conf
}

// Broker is a running mosquitto.
type Broker struct {
	Port int    // on 127.0.0.1
	Unix string // path of the unix socket, "" without one

	tb      testing.TB
	dir     string
	cmd     *exec.Cmd
	exited  chan struct{}
	log     string
	program string
}

var running atomic.Int32

// Running counts the brokers that were started and have not ended.
func Running() int { return int(running.Load()) }

// Start starts a broker and stops it when the test ends. A machine without
// mosquitto fails the test.
func Start(tb testing.TB, config Config) *Broker {
	tb.Helper()
	b := &Broker{tb: tb, dir: tb.TempDir(), program: find(tb, "mosquitto")}
	b.log = filepath.Join(b.dir, "log")
	tb.Cleanup(b.Kill)
	tb.Cleanup(b.printLogOfFailure)
	for try := 0; ; try++ {
		b.Port = FreePort(tb)
		b.configure(config)
		err := b.start()
		if err == nil {
			return b
		}
		if try == 4 { // another process may have taken the port meanwhile
			tb.Fatalf("mosquitto: %v\n%s", err, b.Log())
		}
	}
}

// The ports are below those that the kernel assigns to clients, so a stopped broker finds
// its port free when it starts again. Each test program uses one range of ports: two
// programs that start brokers at the same time must not choose the same port.
const (
	firstPort, ranges, portsInRange = 12_000, 36, 500
)

var (
	firstOfRange, rangeErr = reserveRange() // at the start: TestMain counts descriptors later
	nextPort               atomic.Uint32
)

// reserveRange reserves a range for this process. An abstract unix socket is the lock:
// it has the scope of the ports, and the kernel closes it when the process ends.
func reserveRange() (first int, err error) {
	start := rand.IntN(ranges)
	for i := range ranges {
		n := (start + i) % ranges
		name := fmt.Sprintf("@mosquitto-go-ports-%d", n)
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		if syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}) == nil {
			return firstPort + n*portsInRange, nil
		}
		syscall.Close(fd)
	}
	return 0, fmt.Errorf("%d test programs are running", ranges)
}

// FreePort returns a TCP port of 127.0.0.1 that is free now. It repeats a port only after
// all others of the range.
func FreePort(tb testing.TB) int {
	tb.Helper()
	if rangeErr != nil {
		tb.Fatalf("no range of ports: %v", rangeErr)
	}
	for range portsInRange {
		port := firstOfRange + int(nextPort.Add(1)%portsInRange)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	tb.Fatal("no free port")
	return 0
}

func find(tb testing.TB, program string) string {
	tb.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	tb.Fatalf("the program %s is missing: install the package mosquitto", program)
	return ""
}

func (b *Broker) configure(config Config) {
	b.tb.Helper()
	var conf strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	line("user root")
	line("log_dest file %s\nlog_timestamp_format %%H:%%M:%%S", b.log)
	if config.Quiet {
		line("log_type error\nlog_type warning")
	} else {
		line("log_type all")
	}
	line("per_listener_settings false")
	line("max_packet_size 268435455") // 2.1 has a limit of 2 MB
	line("max_queued_messages 0")
	if config.Persistence {
		line("persistence true\npersistence_location %s/", b.dir)
	}
	if config.Users != nil {
		line("allow_anonymous false\npassword_file %s", b.passwords(config.Users))
	} else if config.PSK == nil {
		line("allow_anonymous true")
	}
	line("%s", config.Extra)
	if config.Unix {
		b.Unix = filepath.Join(b.dir, "socket")
		line("listener 0 %s", b.Unix)
	}
	line("listener %d 127.0.0.1", b.Port)
	if config.TLS != nil {
		line("certfile %s\nkeyfile %s", config.TLS.CertFile, config.TLS.KeyFile)
		if config.ClientCA != "" {
			line("require_certificate true\ncafile %s", config.ClientCA)
		}
	}
	if config.PSK != nil {
		line("allow_anonymous true\npsk_hint test\npsk_file %s", b.psk(config.PSK))
	}
	b.write("mosquitto.conf", conf.String())
}

func (b *Broker) passwords(users map[string]string) string {
	file := b.write("passwords", "")
	for name, password := range users {
		out, err := spawn.Command(find(b.tb, "mosquitto_passwd"), "-b", file, name, password).CombinedOutput()
		if err != nil {
			b.tb.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
	}
	return file
}

// SetUsers replaces the passwords. The broker takes them at its next Restart.
func (b *Broker) SetUsers(users map[string]string) {
	b.tb.Helper()
	b.passwords(users)
}

// SetPSK replaces the keys of a broker that has some. It takes them at its next
// Restart.
func (b *Broker) SetPSK(keys map[string]string) {
	b.tb.Helper()
	b.psk(keys)
}

func (b *Broker) psk(keys map[string]string) string {
	var lines strings.Builder
	for identity, key := range keys {
		fmt.Fprintf(&lines, "%s:%s\n", identity, key)
	}
	return b.write("psk", lines.String())
}

func (b *Broker) write(name, text string) string {
	file := filepath.Join(b.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.tb.Fatal(err)
	}
	return file
}

// start runs the program and waits until it listens.
func (b *Broker) start() error {
	cmd := spawn.Command(b.program, "-c", filepath.Join(b.dir, "mosquitto.conf"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive a crashed test
	if err := cmd.Start(); err != nil {
		return err
	}
	running.Add(1)
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		running.Add(-1)
		close(exited)
	}()
	b.cmd, b.exited = cmd, exited
	deadline := time.After(10 * time.Second)
	for {
		conn, err := net.Dial("tcp4", b.Addr())
		if err == nil {
			conn.Close()
		}
		select {
		case <-exited: // another server may have accepted the connection
			return errors.New("ended: " + output.String())
		case <-deadline:
			return err
		case <-time.After(5 * time.Millisecond):
			if err == nil {
				return nil
			}
		}
	}
}

// Addr is the broker's TCP address.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.Port) }

// Kill ends the broker with SIGKILL, if it runs: no goodbye to anybody.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Stop ends the broker with SIGTERM, if it runs: it closes its connections.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

func (b *Broker) end(signal syscall.Signal) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for b.cmd != nil {
		_ = b.cmd.Process.Signal(signal)
		_ = b.cmd.Process.Signal(syscall.SIGCONT)
		select {
		case <-b.exited:
			b.cmd = nil
		case <-again.C: // it forgets a SIGTERM that came before its loop had begun
		}
	}
}

// Restart starts the broker again after Kill or Stop, on the same port.
func (b *Broker) Restart() {
	b.tb.Helper()
	b.Stop()
	if err := b.start(); err != nil {
		b.tb.Fatalf("mosquitto: %v\n%s", err, b.Log())
	}
}

// Pause stops the broker's process: it keeps its connections and is silent.
func (b *Broker) Pause() { _ = b.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused broker go on.
func (b *Broker) Resume() { _ = b.cmd.Process.Signal(syscall.SIGCONT) }

// Log is what the broker has logged so far.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(b.log)
	return string(text)
}

// printLogOfFailure prints the last lines of the broker's log if the test has failed.
func (b *Broker) printLogOfFailure() {
	const most = 40
	if !b.tb.Failed() {
		return
	}
	lines := slices.Collect(strings.Lines(b.Log()))
	b.tb.Logf("the last log lines of the broker on %s:\n%s", b.Addr(), strings.Join(lines[max(0, len(lines)-most):], ""))
}
