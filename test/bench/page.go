package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// page is what the benchmark has to show.
type page struct {
	host   host
	intro  []string
	tables []*table
}

func newPage(r results, s scale, short bool) *page {
	p := &page{host: thisHost()}
	p.intro = []string{fmt.Sprintf("Medians of %d runs, the contenders in turn, each in a process of its own.", s.runs)}
	if short {
		p.intro = append(p.intro, "A quick run: these figures mean nothing.")
	}
	for _, w := range throughputs {
		if f := r.throughput[w.name]; f != nil {
			p.tables = append(p.tables, throughputTable(w, f))
		}
	}
	for _, w := range latencies {
		if f := r.latency[w.name]; f != nil {
			p.tables = append(p.tables, latencyTable(w, f))
		}
	}
	if len(r.many) > 0 {
		p.tables = append(p.tables, manyTable(r.many))
	}
	if len(r.idle) > 0 {
		p.tables = append(p.tables, idleTable(r.idle, s))
	}
	if t := targetTable(r, p.host.has21); len(t.rows) > 0 {
		t.title = "Targets with libmosquitto " + p.host.library
		p.tables = append(p.tables, t)
	}
	return p
}

func throughputTable(w work, f byContender) *table {
	t := &table{title: w.title, head: []string{"", "messages/s", "Run is × as fast", "CPU/message", "Run's CPU is ×", "allocations/message"}}
	run := f[oursRun]
	for _, contender := range w.contenders {
		x := f[contender]
		allocs := ""
		if x.hasAllocs {
			allocs = fmt.Sprintf("%.2f", x.allocs)
		}
		t.add(contender, thousands(x.rate), ratio(run.rate, x.rate), fmt.Sprintf("%.2f µs", x.cpu), ratio(run.cpu, x.cpu), allocs)
	}
	return t
}

func latencyTable(w work, f byContender) *table {
	t := &table{title: w.title, head: []string{"", "p50", "Run's is ×", "p99", "Run's is ×"}}
	run := f[oursRun]
	for _, contender := range w.contenders {
		x := f[contender]
		t.add(contender, fmt.Sprintf("%.0f µs", x.p50), ratio(run.p50, x.p50), fmt.Sprintf("%.0f µs", x.p99), ratio(run.p99, x.p99))
	}
	t.notes = []string{"C, loop_forever publishes inside its callback; everywhere else another thread or goroutine does."}
	return t
}

func manyTable(rows []crowdFigures) *table {
	t := &table{
		title: manyWork.title + ", clients of one process through mosquitto",
		head:  []string{"", "clients", "connected in", "CPU/client", "memory/client", "threads", "goroutines", "descriptors/client"},
	}
	for _, row := range rows {
		n := float64(row.clients)
		t.add(row.contender, thousands(n), fmt.Sprintf("%.2f s", row.connect), fmt.Sprintf("%.0f µs", row.cpu),
			kib(row.rss), fmt.Sprint(row.threads), thousands(float64(row.goroutines)), fmt.Sprintf("%.1f", float64(row.descriptors)/n))
	}
	t.notes = append([]string{
		"Memory is what it was at that moment, with what the garbage collector had not taken yet; the process itself is not counted, its start is in the CPU time.",
	}, growth(rows)...)
	return t
}

// growth says how our cost grows, and what many more clients would need.
func growth(rows []crowdFigures) []string {
	const goal = 50_000
	var first, last crowdFigures
	for _, row := range rows {
		if row.contender != oursRun {
			continue
		}
		if first.clients == 0 {
			first = row
		}
		last = row
	}
	if last.clients <= first.clients {
		return nil
	}
	n := float64(last.clients)
	return []string{
		fmt.Sprintf("From %s to %s clients, ours cost %.2f times as much CPU each, and %.2f times as long to connect each.",
			thousands(float64(first.clients)), thousands(n), last.cpu/first.cpu,
			(last.connect/n)/(first.connect/float64(first.clients))),
		fmt.Sprintf("%s of ours in one process would need, if it goes on like the last row: %s descriptors (ulimit -n), %.1f GiB of memory, "+
			"%.0f s to connect them all and %.0f s of CPU for it, a broker that takes as many, and more than one address to connect from "+
			"if that is one address and port (Linux has about 28,000 ports for it).",
			thousands(goal), thousands(goal*float64(last.descriptors)/n), goal*last.rss/(1<<30), goal*last.connect/n, goal*last.cpu/1e6),
	}
}

func idleTable(rows []idleFigures, s scale) *table {
	t := &table{
		title: fmt.Sprintf("Idle clients, keepalive %d s", keepalive),
		head:  []string{"", "clients", "memory/client", "threads/client", "goroutines/client", "CPU of a core"},
	}
	for _, row := range rows {
		n := float64(row.clients)
		goroutines := ""
		if row.goroutines > 0 {
			goroutines = fmt.Sprintf("%.1f", float64(row.goroutines)/n)
		}
		t.add(row.contender, thousands(n), kib(row.rss), fmt.Sprintf("%.3f", float64(row.threads)/n), goroutines, fmt.Sprintf("%.2f %%", row.cpu))
	}
	t.notes = []string{
		fmt.Sprintf("Resident memory after a garbage collection; CPU over %.0f s. The library's own loops end at descriptor 1023: %d clients.", s.watch, belowSelect),
	}
	return t
}

// print writes it for a terminal.
func (p *page) print(w io.Writer) {
	for _, line := range append(p.host.facts(), p.intro...) {
		fmt.Fprintln(w, line)
	}
	for _, t := range p.tables {
		t.print(w)
	}
}

// how explains the figures, below them.
const how = `
## How it is measured

Throughput counts from the first message to the last. CPU is that of the whole
process, its start included, user and system, as the kernel gives it to the parent
that reaps it. Allocations are Go's. "Run is × as fast" is Run's figure divided by
the row's: above 1, Run is faster. "Run's CPU is ×" below 1: Run needs less.

Receiving and publishing are done against a peer, so that the broker is not what
is measured: a process that floods with prepared bursts of packets, counts, and
acknowledges a whole read with one write. All connections are TCP on the loopback,
without TLS. Settings are the libraries' own, but for 1,000 messages under way, and
no Nagle delay for libmosquitto's round trips (Go never has one). libmosquitto's QoS 0
publishers are not slowed by anything: what is not sent yet waits in memory. The Go clients
are used as their documentation shows, each in a file of its own in test/bench, with the
reasons. paho.golang speaks MQTT 5, all others 3.1.1.

Run it yourself: ` + "`make bench`" + `.
`

// markdown is the page with the chart.
func (p *page) markdown(chart string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Benchmark\n\nWritten by `make bench`.\n\n- %s\n- %s\n", strings.Join(p.host.facts(), "\n- "), strings.Join(p.intro, "\n- "))
	fmt.Fprintf(&b, "\n![Messages per second and CPU time per message](%s)\n", chart)
	for _, t := range p.tables {
		t.markdown(&b)
	}
	b.WriteString(how)
	return b.Bytes()
}
