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
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/spawn"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// A property that MQTT 5 does not know: 2.0.11, as Debian builds it, stops the
// process with an assertion of its own.
var unknownProperty = []row{
	{"2.2.2.2", "PUBLISH with an unknown property", "30 < 'a' < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBACK with an unknown property", "40 < 00 63 00 < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBREC with an unknown property", "50 < 00 63 00 < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBREL with an unknown property", "62 < 00 63 00 < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBCOMP with an unknown property", "70 < 00 63 00 < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "SUBACK with an unknown property", "90 < 00 63 < 7F 00 > 00 >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "UNSUBACK with an unknown property", "B0 < 00 63 < 7F 00 > 00 >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "DISCONNECT with an unknown property", "E0 < 8B < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "AUTH with an unknown property", "F0 < 18 < 7F 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
	{"2.2.2.2", "PUBLISH with an unknown property of two bytes", "30 < 'a' < 80 01 00 > >", closed, does{"the process aborts", "closed: malformed", "closed: malformed"}},
}

// Each row has a process of its own.
func TestUnknownProperty(t *testing.T) {
	for _, r := range unknownProperty {
		t.Run(r.clause+" "+r.name, func(t *testing.T) {
			mayAbort(t, r, func() string {
				x := meet(t, peer.V5, setup{})
				defer x.end()
				return x.outcome(r.send)
			})
		})
	}
}

// A message that was queued for a broker that takes longer packets than the one
// that comes: 2.0.11 dies of another assertion.
var queuedTooLong = row{"MQTT-3.2.2-15", "a queued message longer than the broker's maximum", nil,
	"", does{aborts, "", ""}}

func TestQueuedMessageTooLong(t *testing.T) {
	t.Run("5 "+queuedTooLong.clause, func(t *testing.T) {
		mayAbort(t, queuedTooLong, func() string {
			x := dial(t, peer.V5, setup{prepare: func(c *mosquitto.Client) {
				_, _ = c.Publish("a", make([]byte, 100), 1, false)
			}})
			defer x.end()
			x.Expect("10 **")
			x.accept(false, peer.MaximumPacketSize(50))
			x.Send(x.probe())
			x.hears(probeHeard)
			return strings.Join(x.answers(x.v.Puback(probeID)), ", ")
		})
	})
}

// inChild names the test that this process is to play.
const inChild = "MOSQUITTO_WIRE_CHILD"

const aborts = "the process aborts"

// mayAbort asserts a row whose exchange may end the process: a child plays it.
// A child never has children.
func mayAbort(t *testing.T, r row, exchange func() string) {
	t.Helper()
	if child := os.Getenv(inChild); child != "" {
		if child == t.Name() {
			fmt.Printf("outcome: %s\n", exchange())
		}
		return
	}
	t.Parallel()
	require.Equal(t, r.does.here(), outcomeInChild(t))
}

func outcomeInChild(t *testing.T) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait.Patience)
	defer cancel()
	cmd := spawn.CommandContext(ctx, self, "-test.count=1", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), inChild+"="+t.Name(), "GOTRACEBACK=none")
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
