package main

/*
#include <malloc.h>

// in_use is what malloc has given out and not got back, 0 where the C library
// does not tell.
static size_t in_use(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#else
	return 0;
#endif
}
*/
import "C"

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// sample is what the process holds while all clients are connected and idle.
type sample struct {
	rss, goHeap, cHeap, descriptors, threads, goroutines int
}

func take() sample {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	descriptors, _ := os.ReadDir("/proc/self/fd")
	return sample{
		rss: status("VmRSS:") << 10, goHeap: int(m.HeapAlloc), cHeap: cHeap(),
		descriptors: len(descriptors), threads: status("Threads:"), goroutines: runtime.NumGoroutine(),
	}
}

func cHeap() int { return int(C.in_use()) }

// status is a number of /proc/self/status.
func status(name string) int {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// quantity is a figure of samples, and how much more than before is no growth.
type quantity struct {
	name    string
	of      func(sample) int
	percent int
	margin  int
	bytes   bool
}

var quantities = []quantity{
	{"RSS", func(s sample) int { return s.rss }, 10, 8 << 20, true},
	{"Go heap", func(s sample) int { return s.goHeap }, 10, 1 << 20, true},
	{"C heap", func(s sample) int { return s.cHeap }, 10, 1 << 20, true},
	{"descriptors", func(s sample) int { return s.descriptors }, 0, 2, false},
	{"threads", func(s sample) int { return s.threads }, 0, 3, false},
	{"goroutines", func(s sample) int { return s.goroutines }, 0, 2, false},
}

// thirds are the medians of the first and of the last third of the samples.
func (q quantity) thirds(samples []sample) (first, last int) {
	n := len(samples) / 3
	return q.median(samples[:n]), q.median(samples[len(samples)-n:])
}

func (q quantity) median(samples []sample) int {
	values := make([]int, len(samples))
	for i, s := range samples {
		values[i] = q.of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (q quantity) grown(first, last int) bool { return last > first+first*q.percent/100+q.margin }

// fewest is how many samples tell growth from the noise of a start.
const fewest = 9

// flat checks that nothing has grown.
func (s *soak) flat() {
	if len(s.samples) < fewest {
		return
	}
	for _, q := range quantities {
		if first, last := q.thirds(s.samples); q.grown(first, last) {
			s.report.broken("%s grew from %d to %d", q.name, first, last)
		}
	}
}
