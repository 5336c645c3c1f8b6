package main

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// openFiles is the limit of open files for every process that is started.
const openFiles = 20_000

// raiseLimit raises the limit of open files for this process and its children.
func raiseLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = min(limit.Max, openFiles)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

//go:embed c/*.c c/*.h
var cSources embed.FS

// compile builds the worker in C.
func compile(dir string) (program string, err error) {
	files, err := fs.Glob(cSources, "c/*")
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "worker")
	args := []string{"-O2", "-o", program}
	for _, name := range files {
		content, err := cSources.ReadFile(name)
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return "", err
		}
		if filepath.Ext(file) == ".c" {
			args = append(args, file)
		}
	}
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libmosquitto").Output()
	if err != nil {
		return "", fmt.Errorf("pkg-config libmosquitto: %w", err)
	}
	args = append(append(args, strings.Fields(string(flags))...), "-pthread")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", cc, err, out)
	}
	return program, nil
}

// ports are the ports of a server, without and with TLS.
type ports struct {
	plain, tls int
}

func (p ports) of(w work) int {
	if w.tls {
		return p.tls
	}
	return p.plain
}

func startPeer(self string, files certificates) (p ports, stop func(), err error) {
	cmd := exec.Command(self, peerArgument, files.server, files.key)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return p, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return p, nil, err
	}
	stop = func() {
		in.Close()
		_ = cmd.Wait()
	}
	if _, err = fmt.Fscan(bufio.NewReader(out), &p.plain, &p.tls); err != nil {
		stop()
	}
	return p, stop, err
}

// brokerProgram finds mosquitto, also in folders that are not in PATH.
func brokerProgram() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the broker is missing: install the package mosquitto")
}

// broker is mosquitto. It drops no messages and writes no log.
type broker struct {
	program string
	config  string // file
	ports   ports
	cmd     *exec.Cmd
}

func startBroker(dir string, files certificates) (b *broker, err error) {
	b = &broker{config: filepath.Join(dir, "mosquitto.conf")}
	if b.program, err = brokerProgram(); err != nil {
		return nil, err
	}
	if b.ports.plain, err = freePort(20_000); err != nil {
		return nil, err
	}
	if b.ports.tls, err = freePort(b.ports.plain + 1); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`persistence false
log_dest none
allow_anonymous true
max_inflight_messages %d
max_queued_messages 0
listener %d 127.0.0.1
listener %d 127.0.0.1
cafile %s
certfile %s
keyfile %s
`, window, b.ports.plain, b.ports.tls, files.ca, files.server, files.key)
	if os.Getuid() == 0 { // otherwise it could not read the key
		config = "user root\n" + config
	}
	if err := os.WriteFile(b.config, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return b, b.start()
}

// freePort returns the first free local port from a number. It is below the range from
// which Linux chooses ports of clients: a client that connects to a port of that range
// while the broker is stopped can be connected to itself.
func freePort(from int) (port int, err error) {
	for port = from; port < 32_768; port++ {
		var l net.Listener
		if l, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// start starts the broker and returns when it accepts connections.
func (b *broker) start() error {
	b.cmd = exec.Command(b.program, "-c", b.config)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := listens(b.ports.tls) // the last listener
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			b.kill()
			return fmt.Errorf("mosquitto does not listen: %w", err)
		}
	}
}

func listens(port int) error {
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		err = conn.Close()
	}
	return err
}

// kill ends the broker without a DISCONNECT to its clients.
func (b *broker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}
