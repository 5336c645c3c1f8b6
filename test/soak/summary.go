package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// summary is the end of the program's output. The clients have ended.
func (s *soak) summary() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	major, minor, revision := mosquitto.LibVersion()
	say("Soak of %v with libmosquitto %d.%d.%d, seed %d", time.Since(s.begun).Round(time.Second), major, minor, revision, s.config.seed)
	s.sayTrouble(say)
	s.sayMessages(say)
	s.sayGrowth(say)
	s.sayVerdict(say)
	return b.String()
}

type sayer func(format string, args ...any)

func (s *soak) sayTrouble(say sayer) {
	f := &s.report.figures
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.name
	}
	say("\n%d clients over %s; %d rounds, %d connections lost", len(s.clients), strings.Join(names, ", "), s.rounds, f.losses.Load())
	say("broker restarted %d times by SIGTERM, %d by SIGKILL", f.restarts, f.kills)
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.report.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.report.faults[name]))
	}
	say("faults: %s", strings.Join(faults, ", "))
}

func (s *soak) sayMessages(say sayer) {
	f := &s.report.figures
	say("\n       published  acknowledged  received")
	for qos := range 3 {
		acked := fmt.Sprint(f.acked[qos])
		if qos == 0 {
			acked = "-"
		}
		say("QoS %d  %9d  %12s  %8d", qos, f.published[qos], acked, f.received[qos])
	}
	say("QoS 1 received more than once, which is allowed: %d", f.duplicates)
	say("acknowledged by a broker that SIGKILL ended within %v, and forgotten by it: %d deliveries; QoS 2 sent again by it: %d",
		unsaved, f.killedLost, f.killedTwice)
	say("library's bug with repeated QoS 2 messages: %d received twice, %d held back", f.bugTwice, f.bugMissing)
	say("a Run ended at the latest %v after its context", f.goodbye.Round(time.Millisecond))
}

// sayGrowth is the table of what the process held.
func (s *soak) sayGrowth(say sayer) {
	if len(s.samples) < fewest {
		say("\ntoo short to tell whether memory is flat: that takes %d rounds", fewest)
		return
	}
	say("\nat rest      first third  last third")
	for _, q := range quantities {
		first, last := q.thirds(s.samples)
		if q.bytes {
			say("%-11s %9.2f MB %8.2f MB", q.name, megabytes(first), megabytes(last))
		} else {
			say("%-11s %12d %11d", q.name, first, last)
		}
	}
}

func megabytes(n int) float64 { return float64(n) / (1 << 20) }

func (s *soak) sayVerdict(say sayer) {
	if s.interrupted {
		say("\ninterrupted in a round, whose messages are not judged")
	}
	if s.report.number == 0 {
		say("\nEvery promise was kept.")
		return
	}
	say("\nPromises broken: %d", s.report.number)
	for _, line := range s.report.breach {
		say("  %s", line)
	}
}
