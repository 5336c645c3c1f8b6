package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
)

// mark is an environment variable of every process that this package starts. Their child
// processes inherit it. A process group would not suffice, because Erlang's helper processes
// leave it.
const mark = "MOSQUITTO_TEST_CLUSTER"

var marks atomic.Int64

// process is a running program with its child processes.
type process struct {
	cmd    *exec.Cmd
	mark   string
	exited chan struct{}
}

// launch starts a program that cannot outlive this process.
func launch(cmd *exec.Cmd, output string) (*process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &process{cmd: cmd, mark: fmt.Sprintf("%s=%d.%d.", mark, os.Getpid(), marks.Add(1)), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(cmd.Environ(), p.mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	subprocess.EndWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(signal syscall.Signal) { _ = p.cmd.Process.Signal(signal) }

// end sends a signal and waits for the end of the process. It kills the process if that takes
// too long. It then kills the remaining child processes.
func (p *process) end(signal syscall.Signal) {
	p.signal(signal)
	p.signal(syscall.SIGCONT) // the process may be paused
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
	for pids := marked(p.mark); len(pids) > 0; pids = marked(p.mark) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// Running returns the number of running processes that this process has started for clusters,
// including their child processes.
func Running() int { return len(marked(fmt.Sprintf("%s=%d.", mark, os.Getpid()))) }

// marked returns the ids of the processes whose environment has a variable with this prefix.
func marked(mark string) (pids []int) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environments {
		environment, _ := os.ReadFile(file)
		if bytes.Contains(append([]byte{0}, environment...), []byte("\x00"+mark)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// find returns the path of a program. The test fails if the program is not installed.
func find(tb testing.TB, program, debianPackage string) string {
	tb.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/", "/usr/lib/rabbitmq/bin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	tb.Fatalf("the program %s is missing: install the package %s", program, debianPackage)
	return ""
}
