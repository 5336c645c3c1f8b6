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

// pause returns the delay after a number of failed rounds. It doubles with each round,
// up to max. The jitter spreads the reconnects of many clients that lost the same
// broker.
func (b backoff) pause(round int) time.Duration {
	d := b.max
	if shift := max(round-1, 0); shift < 30 && b.min<<shift < b.max && b.min<<shift > 0 {
		d = b.min << shift
	}
	return d - time.Duration(b.jitter*rand.Float64()*float64(d))
}
