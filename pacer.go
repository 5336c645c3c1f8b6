//go:build cgo

package mosquitto

import (
	"sync/atomic"
	"time"
)

// passBudget is how long the callbacks of one pass may hold the loop before it
// writes acknowledgements and looks at the keepalive.
const passBudget = 10 * time.Millisecond

// passTicks is how many ticks of passClock make a pass long.
const passTicks = 2

// ticker counts halves of passBudget while passes run, of any client. With it a pass
// finds that it is long, without a look at the system's clock for each message. All
// clients share one ticker: a timer for each client would cost memory, and a goroutine
// for each client when many become busy at the same time.
type ticker struct {
	ticks  atomic.Uint64
	wanted atomic.Bool // a pass has begun since the last tick
	armed  atomic.Bool // the timer runs; whoever has set it owns idle
	idle   int         // ticks since the last tick that was wanted
	timer  *time.Timer
}

var passClock = newTicker()

func newTicker() *ticker {
	t := &ticker{}
	t.timer = time.AfterFunc(time.Hour, t.tick)
	t.timer.Stop()
	return t
}

// begin notes that a pass begins, and returns the number of the last tick.
func (t *ticker) begin() uint64 {
	now := t.ticks.Load()
	if !t.wanted.Load() {
		t.wanted.Store(true)
	}
	t.start()
	return now
}

// start starts the timer unless it runs.
func (t *ticker) start() {
	if t.armed.Load() || !t.armed.CompareAndSwap(false, true) {
		return
	}
	t.idle = 0
	t.timer.Reset(passBudget / 2)
}

// tick runs on the timer's goroutine. The timer stops when every pass that has begun has
// seen enough ticks.
func (t *ticker) tick() {
	t.ticks.Add(1)
	t.idle++
	if t.wanted.Swap(false) {
		t.idle = 0
	}
	if t.idle < passTicks {
		t.timer.Reset(passBudget / 2)
		return
	}
	t.armed.Store(false)
	if t.wanted.Load() { // a pass has begun meanwhile, and found the timer armed
		t.start()
	}
}

// pacer finds passes that last longer than half of passBudget to passBudget. The loop
// owns it.
type pacer struct {
	first uint64    // the last tick before the pass
	began time.Time // the pass
	slow  time.Time // when the last slow callback returned, or the pass began
}

// begin starts a pass.
func (p *pacer) begin(now time.Time) {
	p.began, p.slow = now, now
	p.first = passClock.begin()
}

// spent reports whether this pass is known to be long.
func (p *pacer) spent() bool { return passClock.ticks.Load()-p.first >= passTicks }

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
