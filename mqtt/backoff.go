//go:build cgo

package mqtt

import (
	"math/rand/v2"
	"time"
)

// backoff is the rule for the pauses between rounds of attempts.
type backoff struct {
	min, max time.Duration
	jitter   float64 // 0 to 1: the share of the pause that is random
}

// pause doubles with each round that failed, up to max, and is spread by the
// jitter so that clients that lost the same broker do not come back at once.
func (b backoff) pause(round int) time.Duration {
	d := b.max
	if shift := max(round-1, 0); shift < 30 && b.min<<shift < b.max && b.min<<shift > 0 {
		d = b.min << shift
	}
	return d - time.Duration(b.jitter*rand.Float64()*float64(d))
}
