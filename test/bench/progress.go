package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a bar on a terminal, and a line per work elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	total    int
	done     int
	said     string // the work, on something that is no terminal
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

// step says what is done now.
func (p *progress) step(what string) {
	if !p.terminal {
		if work, _, _ := strings.Cut(what, ":"); work != p.said {
			p.said = work
			fmt.Fprintf(p.out, "%4.0f s  %s\n", time.Since(p.started).Seconds(), work)
		}
	} else {
		filled := min(p.done*barWidth/p.total, barWidth)
		fmt.Fprintf(p.out, "\r\033[K[%s%s] %3d %%  %s", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled),
			min(100*p.done/p.total, 100), what)
	}
	p.done++
}

// waitSteps is how many steps a wait is worth.
const waitSteps = 30

// wait lets time pass, and the bar grow.
func (p *progress) wait(d time.Duration) {
	for i := range waitSteps {
		p.step(fmt.Sprintf("Idle: watching, %.0f s more", (d - d*time.Duration(i)/waitSteps).Seconds()))
		time.Sleep(d / waitSteps)
	}
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
