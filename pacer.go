//go:build cgo

package mosquitto

import (
	"sync/atomic"
	"time"
)

// passBudget is how long the callbacks of one pass may hold the loop before it
// writes acknowledgements and looks at the keepalive.
const passBudget = 10 * time.Millisecond

// pacer finds passes that last longer than half of passBudget to passBudget,
// without a look at the clock for each message. A timer that runs while the loop
// is busy compares the numbers of passes. The loop owns began, slow and
// number; the timer owns seen.
type pacer struct {
	idle    func() bool // reports whether the loop waits
	timer   *time.Timer
	armed   atomic.Bool
	current atomic.Uint64 // number of the pass that is on
	long    atomic.Uint64 // number of the last pass that was found to be long

	number uint64
	began  time.Time
	slow   time.Time // when the last slow callback returned, or the pass began
	seen   uint64
}

// start makes a pacer whose timer stops while idle reports true.
func (p *pacer) start(idle func() bool) {
	p.idle = idle
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop()
}

// begin starts a pass.
func (p *pacer) begin(now time.Time) {
	p.began, p.slow = now, now
	p.number++
	p.current.Store(p.number)
	if p.armed.Load() || !p.armed.CompareAndSwap(false, true) {
		return
	}
	p.timer.Reset(passBudget / 2)
}

// tick runs on the timer's goroutine.
func (p *pacer) tick() {
	current := p.current.Load()
	if current == p.seen {
		p.long.Store(current)
	}
	p.seen = current
	p.armed.Store(false)
	if p.idle() || p.long.Load() == current || !p.armed.CompareAndSwap(false, true) {
		return
	}
	p.timer.Reset(passBudget / 2)
}

// spent reports whether this pass is known to be long.
func (p *pacer) spent() bool { return p.long.Load() == p.number }

// spentNow is spent with a look at the clock.
func (p *pacer) spentNow() bool { return time.Since(p.began) > passBudget }

// sinceLastSlow returns how long the callback took that has just returned, within
// passBudget. The caller has found that the time of this pass is used.
func (p *pacer) sinceLastSlow() time.Duration {
	now := time.Now()
	took := now.Sub(p.slow)
	p.slow = now
	return took
}
