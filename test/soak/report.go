package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// report is what is to be told at the end.
type report struct {
	figures figures

	mu     sync.Mutex
	breach []string // broken promises, the first of them
	number int      // of all
	faults map[string]int
}

// figures are guarded by the ledger's mutex, or belong to the soak's goroutine.
type figures struct {
	published, acked, received [3]int // by QoS

	duplicates  int // QoS 1, which are allowed
	killedTwice int // QoS 2, after a SIGKILL of the broker
	killedLost  int // deliveries that a killed broker forgot
	bugTwice    int // QoS 2, by the library's bug
	bugMissing  int
	restarts    int // by SIGTERM
	kills       int // by SIGKILL
	goodbye     time.Duration
	losses      atomic.Int64 // of connections
}

func newReport() *report { return &report{faults: make(map[string]int)} }

const shown = 20

// broken enters a broken promise.
func (r *report) broken(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number++; len(r.breach) < shown {
		r.breach = append(r.breach, fmt.Sprintf(format, args...))
	}
}

func (r *report) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// fault counts a fault.
func (r *report) fault(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[name]++
}
