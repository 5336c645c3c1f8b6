//go:build !mosquitto_portable

package mqtttest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// startGuarded starts a command. The kernel sends it the signal when this process ends,
// even if it crashes. The caller must call release after the command has ended.
func startGuarded(command *exec.Cmd, signal syscall.Signal) (release func(), err error) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: signal}
	return func() {}, command.Start()
}

// closeSocketsOnExec marks all sockets of this process. C libraries, for example
// libmosquitto, create a socket without the mark and set it later. A program started in
// between would inherit the connection and keep it open.
func closeSocketsOnExec() {
	const directory = "/proc/self/fd/"
	entries, _ := os.ReadDir(directory)
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if target, _ := os.Readlink(directory + entry.Name()); strings.HasPrefix(target, "socket:") {
			syscall.CloseOnExec(fd)
		}
	}
}
