package main

import "slices"

// figures are the medians of a contender's runs. Only those that fit the work have a
// meaning.
type figures struct {
	rate      float64 // messages or connects a second
	cpu       float64 // microseconds for a message, a connect or a client
	allocs    float64 // a message
	hasAllocs bool    // true for contenders in Go
	p50, p99  float64 // microseconds

	seconds float64 // of the whole work
	connect float64 // seconds
	wake    float64 // seconds
	share   float64 // percent of a core

	clients     float64
	rss         float64 // bytes a client
	threads     float64 // largest number that was seen
	goroutines  float64
	descriptors float64 // a client
}

// byContender holds the figures of each contender.
type byContender map[string]figures

// results holds the figures of each work, by its name.
type results map[string]byContender

func summary(all map[string][]measurement) byContender {
	result := make(byContender)
	for contender, ms := range all {
		of := func(value func(m measurement) float64) float64 { return median(ms, value) }
		most := func(value func(m measurement) int) (x float64) {
			for _, m := range ms {
				x = max(x, float64(value(m)))
			}
			return x
		}
		clients := max(1, float64(ms[0].Clients))
		result[contender] = figures{
			rate:      of(func(m measurement) float64 { return float64(m.Count) / m.Seconds }),
			cpu:       of(func(m measurement) float64 { return float64(m.cpu) / 1e3 / float64(m.Count) }),
			allocs:    of(func(m measurement) float64 { return m.Mallocs / float64(m.Count) }),
			hasAllocs: !inC(contender),
			p50:       of(func(m measurement) float64 { return m.P50 }),
			p99:       of(func(m measurement) float64 { return m.P99 }),

			seconds: of(func(m measurement) float64 { return m.Seconds }),
			connect: of(func(m measurement) float64 { return m.ConnectSeconds }),
			wake:    of(func(m measurement) float64 { return m.WakeSeconds }),

			clients:     float64(ms[0].Clients),
			rss:         of(func(m measurement) float64 { return float64(m.RSS-m.BaseRSS) / clients }),
			threads:     most(func(m measurement) int { return m.Threads }),
			goroutines:  most(func(m measurement) int { return m.Goroutines }),
			descriptors: most(func(m measurement) int { return m.Descriptors }) / clients,
		}
	}
	return result
}

func median(ms []measurement, of func(measurement) float64) float64 {
	values := make([]float64, len(ms))
	for i, m := range ms {
		values[i] = of(m)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}
