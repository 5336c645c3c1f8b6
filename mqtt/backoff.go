//go:build cgo

package mqtt

import (
	"math/rand/v2"
	"time"
)

// backoff computes the delays between rounds of attempts to connect.
type backoff struct {
	min, max time.Duration
	jitter   float64 // 0 to 1: the random share of the delay
}

// Long delays end on multiples of alignment. So the clients of a process that wait for the
// same broker wake in groups: to wake one client at a time from an idle process costs more
// CPU time than its attempt.
const (
	alignment  = 20 * time.Millisecond
	alignsFrom = 10 * alignment // the shortest delay that is aligned
)

// clockStart is the origin of these multiples. Multiples on the wall clock would also group
// the clients of different machines, which would then reach the broker together.
var clockStart = time.Now()

// aligned shortens a delay that begins now so that it ends on a multiple of alignment.
func aligned(delay time.Duration) time.Duration {
	if delay < alignsFrom {
		return delay
	}
	return delay - (time.Since(clockStart)+delay)%alignment
}

// delay returns the delay after a number of failed rounds. It doubles with each round,
// up to max. The jitter spreads the reconnects of many clients that lost the same
// broker.
func (b backoff) delay(round int) time.Duration {
	d := b.min
	for i := 1; i < round && d < b.max; i++ {
		d += min(d, b.max-d) // doubles, without overflow
	}
	return d - time.Duration(b.jitter*rand.Float64()*float64(d))
}
