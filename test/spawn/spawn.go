// Package spawn starts the programs that tests need: brokers, examples, tools,
// the tests themselves once more.
package spawn

import (
	"context"
	"os/exec"
)

// The library's sockets are close-on-exec only when its connect call returns. A
// child that is born in between would keep the connection of another test's
// client open for as long as it lives, so it lets go of all that it inherits.
const closeInherited = `for fd in /proc/self/fd/*; do
	fd=${fd##*/}
	if ((fd > 2)); then exec {fd}>&-; fi
done
exec "$0" "$@"`

// Command is exec.Command for a child that keeps no descriptor but the first
// three.
func Command(name string, args ...string) *exec.Cmd {
	return CommandContext(context.Background(), name, args...)
}

// CommandContext is exec.CommandContext, as Command.
func CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	if err != nil {
		return exec.CommandContext(ctx, name, args...) // whose Start tells the error
	}
	return exec.CommandContext(ctx, "bash", append([]string{"-c", closeInherited, path}, args...)...)
}
