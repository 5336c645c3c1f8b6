//go:build !linux

package mqtttest

import (
	"os/exec"
	"syscall"
)

// endWithParent does nothing: only Linux sends a signal when this process ends.
func endWithParent(command *exec.Cmd, _ syscall.Signal) *exec.Cmd { return command }

// closeSocketsOnExec does nothing: it needs /proc.
func closeSocketsOnExec() {}
