package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// summary returns the text that the program prints at its end. All clients must be
// closed.
func (s *soak) summary() string {
	var b strings.Builder
	printf := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	major, minor, revision := mosquitto.LibVersion()
	printf("Soak of %v with libmosquitto %d.%d.%d, seed %d", time.Since(s.begun).Round(time.Second), major, minor, revision, s.config.seed)
	s.printFaults(printf)
	s.printMessages(printf)
	s.printGrowth(printf)
	s.printResult(printf)
	return b.String()
}

type printer func(format string, args ...any)

func (s *soak) printFaults(printf printer) {
	f := &s.report.figures
	names := make([]string, len(variants))
	for i, v := range variants {
		names[i] = v.name
	}
	printf("\n%d clients over %s; %d rounds, %d connections lost", len(s.clients), strings.Join(names, ", "), s.rounds, f.losses.Load())
	printf("broker restarted %d times by SIGTERM, %d by SIGKILL", f.restarts, f.kills)
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.report.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.report.faults[name]))
	}
	printf("faults: %s", strings.Join(faults, ", "))
}

func (s *soak) printMessages(printf printer) {
	f := &s.report.figures
	printf("\n       published  acknowledged  received")
	for qos := range 3 {
		acked := fmt.Sprint(f.acked[qos])
		if qos == 0 {
			acked = "-"
		}
		printf("QoS %d  %9d  %12s  %8d", qos, f.published[qos], acked, f.received[qos])
	}
	printf("QoS 1 received more than once, which is allowed: %d", f.duplicates)
	printf("lost because the broker was killed within %v of acknowledging: %d deliveries; QoS 2 received twice for that reason: %d",
		unsaved, f.killedLost, f.killedTwice)
	printf("library bug with repeated QoS 2 messages: %d received twice, %d not delivered", f.bugTwice, f.bugMissing)
	printf("longest time from a cancelled context to the end of Run: %v", f.longestStop.Round(time.Millisecond))
}

// printGrowth prints a table of the resources that the process used.
func (s *soak) printGrowth(printf printer) {
	if len(s.samples) < minSamples {
		printf("\ngrowth of memory was not checked: that needs %d rounds", minSamples)
		return
	}
	printf("\nwhile idle   first third  last third")
	for _, q := range quantities {
		first, last := q.thirds(s.samples)
		if q.bytes {
			printf("%-11s %9.2f MB %8.2f MB", q.name, megabytes(first), megabytes(last))
		} else {
			printf("%-11s %12d %11d", q.name, first, last)
		}
	}
}

func megabytes(n int) float64 { return float64(n) / (1 << 20) }

func (s *soak) printResult(printf printer) {
	if s.interrupted {
		printf("\ninterrupted: the messages of the last round were not checked")
	}
	if s.report.number == 0 {
		printf("\nAll checks passed.")
		return
	}
	printf("\nChecks failed: %d", s.report.number)
	for _, line := range s.report.failures {
		printf("  %s", line)
	}
}
