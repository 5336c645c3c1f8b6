//go:build unix && (!linux || mosquitto_portable)

package mqtttest

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// guardScript reads a line from this process. If this process ends without one, the
// script sends the signal $1 to the process $2.
const guardScript = `trap "" HUP INT TERM
read -r _ || kill -"$1" "$2"`

// startGuarded starts a command, and a shell that sends it the signal when this process
// ends, even if it crashes. The caller must call release after the command has ended.
func startGuarded(command *exec.Cmd, signal syscall.Signal) (release func(), err error) {
	if err := command.Start(); err != nil {
		return nil, err
	}
	release, err = guard(command.Process.Pid, signal)
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	return release, err
}

func guard(pid int, signal syscall.Signal) (release func(), err error) {
	shell := exec.Command("/bin/sh", "-c", guardScript, "guard", strconv.Itoa(int(signal)), strconv.Itoa(pid))
	input, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := shell.Start(); err != nil {
		return nil, err
	}
	return func() {
		_, _ = io.WriteString(input, "\n")
		_ = shell.Wait() // closes input
	}, nil
}

// closeSocketsOnExec marks all sockets of this process. C libraries, for example
// libmosquitto, create a socket without the mark and set it later. A program started in
// between would inherit the connection and keep it open.
func closeSocketsOnExec() {
	const most = 1 << 14 // file descriptors: more would take long
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	for fd := 3; fd < int(min(limit.Cur, most)); fd++ {
		if _, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE); err == nil {
			syscall.CloseOnExec(fd)
		}
	}
}
