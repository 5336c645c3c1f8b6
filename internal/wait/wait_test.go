package wait

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/require"
)

// childVariable is set in the child process whose tests fail.
const childVariable = "WAIT_TEST_CHILD"

func TestWait_ReturnsValuesAndConditions(t *testing.T) {
	ch := make(chan int, 1)
	None(t, ch, "number")
	ch <- 1
	require.Equal(t, 1, For(t, ch, "a number"))
	polls := 0
	Until(t, "the third poll", func() bool { polls++; return polls == 3 })
	require.Equal(t, 3, polls)
}

func TestSoon_ContextEndsWithTest(t *testing.T) {
	var ended <-chan struct{}
	t.Run("test", func(t *testing.T) {
		ctx := Soon(t)
		require.NoError(t, ctx.Err())
		deadline, _ := ctx.Deadline()
		require.WithinDuration(t, time.Now().Add(Patience), deadline, Patience/2)
		ended = ctx.Done()
	})
	For(t, ended, "the end of the context")
}

// here adds the line of its caller to a text.
func here(what string) string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s in line %d", what, line)
}

func TestWait_FailureNamesLineAndEvent(t *testing.T) {
	full := make(chan int, 1)
	full <- 1
	for name, c := range map[string]struct {
		fail    func(t *testing.T)
		message string
	}{
		"For":   {func(t *testing.T) { For(t, make(chan int), here("a number")) }, "timeout while waiting for a number"},
		"None":  {func(t *testing.T) { None(t, full, here("number")) }, "unexpected number"},
		"Until": {func(t *testing.T) { Until(t, here("a false condition"), func() bool { return false }) }, "timeout while waiting for a false condition"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(childVariable) == t.Name() {
				Patience = 10 * time.Millisecond
				c.fail(t)
				return
			}
			self, err := os.Executable()
			require.NoError(t, err)
			child := subprocess.CommandContext(Soon(t), self, "-test.count=1", "-test.run=^TestWait_FailureNamesLineAndEvent$/^"+name+"$")
			child.Env = append(os.Environ(), childVariable+"="+t.Name())
			output, err := child.CombinedOutput()
			require.Error(t, err, "%s", output)
			lines := regexp.MustCompile(`wait_test\.go:(\d+): (?s:.*)` + c.message + ` in line (\d+)\n`).FindSubmatch(output)
			require.NotNil(t, lines, "%s", output)
			require.Equal(t, string(lines[2]), string(lines[1]), "%s", output)
		})
	}
}
