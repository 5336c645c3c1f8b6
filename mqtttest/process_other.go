//go:build !unix

package mqtttest

import (
	"os/exec"
	"syscall"
)

// startGuarded starts a command. Nothing ends it if this process crashes.
func startGuarded(command *exec.Cmd, _ syscall.Signal) (release func(), err error) {
	return func() {}, command.Start()
}

// closeSocketsOnExec does nothing: here no socket is inherited.
func closeSocketsOnExec() {}
