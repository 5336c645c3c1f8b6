package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// report collects the contents of the summary.
type report struct {
	figures figures

	mu       sync.Mutex
	failures []string       // the first failed checks
	number   int            // number of all failed checks
	faults   map[string]int // from a fault's name to how many times it was injected
}

// figures are the counters of the summary. The ledger's mutex guards them, or only the
// soak's goroutine uses them.
type figures struct {
	published, acked, received [3]int // by QoS

	duplicates  int           // QoS 1 messages received more than once, which is allowed
	killedTwice int           // QoS 2 messages received twice after a SIGKILL of the broker
	killedLost  int           // deliveries that a killed broker has lost
	bugTwice    int           // QoS 2 messages received twice because of the library bug
	bugMissing  int           // QoS 2 deliveries that the library bug has prevented
	restarts    int           // of the broker, by SIGTERM
	kills       int           // of the broker, by SIGKILL
	longestStop time.Duration // the longest time from a cancelled context to the end of Run
	losses      atomic.Int64  // of connections
}

func newReport() *report { return &report{faults: make(map[string]int)} }

const shown = 20 // the maximum number of failures in the summary

// fail records a failed check.
func (r *report) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number++; len(r.failures) < shown {
		r.failures = append(r.failures, fmt.Sprintf(format, args...))
	}
}

func (r *report) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// fault counts an injected fault.
func (r *report) fault(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[name]++
}
