//go:build cgo

package mosquitto

import (
	"sync/atomic"
	"time"
)

// passBudget is how long the callbacks of one pass may hold the loop before it
// writes acknowledgements and checks the keepalive.
const passBudget = 10 * time.Millisecond

// passTicks is how many ticks of passClock make a pass long.
const passTicks = 2

// ticker advances every half passBudget while any client runs a pass. A pass reads ticks
// to detect that it is long, instead of the system's clock for each message. All
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

// pacer detects long passes. The exact limit is between half of passBudget and passBudget.
// The loop owns the pacer.
type pacer struct {
	first uint64        // the last tick before the pass
	began time.Duration // the begin of the pass, since clockStart
	slow  time.Duration // when the last slow callback returned, or the pass began
}

// clockStart is the zero of times that clients store as a time.Duration. A time.Time is three
// times as large, and each idle client has several times.
var clockStart = time.Now()

// begin starts a pass.
func (p *pacer) begin(now time.Time) {
	p.began = now.Sub(clockStart)
	p.slow = p.began
	p.first = passClock.begin()
}

// spent reports whether this pass is known to be long.
func (p *pacer) spent() bool { return passClock.ticks.Load()-p.first >= passTicks }

// spentNow reports whether this pass is long. It reads the clock.
func (p *pacer) spentNow() bool { return time.Since(clockStart)-p.began > passBudget }

// sinceLastSlow returns how long the last callback took, with an error of at most
// passBudget. It may be called only when the time of this pass is used up.
func (p *pacer) sinceLastSlow() time.Duration {
	now := time.Since(clockStart)
	took := now - p.slow
	p.slow = now
	return took
}
