package main

import (
	"fmt"
	"slices"
)

// metric is a figure that has a target.
type metric struct {
	name   string
	of     func(figures) float64
	atMost bool // a smaller figure is better
}

var (
	rate        = metric{"rate", func(f figures) float64 { return f.rate }, false}
	cpu         = metric{"CPU", func(f figures) float64 { return f.cpu }, true}
	allocs      = metric{"allocations/message", func(f figures) float64 { return f.allocs }, true}
	p50         = metric{"p50", func(f figures) float64 { return f.p50 }, true}
	p99         = metric{"p99", func(f figures) float64 { return f.p99 }, true}
	duration    = metric{"time", func(f figures) float64 { return f.seconds }, true}
	threads     = metric{"threads", func(f figures) float64 { return f.threads }, true}
	descriptors = metric{"descriptors/client", func(f figures) float64 { return f.descriptors }, true}
	memory      = metric{"memory, KiB/client", func(f figures) float64 { return f.rss / 1024 }, true}
	core        = metric{"% of a core", func(f figures) float64 { return f.share }, true}
)

// target is the goal for a figure of a contender: for its ratio to the best figure of
// other contenders, or for the figure itself if there are none.
type target struct {
	work   string
	ours   string
	metric metric
	than   []string
	goal   bound
}

// bound is a goal with libmosquitto 2.0 and with 2.1.
type bound struct{ on20, on21 float64 }

func always(goal float64) bound { return bound{goal, goal} }

var (
	inCAll    = []string{cForever, cStart}
	inGo      = []string{pahoV3, pahoV5, atWat}
	others    = slices.Concat(inCAll, inGo)
	threaded  = slices.Concat([]string{cStart}, inGo) // they publish on another thread or goroutine
	inside    = []string{cForever}                    // it publishes inside the callback
	justPaho  = []string{pahoV3}
	justPaho5 = []string{pahoV5}
	justRun   = []string{oursRun}
)

var targets = slices.Concat(
	[]target{
		{"receive64", oursRun, rate, inCAll, bound{1.3, 0.9}},
		{"receive64", oursRun, cpu, inCAll, bound{0.8, 1.35}},
		{"receive64", oursRun, allocs, nil, always(1)},
		{"receive64", oursMqtt, rate, justRun, always(0.95)},
		{"publish0", oursRun, rate, inCAll, always(1)},
		{"publish0", oursRun, rate, justPaho, always(6)},
		{"publish0", oursRun, allocs, nil, always(0)},
		{"publish0", oursMqtt, cpu, justRun, always(1.25)},
		{"publish0", oursMqtt, allocs, nil, always(1)},
		{"publish1", oursRun, rate, inCAll, bound{1, 1.2}},
		{"publish1", oursRun, rate, justPaho, bound{1.3, 1.8}},
		{"publish1", oursRun, allocs, nil, always(0)},
		{"awaited1", oursMqtt, cpu, justRun, always(1.25)},
	},
	publishing("default1"), publishing("default1-broker"),
	bothEnds0("broker0"), bothEnds1("broker1"), bothEnds0("three0"), bothEnds1("three1"),
	[]target{
		{"latency", oursRun, p50, threaded, always(1.1)},
		{"latency", oursMqtt, p50, threaded, always(1.1)},
		{"latency", oursInside, p50, inside, always(1.1)},
		{"latency-broker", oursRun, p50, threaded, always(1)},
		{"latency-broker", oursRun, p99, threaded, always(1)},
		{"latency-broker", oursMqtt, p50, threaded, always(1)},
		{"latency-broker", oursMqtt, p99, threaded, always(1)},
		{"latency-broker", oursInside, p50, inside, always(1)},
		{"latency-broker", oursInside, p99, inside, always(1)},
		{"tls-latency", oursRun, p50, threaded, always(1)},
		{"tls-latency", oursInside, p50, inside, always(1)},
	},
	encrypted("tls-receive64", rate), encrypted("tls-publish0", rate),
	encrypted("tls-broker0", rate), encrypted("tls-broker1", rate), encrypted("tls-connects", rate),
	[]target{
		{"tls-resumed", oursRelay, rate, inGo, always(1)},
		{"tls-broker0", oursMqtt, rate, justPaho, always(1.1)},
		{"tls-broker0", oursMqtt, cpu, justPaho, always(0.9)},
		{"tls-broker1", oursMqtt, rate, justPaho, always(1.3)},
		{"tls-broker1", oursMqtt, cpu, justPaho, always(0.9)},
		{"many4500", oursRun, cpu, justPaho5, always(0.8)},
		{"many4500", oursMqtt, cpu, justPaho5, always(0.8)},
		{"many4500", oursRun, descriptors, nil, always(3)},
		{"many4500", oursMqtt, descriptors, nil, always(3)},
		{"wake", oursRun, threads, nil, always(16)},
		{"wake", oursMqtt, threads, nil, always(16)},
	},
	restarting("restart2000"), restarting("restart4500"), restarting("restart-tls1000"),
	[]target{
		{"idle4500", oursRun, memory, nil, bound{7.5, 11.5}},
		{"idle4500", oursRun, core, nil, always(1)},
		{"idle2000", oursMqtt, memory, nil, always(16)},

		{"receive64", oursPaho, rate, justPaho, always(1.3)},
		{"receive4k", oursPaho, rate, justPaho, always(1.3)},
		{"publish0", oursPaho, rate, justPaho, always(1.3)},
		{"publish1", oursPaho, rate, justPaho, always(1.3)},
		{"awaited1", oursPaho, rate, justPaho, always(1.3)},
		{"broker0", oursPaho, rate, justPaho, always(1)},
		{"broker1", oursPaho, rate, justPaho, always(1)},
		{"latency", oursPaho, p50, justPaho, always(1)},
		{"latency-broker", oursPaho, p50, justPaho, always(1)},
		{"idle1000", oursPaho, memory, justPaho, always(0.6)},
	},
)

// publishing returns the targets for publishing with QoS 1 and default settings.
func publishing(work string) []target {
	return []target{
		{work, oursRun, rate, inCAll, always(1.2)},
		{work, oursRun, rate, justPaho, always(1.3)},
		{work, oursMqtt, rate, inCAll, always(1.2)},
		{work, oursMqtt, rate, justPaho, always(1.3)},
	}
}

func bothEnds0(work string) []target {
	return []target{
		{work, oursRun, rate, others, always(1)},
		{work, oursRun, cpu, inGo, always(0.9)},
		{work, oursMqtt, rate, others, always(1)},
		{work, oursMqtt, cpu, inGo, always(0.9)},
	}
}

func bothEnds1(work string) []target {
	return []target{
		{work, oursRun, rate, inCAll, always(1.3)},
		{work, oursRun, rate, inGo, always(1.2)},
		{work, oursMqtt, rate, inCAll, always(1.3)},
		{work, oursMqtt, rate, inGo, always(1.2)},
	}
}

func encrypted(work string, m metric) []target {
	return []target{
		{work, oursRun, m, inCAll, always(1)},
		{work, oursRun, m, inGo, always(1)},
	}
}

func restarting(work string) []target {
	return []target{
		{work, oursRun, duration, justPaho, always(1)},
		{work, oursRun, cpu, justPaho, always(1)},
		{work, oursMqtt, duration, justPaho, always(1)},
		{work, oursMqtt, cpu, justPaho, always(1)},
	}
}

// value returns the figure or the ratio, and the contender that it is compared with. It
// returns false if they were not measured, or were too small to measure.
func (t target) value(r results) (value float64, than string, ok bool) {
	x, ok := r[t.work][t.ours]
	if !ok || t.than == nil {
		return t.metric.of(x), "", ok
	}
	var best float64
	for _, name := range t.than {
		y, ok := r[t.work][name]
		if v := t.metric.of(y); ok && (than == "" || t.metric.atMost == (v < best)) {
			best, than = v, name
		}
	}
	return t.metric.of(x) / best, than, best > 0
}

// hair is the tolerance of a target: half a unit of the last printed digit, for example
// for the few allocations before the first message.
const hair = 0.005

func targetTable(r results, has21 bool) *table {
	t := &table{head: []string{"table", "contender", "figure", "÷", "measured", "target", ""}}
	for _, goal := range targets {
		value, than, ok := goal.value(r)
		if !ok {
			continue
		}
		limit, sign := goal.goal.on20, "≥"
		if has21 {
			limit = goal.goal.on21
		}
		reached := value >= limit-hair
		if goal.metric.atMost {
			reached, sign = value <= limit+hair, "≤"
		}
		verdict := "ok"
		if !reached {
			verdict = "MISSED"
		}
		t.add(goal.work, goal.ours, goal.metric.name, than, fmt.Sprintf("%.2f", value), fmt.Sprintf("%s %v", sign, limit), verdict)
	}
	return t
}
