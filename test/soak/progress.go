package main

import (
	"fmt"
	"os"
	"time"
)

// progress prints the state of the soak. On a terminal it rewrites one line, elsewhere
// it prints a line for each round. A nil progress prints nothing.
type progress struct {
	out      *os.File
	terminal bool
	length   time.Duration
	updated  time.Time
	round    int
}

func newProgress(out *os.File, length time.Duration) *progress {
	info, err := out.Stat()
	return &progress{out: out, length: length, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, round: -1}
}

// update prints the current state, at most twice a second.
func (p *progress) update(s *soak) {
	switch {
	case p == nil, p.terminal && time.Since(p.updated) < 500*time.Millisecond, !p.terminal && p.round == s.rounds:
		return
	}
	p.updated, p.round = time.Now(), s.rounds
	before, after := "", "\n"
	if p.terminal {
		before, after = "\r\033[K", ""
	}
	s.ledger.mu.Lock()
	f := &s.report.figures
	acked, received := f.acked[1]+f.acked[2], f.received[0]+f.received[1]+f.received[2]
	s.ledger.mu.Unlock()
	fmt.Fprintf(p.out, "%s%v of %v, round %d: %d acked, %d received, %d connections lost, RSS %.0f MB, C heap %.1f MB, failures: %d%s",
		before, time.Since(s.begun).Round(time.Second), p.length, s.rounds+1, acked, received, f.losses.Load(),
		megabytes(status("VmRSS:")<<10), megabytes(cHeap()), s.report.count(), after)
}

// clear erases the line.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
