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

// descriptors is the limit of open files for every process that is started.
const descriptors = 20_000

// raiseLimit raises the limit of open files for this process and its children.
func raiseLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = min(limit.Max, descriptors)
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

func startPeer(self string) (port int, stop func(), err error) {
	cmd := exec.Command(self, peerArgument)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0, nil, err
	}
	stop = func() {
		in.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		port, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		stop()
	}
	return port, stop, err
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

// startBroker starts mosquitto on a free local port. It drops no messages and writes no
// log.
func startBroker(dir string) (port int, stop func(), err error) {
	program, err := brokerProgram()
	if err != nil {
		return 0, nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nlog_dest none\npersistence false\n"+
		"max_inflight_messages %d\nmax_queued_messages 0\n", port, window)
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return 0, nil, err
	}
	cmd := exec.Command(program, "-c", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // an early SIGTERM might be ignored
		_ = cmd.Wait()
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp4", addr)
		if err == nil {
			conn.Close()
			return port, stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return 0, nil, fmt.Errorf("mosquitto does not listen: %w", err)
		}
	}
}
