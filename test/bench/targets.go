package main

import "fmt"

// target is the goal for a figure.
type target struct {
	what   string
	value  func(r results) (float64, bool) // false if it was not measured
	atMost bool                            // otherwise at least
	on20   float64
	on21   float64
	format string
}

var targets = []target{
	{"receive 64 B: throughput ÷ C, loop_forever", rateRatio("receive64", cForever), false, 1.30, 0.80, "%.2f"},
	{"receive 64 B: CPU per message ÷ C, loop_forever", cpuRatio("receive64", cForever), true, 0.80, 1.35, "%.2f"},
	{"receive 64 B: throughput ÷ paho.mqtt.golang", rateRatio("receive64", pahoV3), false, 2.5, 9, "%.2f"},
	{"allocations per received message", allocations("receive64"), true, 1, 1, "%.2f"},
	{"publish QoS 0: throughput ÷ C, loop_start", rateRatio("publish0", cStart), false, 1, 1, "%.2f"},
	{"publish QoS 0: throughput ÷ paho.mqtt.golang", rateRatio("publish0", pahoV3), false, 6, 6, "%.2f"},
	{"publish QoS 1, 1,000 in flight: throughput ÷ C, loop_start", rateRatio("publish1", cStart), false, 1, 1.2, "%.2f"},
	{"publish QoS 1, 1,000 in flight: throughput ÷ paho.mqtt.golang", rateRatio("publish1", pahoV3), false, 1.3, 1.8, "%.2f"},
	{"Go allocations per publish, QoS 0", allocations("publish0"), true, 0, 0, "%.2f"},
	{"Go allocations per publish, QoS 1", allocations("publish1"), true, 0, 0, "%.2f"},
	{"package mqtt, receive 64 B through its router: CPU ÷ CPU of Run", mqttRatio("receive64"), true, 1.25, 1.25, "%.2f"},
	{"package mqtt, publish QoS 1 awaited: CPU ÷ CPU of Run", mqttRatio("awaited1"), true, 1.25, 1.25, "%.2f"},
	{"paho facade, receive 64 B: throughput ÷ paho.mqtt.golang", facadeRatio("receive64"), false, 1.3, 1.3, "%.2f"},
	{"paho facade, receive 4 KiB: throughput ÷ paho.mqtt.golang", facadeRatio("receive4k"), false, 1.3, 1.3, "%.2f"},
	{"paho facade, publish QoS 0: throughput ÷ paho.mqtt.golang", facadeRatio("publish0"), false, 1.3, 1.3, "%.2f"},
	{"paho facade, publish QoS 1, 1,000 in flight: throughput ÷ paho.mqtt.golang", facadeRatio("publish1"), false, 1.3, 1.3, "%.2f"},
	{"paho facade, publish QoS 1 awaited: throughput ÷ paho.mqtt.golang", facadeRatio("awaited1"), false, 1.3, 1.3, "%.2f"},
	{"paho facade, both ends, QoS 0: throughput ÷ paho.mqtt.golang", facadeRatio("broker0"), false, 1, 1, "%.2f"},
	{"paho facade, both ends, QoS 1: throughput ÷ paho.mqtt.golang", facadeRatio("broker1"), false, 1, 1, "%.2f"},
	{"paho facade, round trip through the peer: p50 ÷ paho.mqtt.golang", facadeLatency("latency"), true, 1, 1, "%.2f"},
	{"paho facade, round trip through mosquitto: p50 ÷ paho.mqtt.golang", facadeLatency("latency-broker"), true, 1, 1, "%.2f"},
	{"paho facade, memory per idle client ÷ paho.mqtt.golang", facadeMemory, true, 0.6, 0.6, "%.2f"},
	{"most clients: threads", mostThreads, true, 40, 40, "%.0f"},
	{"KiB of memory per idle client", idleMemory, true, 8, 8, "%.1f"},
	{"most idle clients, keepalive 60 s: % of a core", idleCPU, true, 1, 1, "%.2f"},
}

func rateRatio(work, contender string) func(results) (float64, bool) {
	return throughputRatio(work, oursRun, contender, func(f figures) float64 { return f.rate })
}

func cpuRatio(work, contender string) func(results) (float64, bool) {
	return throughputRatio(work, oursRun, contender, func(f figures) float64 { return f.cpu })
}

// mqttRatio returns the CPU time of package mqtt divided by the CPU time of Run, which
// it uses.
func mqttRatio(work string) func(results) (float64, bool) {
	return throughputRatio(work, oursMqtt, oursRun, func(f figures) float64 { return f.cpu })
}

// facadeRatio returns the rate of the facade divided by the rate of the client whose API
// it has.
func facadeRatio(work string) func(results) (float64, bool) {
	return throughputRatio(work, oursPaho, pahoV3, func(f figures) float64 { return f.rate })
}

func throughputRatio(work, our, their string, of func(figures) float64) func(results) (float64, bool) {
	return func(r results) (float64, bool) { return r.throughput[work].ratio(our, their, of) }
}

func facadeLatency(work string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		return r.latency[work].ratio(oursPaho, pahoV3, func(f figures) float64 { return f.p50 })
	}
}

// ratio divides a figure of our contender by the figure of their contender. It returns
// false if either contender was not measured.
func (b byContender) ratio(our, their string, of func(figures) float64) (float64, bool) {
	x, ok := b[our]
	y, okY := b[their]
	return of(x) / of(y), ok && okY
}

func facadeMemory(r results) (float64, bool) {
	var ours, theirs float64
	for _, row := range r.idle {
		switch row.contender {
		case oursPaho:
			ours = row.rss
		case pahoV3:
			theirs = row.rss
		}
	}
	return ours / theirs, ours > 0 && theirs > 0
}

func allocations(work string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		f, ok := r.throughput[work][oursRun]
		return f.allocs, ok
	}
}

func mostThreads(r results) (threads float64, ok bool) {
	for _, row := range r.many {
		if row.contender == oursRun {
			threads, ok = float64(row.threads), true // the last row has the most clients
		}
	}
	return threads, ok
}

// mostIdle returns the row of Run with the most clients.
func mostIdle(r results) (most idleFigures, ok bool) {
	for _, row := range r.idle {
		if row.contender == oursRun && row.clients > most.clients {
			most, ok = row, true
		}
	}
	return most, ok
}

func idleMemory(r results) (float64, bool) {
	row, ok := mostIdle(r)
	return row.rss / 1024, ok
}

func idleCPU(r results) (float64, bool) {
	row, ok := mostIdle(r)
	return row.cpu, ok
}

// hair is the tolerance of a target: half a unit of the last printed digit, for example
// for the few allocations before the first message.
const hair = 0.005

func targetTable(r results, has21 bool) *table {
	t := &table{head: []string{"Run", "measured", "target", ""}}
	for _, goal := range targets {
		value, measured := goal.value(r)
		if !measured {
			continue
		}
		bound, sign := goal.on20, "≥"
		if has21 {
			bound = goal.on21
		}
		ok := value >= bound-hair
		if goal.atMost {
			ok, sign = value <= bound+hair, "≤"
		}
		verdict := "ok"
		if !ok {
			verdict = "MISSED"
		}
		t.add(goal.what, fmt.Sprintf(goal.format, value), fmt.Sprintf("%s %v", sign, bound), verdict)
	}
	return t
}
