package mqtttest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent makes the kernel send a signal to the command when this process ends, even
// if it crashes.
func endWithParent(command *exec.Cmd, signal syscall.Signal) *exec.Cmd {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: signal}
	return command
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
