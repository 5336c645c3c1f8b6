package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// page is the result of the benchmark as text.
type page struct {
	host   host
	intro  []string
	tables []*table
}

func newPage(r results, b *bench, short bool, elapsed time.Duration) *page {
	p := &page{host: thisHost()}
	p.intro = []string{fmt.Sprintf("Medians. Runs for each row: at least %d. The contenders run in turn, each in a process of its own. The whole benchmark took %s.",
		b.runs, elapsed.Round(time.Second))}
	for _, failure := range b.repeated {
		p.intro = append(p.intro, "Repeated after a failure: "+failure+".")
	}
	if short {
		p.intro = append(p.intro, "A quick run: these figures mean nothing.")
	}
	for _, s := range sections {
		if t := s.table(r); len(t.rows) > 0 {
			if s.name == manyName {
				t.notes = growth(s, r)
			}
			p.tables = append(p.tables, t)
		}
	}
	if t := targetTable(r, p.host.has21); len(t.rows) > 0 {
		t.title = "Targets with libmosquitto " + p.host.library
		t.says = "The first column is the name that `-only` takes. A target with a contender in the fourth column is for the ratio to its figure."
		p.tables = append(p.tables, t)
	}
	return p
}

// growth returns sentences about how our cost grows with the number of clients, and
// what many more clients would need.
func growth(s section, r results) []string {
	const goal = 50_000
	first, ok1 := r[s.works[0].name][oursRun]
	last, ok2 := r[s.works[len(s.works)-1].name][oursRun]
	if !ok1 || !ok2 {
		return nil
	}
	return []string{
		fmt.Sprintf("From %s to %s clients of \"ours, Run\", the CPU time per client changes by a factor of %.2f. The time to connect a client changes by a factor of %.2f.",
			thousands(first.clients), thousands(last.clients), last.cpu/first.cpu,
			(last.connect/last.clients)/(first.connect/first.clients)),
		fmt.Sprintf("At the cost of the last row, %s clients of \"ours, Run\" in one process need %s file descriptors (ulimit -n) and %.1f GiB of memory. "+
			"To connect them takes %.0f s, and %.0f s of CPU time. The broker must accept as many clients. If it has one address and port, "+
			"the clients need several source addresses: Linux has about 28,000 ports for each.",
			thousands(goal), thousands(goal*last.descriptors), goal*last.rss/(1<<30), goal*last.connect/last.clients, goal*last.cpu/1e6),
	}
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

The floods of QoS 0 show the limits of a client. For most programs, the tables with a
broker, with default settings, with many clients and with TLS matter more.

Receiving and publishing are measured with a peer instead of a broker, so that the
broker does not limit the result. The peer sends prepared bursts of packets, counts
messages, and acknowledges each read with one write. All connections use the loopback
interface. The libraries have their default settings, with two exceptions. Except in the
tables with default settings, up to 1,000 messages are in flight. In the table with
goroutines, and where both ends use QoS 1, the limit is 100. The round trips of libmosquitto
are measured without the Nagle delay (Go turns the Nagle delay off). libmosquitto does not
block publishers of QoS 0: it keeps unsent messages in memory. The Go clients are used as
their documentation shows, each in a file of its own in test/bench, which gives the reasons.
paho.golang uses MQTT 5, all others MQTT 3.1.1.

In three processes the subscriber writes to a pipe whenever 250 more messages have
arrived. The publisher reads the pipe, so at most 1,000 messages have not arrived. TLS
uses a certificate with an ECDSA P-256 key. After the restart of the broker, a client is
subscribed again when it receives the retained message of the topic.

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
