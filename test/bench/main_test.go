package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary also run as worker and as peer.
func TestMain(m *testing.M) {
	if runChild(os.Args) {
		return
	}
	os.Exit(m.Run())
}

// A quick run measures all works with all contenders. No message is lost, and the page
// has all tables.
func TestBench_QuickRunWritesAllTables(t *testing.T) {
	dir := t.TempDir()
	o := options{quick: true, out: dir, name: "bench"}
	if err := o.run(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "bench.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range sections {
		rows := 0
		for _, w := range section.works {
			rows += len(w.contenders)
		}
		wantRows(t, string(page), section.title, rows)
	}
	wantRows(t, string(page), "Targets with libmosquitto "+thisHost().library, len(targets))
	chart, err := os.ReadFile(filepath.Join(dir, "bench.svg"))
	if err != nil {
		t.Fatal(err)
	}
	wantXML(t, chart)
}

// wantRows checks the number of rows of the table under a heading, and that its figures
// are numbers.
func wantRows(t *testing.T, page, title string, want int) {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n## "+title+"\n")
	if !found {
		t.Errorf("no table %q", title)
		return
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	rows := -2 // the head and the line below it
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "|") {
			rows++
		}
		for _, bad := range []string{"NaN", "Inf"} {
			if strings.Contains(line, bad) {
				t.Errorf("%s: %s", title, line)
			}
		}
	}
	if rows != want {
		t.Errorf("%s: %d rows, want %d", title, rows, want)
	}
}

func wantXML(t *testing.T, b []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// An error of a worker is returned as an error of the benchmark.
func TestWorker_FailureIsReported(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{self: self}
	_, err = b.measure(Job{Contender: oursRun, Kind: "receive", Host: "127.0.0.1", Port: 1, Count: 1, Size: 1})
	if err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("got %v", err)
	}
}

func TestTargets_DependOnTheLibrarysVersion(t *testing.T) {
	r := results{"receive64": {
		oursRun:  {rate: 120, cpu: 1, allocs: 1.004},
		cForever: {rate: 100, cpu: 1},
		cStart:   {rate: 110, cpu: 2},
		oursMqtt: {rate: 90, cpu: 1.2, allocs: 1},
		oursPaho: {rate: 13, cpu: 1},
		pahoV3:   {rate: 10, cpu: 1},
	}}
	for _, version := range []struct {
		has21 bool
		want  string
	}{{false, "MISSED MISSED ok MISSED ok"}, {true, "ok ok ok MISSED ok"}} {
		var got []string
		for _, row := range targetTable(r, version.has21).rows {
			got = append(got, row[len(row)-1])
		}
		if strings.Join(got, " ") != version.want {
			t.Errorf("2.1 %v: got %v, want %s", version.has21, got, version.want)
		}
	}
}

func TestTargets_RatioIsToTheBestOfTheOthers(t *testing.T) {
	r := results{"x": {oursRun: {rate: 120, cpu: 3}, cStart: {rate: 100, cpu: 2}, pahoV3: {rate: 150, cpu: 4}}}
	for _, c := range []struct {
		metric metric
		value  float64
		than   string
	}{{rate, 0.8, pahoV3}, {cpu, 1.5, cStart}} {
		value, than, ok := target{work: "x", ours: oursRun, metric: c.metric, than: others}.value(r)
		if !ok || value != c.value || than != c.than {
			t.Errorf("%s: got %v %s %v", c.metric.name, value, than, ok)
		}
	}
}

// Every target names a work, and contenders of that work.
func TestTargets_AreMeasured(t *testing.T) {
	r := make(results)
	for _, s := range sections {
		for _, w := range s.works {
			r[w.name] = make(byContender)
			for _, contender := range w.contenders {
				r[w.name][contender] = figures{rate: 1, cpu: 1}
			}
		}
	}
	for _, goal := range targets {
		if _, _, ok := goal.value(r); !ok {
			t.Errorf("%s, %s: not measured", goal.work, goal.ours)
		}
	}
}

func TestThousands_InsertsCommas(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.8: "1,234,568"} {
		if got := thousands(x); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestContender_UnknownNameIsRefused(t *testing.T) {
	c := contenderFlag()
	if err := c.Set("run,ran"); err == nil || !strings.Contains(err.Error(), `"ran"`) {
		t.Errorf("got %v", err)
	}
}

func TestContender_OnlyChosenContendersAreMeasured(t *testing.T) {
	o := options{contenders: selection{names: []string{oursStart}}}
	for _, s := range sections {
		for _, w := range o.chosen(s) {
			if len(w.contenders) != 1 || w.contenders[0] != oursStart {
				t.Errorf("%s: %v", w.name, w.contenders)
			}
		}
		if s.name == manyName && len(o.chosen(s)) > 0 {
			t.Error("a work without chosen contenders is measured")
		}
	}
}

func TestOnly_TakesTablesAndWorks(t *testing.T) {
	only := onlyFlag()
	if err := only.Set("many,idle250"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sections {
		for _, w := range (options{only: only}).chosen(s) {
			got = append(got, w.name)
		}
	}
	if want := "many500 many1500 many4500 idle250"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
