package mqtttest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a started program.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when the program has ended
}

// startProcess starts a program with its output appended to a file. When this process
// ends, the program receives the signal. On Linux the kernel sends it when the thread that
// started the program ends. So one goroutine holds this thread until the program has ended.
func startProcess(command *exec.Cmd, output string, signal syscall.Signal) (*process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	p := &process{command: command, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		closeSocketsOnExec()
		release, err := startGuarded(command, signal)
		started <- err
		if err == nil {
			_ = command.Wait() // the exit code is of no use: the output says more
			release()
			close(p.exited)
		}
	}()
	return p, <-started
}

func (p *process) signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}
