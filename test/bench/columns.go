package main

import "fmt"

// column is a column of a section's table. run holds the figures of Run in the same
// work; they are zero if Run was not measured.
type column struct {
	head string
	cell func(run, x figures) string
}

var perMessage = []column{
	{"messages/s", func(_, x figures) string { return thousands(x.rate) }},
	{"speed: Run ÷ row", func(run, x figures) string { return ratio(run.rate, x.rate) }},
	{"CPU/message", func(_, x figures) string { return fmt.Sprintf("%.2f µs", x.cpu) }},
	{"CPU: Run ÷ row", func(run, x figures) string { return ratio(run.cpu, x.cpu) }},
	{"allocations/message", func(_, x figures) string {
		if !x.hasAllocs {
			return ""
		}
		return fmt.Sprintf("%.2f", x.allocs)
	}},
}

var perConnect = []column{
	{"connects/s", func(_, x figures) string { return thousands(x.rate) }},
	{"CPU/connect", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.cpu) }},
}

var roundTrip = []column{
	{"p50", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.p50) }},
	{"p50: Run ÷ row", func(run, x figures) string { return ratio(run.p50, x.p50) }},
	{"p99", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.p99) }},
	{"p99: Run ÷ row", func(run, x figures) string { return ratio(run.p99, x.p99) }},
}

var manyColumns = []column{
	{"clients", func(_, x figures) string { return thousands(x.clients) }},
	{"connected in", func(_, x figures) string { return fmt.Sprintf("%.2f s", x.connect) }},
	{"CPU/client", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.cpu) }},
	{"memory/client", func(_, x figures) string { return kib(x.rss) }},
	{"threads", func(_, x figures) string { return fmt.Sprint(x.threads) }},
	{"goroutines", func(_, x figures) string { return thousands(x.goroutines) }},
	{"descriptors/client", func(_, x figures) string { return fmt.Sprintf("%.1f", x.descriptors) }},
}

var wakeColumns = []column{
	{"threads", func(_, x figures) string { return fmt.Sprint(x.threads) }},
	{"connected in", func(_, x figures) string { return fmt.Sprintf("%.2f s", x.connect) }},
	{"all woken in", func(_, x figures) string { return fmt.Sprintf("%.0f ms", x.wake*1e3) }},
	{"CPU/client", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.cpu) }},
}

var restartColumns = []column{
	{"clients", func(_, x figures) string { return thousands(x.clients) }},
	{"subscribed again in", func(_, x figures) string { return fmt.Sprintf("%.2f s", x.seconds) }},
	{"CPU/client", func(_, x figures) string { return fmt.Sprintf("%.0f µs", x.cpu) }},
}

var idleColumns = []column{
	{"clients", func(_, x figures) string { return thousands(x.clients) }},
	{"memory/client", func(_, x figures) string { return kib(x.rss) }},
	{"threads/client", func(_, x figures) string { return fmt.Sprintf("%.3f", x.threads/x.clients) }},
	{"goroutines/client", func(_, x figures) string {
		if !x.hasAllocs {
			return ""
		}
		return fmt.Sprintf("%.1f", x.goroutines/x.clients)
	}},
	{"descriptors/client", func(_, x figures) string { return fmt.Sprintf("%.1f", x.descriptors) }},
	{"CPU of a core", func(_, x figures) string { return fmt.Sprintf("%.2f %%", x.share) }},
}

// table returns the table of a section, without the works and contenders that were not
// measured.
func (s section) table(r results) *table {
	t := &table{title: s.title, says: s.says, head: []string{""}}
	for _, c := range s.columns {
		t.head = append(t.head, c.head)
	}
	for _, w := range s.works {
		run := r[w.name][oursRun]
		for _, contender := range w.contenders {
			x, ok := r[w.name][contender]
			if !ok {
				continue
			}
			label := contender
			if w.kind == "restart" && w.tls {
				label += ", TLS"
			}
			row := []string{label}
			for _, c := range s.columns {
				row = append(row, c.cell(run, x))
			}
			t.add(row...)
		}
	}
	return t
}
