// Package subprocess starts the programs that tests need: brokers, examples, tools and
// the test program itself. The programs inherit no file descriptor except standard
// input, output and error.
package subprocess

import (
	"context"
	"os/exec"
)

// closeInherited is a shell script that closes all inherited file descriptors above
// 2 and then executes the program. It is needed because the library sets
// close-on-exec only when its connect call returns. A child process that starts
// earlier inherits the socket, and would keep another test's connection open.
const closeInherited = `for fd in /dev/fd/*; do
	fd=${fd##*/}
	if ((fd > 2)); then eval "exec $fd>&-"; fi
done
exec "$0" "$@"`

// EndWithParent makes the kernel kill the child when this process ends, even if it
// crashes. Linux alone can do so.
func EndWithParent(cmd *exec.Cmd) { endWithParent(cmd) }

// Command is like exec.Command. The child keeps only the file descriptors 0 to 2.
func Command(name string, args ...string) *exec.Cmd {
	return CommandContext(context.Background(), name, args...)
}

// CommandContext is like exec.CommandContext. The child keeps only the file
// descriptors 0 to 2.
func CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	if err != nil {
		return exec.CommandContext(ctx, name, args...) // its Start returns the error
	}
	return exec.CommandContext(ctx, "bash", append([]string{"-c", closeInherited, path}, args...)...)
}
