// Package broker runs the real mosquitto broker for tests, on a free loopback port.
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

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
)

// Config holds the broker's settings. With the zero value the broker listens without
// TLS and accepts every client.
type Config struct {
	Users       map[string]string // from username to password; other clients are refused
	TLS         *Cert             // the broker's certificate; the listener uses TLS
	ClientCA    string            // CA file; clients must present a certificate of this CA
	PSK         map[string]string // from identity to key in hex digits; the listener uses TLS-PSK
	Unix        bool              // also listen on a unix socket
	Persistence bool              // keep sessions and retained messages across a restart
	Quiet       bool              // log only errors and warnings, for long runs
	Extra       string            // more lines for mosquitto.conf
}

// Broker is a mosquitto process.
type Broker struct {
	Port int    // on 127.0.0.1
	Unix string // path of the unix socket, or ""

	tb      testing.TB
	dir     string
	cmd     *exec.Cmd
	exited  chan struct{}
	log     string
	program string
}

var running atomic.Int32

// Running returns the number of running broker processes.
func Running() int { return int(running.Load()) }

// Start starts a broker. It is killed when the test ends. If mosquitto is not
// installed, the test fails.
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
		if try == 4 { // retry, because another process may have taken the port
			tb.Fatalf("broker: start mosquitto: %v\n%s", err, b.Log())
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
	firstOfRange, rangeErr = reserveRange() // before TestMain counts the file descriptors
	nextPort               atomic.Uint32
)

// reserveRange reserves a range for this process.
func reserveRange() (first int, err error) {
	start := rand.IntN(ranges)
	for i := range ranges {
		n := (start + i) % ranges
		locked, err := lock(fmt.Sprintf("mosquitto-go-ports-%d", n))
		if err != nil {
			return 0, err
		}
		if locked {
			return firstPort + n*portsInRange, nil
		}
	}
	return 0, fmt.Errorf("all %d ranges are in use by other test programs", ranges)
}

// FreePort returns a TCP port of 127.0.0.1 that is free now. It returns all ports of its
// range before it returns a port again.
func FreePort(tb testing.TB) int {
	tb.Helper()
	if rangeErr != nil {
		tb.Fatalf("broker: reserve a range of ports: %v", rangeErr)
	}
	for range portsInRange {
		port := firstOfRange + int(nextPort.Add(1)%portsInRange)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	tb.Fatalf("broker: no free port from %d to %d", firstOfRange, firstOfRange+portsInRange-1)
	return 0
}

func find(tb testing.TB, program string) string {
	tb.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	tb.Fatalf("broker: program %s not found: install the package mosquitto", program)
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
	line("max_packet_size 268435455") // the default of 2.1 is 2 MB
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
		out, err := subprocess.Command(find(b.tb, "mosquitto_passwd"), "-b", file, name, password).CombinedOutput()
		if err != nil {
			b.tb.Fatalf("broker: run mosquitto_passwd: %v: %s", err, out)
		}
	}
	return file
}

// SetUsers replaces the usernames and passwords. The change takes effect with the
// next Restart.
func (b *Broker) SetUsers(users map[string]string) {
	b.tb.Helper()
	b.passwords(users)
}

// SetPSK replaces the keys of a broker that was started with Config.PSK. The change
// takes effect with the next Restart.
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

// start starts the process and waits until it accepts connections.
func (b *Broker) start() error {
	cmd := subprocess.Command(b.program, "-c", filepath.Join(b.dir, "mosquitto.conf"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	subprocess.EndWithParent(cmd) // also if the test program crashes
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
			return errors.New("the process has ended: " + output.String())
		case <-deadline:
			return err
		case <-time.After(5 * time.Millisecond):
			if err == nil {
				return nil
			}
		}
	}
}

// Addr returns the broker's TCP address.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.Port) }

// Kill ends the process with SIGKILL, if it runs. The broker sends no DISCONNECT and
// saves nothing.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Stop ends the process with SIGTERM, if it runs. The broker shuts down gracefully.
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
		case <-again.C: // mosquitto ignores a SIGTERM that arrives before its loop runs: send it again
		}
	}
}

// Restart stops the broker, if it runs, and starts it again on the same port.
func (b *Broker) Restart() {
	b.tb.Helper()
	b.Stop()
	if err := b.start(); err != nil {
		b.tb.Fatalf("broker: restart mosquitto: %v\n%s", err, b.Log())
	}
}

// Pause suspends the process with SIGSTOP. Its connections stay open, but it reads
// and sends nothing.
func (b *Broker) Pause() { _ = b.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (b *Broker) Resume() { _ = b.cmd.Process.Signal(syscall.SIGCONT) }

// Log returns the broker's log.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(b.log)
	return string(text)
}

// printLogOfFailure prints the last log lines of the broker if the test has failed.
func (b *Broker) printLogOfFailure() {
	const maxLines = 40
	if !b.tb.Failed() {
		return
	}
	lines := slices.Collect(strings.Lines(b.Log()))
	b.tb.Logf("the last log lines of the broker on %s:\n%s", b.Addr(), strings.Join(lines[max(0, len(lines)-maxLines):], ""))
}
