package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// page is the result of the benchmark as text.
type page struct {
	host   host
	intro  []string
	tables []*table
}

func newPage(r results, s scale, short bool) *page {
	p := &page{host: thisHost()}
	p.intro = []string{fmt.Sprintf("Medians of %d runs. The contenders run in turn, each in a process of its own.", s.runs)}
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
	t := &table{title: w.title, head: []string{"", "messages/s", "speed: Run ÷ row", "CPU/message", "CPU: Run ÷ row", "allocations/message"}}
	run := f[oursRun]
	for _, contender := range w.contenders {
		x, ok := f[contender]
		if !ok { // not chosen
			continue
		}
		allocs := ""
		if x.hasAllocs {
			allocs = fmt.Sprintf("%.2f", x.allocs)
		}
		t.add(contender, thousands(x.rate), ratio(run.rate, x.rate), fmt.Sprintf("%.2f µs", x.cpu), ratio(run.cpu, x.cpu), allocs)
	}
	return t
}

func latencyTable(w work, f byContender) *table {
	t := &table{title: w.title, head: []string{"", "p50", "p50: Run ÷ row", "p99", "p99: Run ÷ row"}}
	run := f[oursRun]
	for _, contender := range w.contenders {
		x, ok := f[contender]
		if !ok { // not chosen
			continue
		}
		t.add(contender, fmt.Sprintf("%.0f µs", x.p50), ratio(run.p50, x.p50), fmt.Sprintf("%.0f µs", x.p99), ratio(run.p99, x.p99))
	}
	t.notes = []string{"C, loop_forever publishes inside its callback. All others publish on another thread or goroutine."}
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
		"Memory is the resident memory at that moment, including garbage that was not collected yet, without the memory of the process before the first client. The CPU time includes the start of the process.",
	}, growth(rows)...)
	return t
}

// growth returns sentences about how our cost grows with the number of clients, and
// what many more clients would need.
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
		fmt.Sprintf("From %s to %s clients of \"ours, Run\", the CPU time per client changes by a factor of %.2f. The time to connect a client changes by a factor of %.2f.",
			thousands(float64(first.clients)), thousands(n), last.cpu/first.cpu,
			(last.connect/n)/(first.connect/float64(first.clients))),
		fmt.Sprintf("At the cost of the last row, %s clients of \"ours, Run\" in one process need %s file descriptors (ulimit -n) and %.1f GiB of memory. "+
			"To connect them takes %.0f s, and %.0f s of CPU time. The broker must accept as many clients. If it has one address and port, "+
			"the clients need several source addresses: Linux has about 28,000 ports for each.",
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
		fmt.Sprintf("Resident memory after a garbage collection; CPU over %.0f s. The library's own loops cannot use file descriptors above 1023, which limits them to %d clients.", s.watch, belowSelect),
	}
	return t
}

// print writes the page for a terminal.
func (p *page) print(w io.Writer) {
	for _, line := range append(p.host.facts(), p.intro...) {
		fmt.Fprintln(w, line)
	}
	for _, t := range p.tables {
		t.print(w)
	}
}

// how explains the figures. It follows the tables.
const how = `
## How it is measured

Throughput is measured from the first message to the last. CPU is the user and system
time of the whole process, including its start, as the kernel reports it to the parent
process. Allocations are those of Go. "speed: Run ÷ row" is the rate of Run divided by
the rate of the row: above 1, Run is faster. "CPU: Run ÷ row" is the CPU time of Run
divided by the CPU time of the row: below 1, Run needs less.

Receiving and publishing are measured with a peer instead of a broker, so that the
broker does not limit the result. The peer sends prepared bursts of packets, counts
messages, and acknowledges each read with one write. All connections use TCP on the
loopback interface, without TLS. The libraries have their default settings, with two
exceptions. Up to 1,000 messages are in flight. The round trips of libmosquitto are
measured without the Nagle delay (Go never has one). libmosquitto does not block
publishers of QoS 0: it keeps unsent messages in memory. The Go clients are used as
their documentation shows, each in a file of its own in test/bench, which gives the
reasons. paho.golang uses MQTT 5, all others MQTT 3.1.1.

To run it: ` + "`make bench`" + `.
`

// markdown returns the page with the chart in Markdown.
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
