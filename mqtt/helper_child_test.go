//go:build cgo

package mqtt_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// childVariable is set in a child process to the name of the test to run.
const childVariable = "MQTT_TEST_CHILD"

// isChild reports whether runInChild of this test started this process.
func isChild(t testing.TB) bool { return os.Getenv(childVariable) == t.Name() }

// runInChild runs this test again in a child process. It returns the output of the process
// and the error of its exit.
func runInChild(t testing.TB, environment ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 6*wait.Patience)
	defer cancel()
	cmd := subprocess.CommandContext(ctx, self, "-test.count=1", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), childVariable+"="+t.Name()), environment...)
	subprocess.EndWithParent(cmd)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	return string(text), err
}
