package test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// childVariable is set in the child process that inChild starts.
const childVariable = "MOSQUITTO_TEST_CHILD"

// inChild runs this test again in a child process without a terminal, with these
// additional environment variables and this standard input. It returns true in the
// child, which runs the rest of the test. It returns false in the parent after the
// child has passed.
func inChild(t *testing.T, stdin string, environment ...string) bool {
	t.Helper()
	if os.Getenv(childVariable) == t.Name() {
		return true
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := subprocess.Command(self, "-test.count=1", "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(append(os.Environ(), childVariable+"="+t.Name()), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = wait.Patience
	input, err := cmd.StdinPipe() // stays open, because an end of file would answer a prompt
	require.NoError(t, err)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	_, err = io.WriteString(input, stdin)
	require.NoError(t, err)
	timer := time.AfterFunc(6*wait.Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	require.NoError(t, cmd.Wait(), "%s", &output)
	require.Contains(t, output.String(), "--- PASS: "+t.Name())
	return false
}
