package main

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// in_use returns the number of bytes that are allocated with malloc, or 0 if the C
// library does not report it.
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

// sample is the process's use of resources while all clients are connected and idle.
// Memory is in bytes.
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

// status returns a number from /proc/self/status, or 0.
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

// quantity is one number of a sample, and the increase that does not count as growth.
type quantity struct {
	name    string
	of      func(sample) int
	percent int  // allowed increase, relative
	margin  int  // allowed increase, absolute; added to percent
	bytes   bool // the quantity is a size in bytes
}

var quantities = []quantity{
	{"RSS", func(s sample) int { return s.rss }, 10, 8 << 20, true},
	{"Go heap", func(s sample) int { return s.goHeap }, 10, 1 << 20, true},
	{"C heap", func(s sample) int { return s.cHeap }, 10, 1 << 20, true},
	{"descriptors", func(s sample) int { return s.descriptors }, 0, 2, false},
	{"threads", func(s sample) int { return s.threads }, 0, 12, false}, // Go keeps a thread for each call of C that has ever run at the same time
	{"goroutines", func(s sample) int { return s.goroutines }, 0, 2, false},
}

// thirds returns the medians of the first and of the last third of the samples.
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

// minSamples is the number of samples from which checkGrowth can distinguish growth
// from the usual increase after the start.
const minSamples = 9

// checkGrowth reports a failure for each quantity that has grown.
func (s *soak) checkGrowth() {
	if len(s.samples) < minSamples {
		return
	}
	for _, q := range quantities {
		if first, last := q.thirds(s.samples); q.grown(first, last) {
			s.report.fail("%s grew from %d to %d", q.name, first, last)
		}
	}
}
