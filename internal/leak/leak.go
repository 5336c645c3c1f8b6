// Package leak checks that a test run leaves nothing behind: no client, broker,
// goroutine, file descriptor or library thread.
package leak

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
)

// Main runs the tests of a package; TestMain calls it. After the tests it calls the
// end functions, which release what the tests have shared. If anything is left
// over, it prints a list and the run fails.
func Main(m *testing.M, end ...func()) {
	// The fuzzer calls signal.Notify, which starts a goroutine that never ends. Start
	// it now, so that it is counted before the tests.
	signal.Stop(notified())
	before := Take()
	code := m.Run()
	for _, f := range end {
		f()
	}
	if left := before.Left(5 * time.Second); left != "" {
		fmt.Fprintln(os.Stderr, "left over after the tests:\n"+left)
		code = 1
	}
	os.Exit(code)
}

func notified() chan os.Signal {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	return ch
}

// State lists the resources that the process holds at one moment.
type State struct {
	descriptors map[string]string
	goroutines  int
	clients     int
	threads     int
}

// Take returns the current state.
func Take() State {
	return State{descriptors(), runtime.NumGoroutine(), mosquitto.OpenClients(), LibraryThreads()}
}

// Left lists what the process holds beyond the state. It polls for at most the
// duration patience, and returns "" as soon as the list is empty.
func (before State) Left(patience time.Duration) (left string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left = before.compare()
		if left == "" || time.Now().After(deadline) {
			return left
		}
	}
}

func (before State) compare() string {
	var left strings.Builder
	if n := mosquitto.OpenClients() - before.clients; n > 0 {
		fmt.Fprintf(&left, "%d clients\n", n)
	}
	if n := broker.Running(); n > 0 {
		fmt.Fprintf(&left, "%d brokers\n", n)
	}
	if n := LibraryThreads() - before.threads; n > 0 {
		fmt.Fprintf(&left, "%d threads of the library\n", n)
	}
	for fd, what := range descriptors() {
		if before.descriptors[fd] != what {
			fmt.Fprintf(&left, "descriptor %s: %s\n", fd, what)
		}
	}
	if n := runtime.NumGoroutine(); n > before.goroutines {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		fmt.Fprintf(&left, "%d goroutines instead of %d:\n%s\n", n, before.goroutines, stacks)
	}
	return left.String()
}

func descriptors() map[string]string {
	open := make(map[string]string)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		what, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil || strings.HasPrefix(what, "/proc/") || what == "anon_inode:[eventpoll]" || what == "anon_inode:[eventfd]" || what == "anon_inode:[pidfd]" {
			continue // this directory, or a file descriptor of the Go runtime
		}
		open[entry.Name()] = what
	}
	return open
}

// LibraryThreads returns the number of running threads that LoopStart has created.
// They have the library's thread name and block SIGPIPE. A Go thread that was
// created by a library thread inherits the name, but it does not block SIGPIPE.
func LibraryThreads() (n int) {
	const sigpipe = 1 << (13 - 1)
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		status, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		name, blocked := field(string(status), "Name:"), field(string(status), "SigBlk:")
		mask, _ := strconv.ParseUint(blocked, 16, 64)
		if name == "mosquitto loop" && mask&sigpipe != 0 {
			n++
		}
	}
	return n
}

// field returns the value of a line of /proc/.../status.
func field(status, name string) string {
	_, rest, _ := strings.Cut(status, name)
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}
