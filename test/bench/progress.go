package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows a bar on a terminal, and otherwise a line for each work.
type progress struct {
	out      io.Writer
	terminal bool
	total    int
	done     int
	printed  string // the last title that was printed without a terminal
	started  time.Time
}

func newProgress(total int) *progress {
	info, err := os.Stderr.Stat()
	return &progress{
		out: os.Stderr, total: total, started: time.Now(),
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

const barWidth = 30

// step shows the next step of a table.
func (p *progress) step(title, detail string) {
	if !p.terminal {
		if title != p.printed {
			p.printed = title
			fmt.Fprintf(p.out, "%4.0f s  %s\n", time.Since(p.started).Seconds(), title)
		}
	} else {
		filled := min(p.done*barWidth/p.total, barWidth)
		fmt.Fprintf(p.out, "\r\033[K[%s%s] %3d %%  %s: %s", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled),
			min(100*p.done/p.total, 100), title, detail)
	}
	p.done++
}

// waitSteps is the number of steps for a wait.
const waitSteps = 30

// wait sleeps and lets the bar grow.
func (p *progress) wait(d time.Duration) {
	for i := range waitSteps {
		p.step("Idle clients", fmt.Sprintf("watching, %.0f s more", (d-d*time.Duration(i)/waitSteps).Seconds()))
		time.Sleep(d / waitSteps)
	}
}

// clear removes the bar.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
