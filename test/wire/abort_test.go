package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// unknownProperty has packets with a property that MQTT 5 does not define. Debian's
// build of 2.0.11 aborts the process with a failed assertion.
var unknownProperty = []row{
	{"2.2.2.2", "PUBLISH with an unknown property", "30 < 'a' < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBACK with an unknown property", "40 < 00 63 00 < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBREC with an unknown property", "50 < 00 63 00 < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBREL with an unknown property", "62 < 00 63 00 < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBCOMP with an unknown property", "70 < 00 63 00 < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "SUBACK with an unknown property", "90 < 00 63 < 7F 00 > 00 >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "UNSUBACK with an unknown property", "B0 < 00 63 < 7F 00 > 00 >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "DISCONNECT with an unknown property", "E0 < 8B < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "AUTH with an unknown property", "F0 < 18 < 7F 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBLISH with an unknown two-byte property identifier", "30 < 'a' < 80 01 00 > >", closed, byVersion{"the process aborts", "closed: malformed", "closed: malformed"}},
}

// Each row runs in a child process.
func TestUnknownProperty_ClosesOrAborts(t *testing.T) {
	for _, r := range unknownProperty {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			assertInChild(t, r, func() string {
				x := dialAccepted(t, fakebroker.V5, setup{})
				defer x.end()
				return x.outcome(r.send)
			})
		})
	}
}

// queuedTooLong is a message that was queued before CONNACK, and that is longer than
// the maximum packet size in CONNACK. Another assertion fails in 2.0.11.
var queuedTooLong = row{"MQTT-3.2.2-15", "a queued message longer than the broker's maximum", nil,
	"", byVersion{aborts, "", ""}}

func TestQueuedMessage_TooLongIsNotSent(t *testing.T) {
	t.Run("5 "+queuedTooLong.clause, func(t *testing.T) {
		assertInChild(t, queuedTooLong, func() string {
			x := dial(t, fakebroker.V5, setup{prepare: func(c *mosquitto.Client) {
				_, _ = c.Publish("a", make([]byte, 100), 1, false)
			}})
			defer x.end()
			x.Expect("10 **")
			x.accept(false, fakebroker.MaximumPacketSize(50))
			x.Send(x.probe())
			x.expectEvents(probeReceived)
			return strings.Join(x.answers(x.v.Puback(probeID)), ", ")
		})
	})
}

// childVariable is the environment variable with the name of the test that a child
// process runs.
const childVariable = "MOSQUITTO_WIRE_CHILD"

const aborts = "the process aborts"

// assertInChild asserts the outcome of a row whose exchange may abort the process. It
// runs the exchange in a child process. In that child process, it only prints the
// outcome.
func assertInChild(t *testing.T, r row, exchange func() string) {
	t.Helper()
	if child := os.Getenv(childVariable); child != "" {
		if child == t.Name() {
			fmt.Printf("outcome: %s\n", exchange())
		}
		return
	}
	t.Parallel()
	require.Equal(t, r.actual.current(), outcomeInChild(t))
}

func outcomeInChild(t *testing.T) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait.Patience)
	defer cancel()
	cmd := subprocess.CommandContext(ctx, self, "-test.count=1", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), childVariable+"="+t.Name(), "GOTRACEBACK=none")
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, _ := exit.Sys().(syscall.WaitStatus)
		require.True(t, status.Signaled() && status.Signal() == syscall.SIGABRT || strings.Contains(string(output), "SIGABRT"), "%s", output)
		require.Contains(t, string(output), "log__printf")
		return aborts
	}
	require.NoError(t, err, "%s", output)
	_, rest, found := strings.Cut(string(output), "outcome: ")
	require.True(t, found, "%s", output)
	outcome, _, _ := strings.Cut(rest, "\n")
	return outcome
}
