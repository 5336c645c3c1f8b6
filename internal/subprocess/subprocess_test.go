package subprocess

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommand_ChildInheritsNoFileDescriptor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	kept, err := syscall.Open(name, syscall.O_RDONLY, 0) // without O_CLOEXEC, like the library's sockets
	require.NoError(t, err)
	defer syscall.Close(kept)

	plain, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	require.NoError(t, err)
	require.Contains(t, string(plain), name, "a child of exec.Command must inherit it, or this test proves nothing")

	out, err := Command("ls", "-l", "/proc/self/fd").Output()
	require.NoError(t, err)
	require.NotContains(t, string(out), name)
}

func TestCommand_PassesArgumentsAndExitCode(t *testing.T) {
	out, err := Command("printf", "%s|", "a b", `"$x"`, "").Output()
	require.NoError(t, err)
	require.Equal(t, `a b|"$x"||`, string(out))
	err = Command("sh", "-c", "exit 7").Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.ExitCode())
	require.ErrorIs(t, Command("no-such-program").Run(), exec.ErrNotFound)
}
