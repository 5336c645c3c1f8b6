// Command bench compares this module with C programs on libmosquitto and with MQTT
// clients that are written in Go. With -out it writes a page and a chart, such as
// docs/bench.md and docs/bench.svg.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The first arguments of the worker's and the peer's processes.
const (
	workerArgument = "worker"
	peerArgument   = "peer"
)

func main() {
	if runChild(os.Args) {
		return
	}
	o := options{only: onlyFlag(), contenders: contenderFlag()}
	flag.BoolVar(&o.quick, "quick", false, "a short run to test the benchmark; its figures mean nothing")
	flag.Var(&o.only, "only", "measure only these tables or works, separated by commas: "+strings.Join(names(), ", "))
	flag.Var(&o.contenders, "contender", "measure only these contenders, separated by commas: "+shortNames())
	flag.IntVar(&o.runs, "runs", 0, "runs of each work and contender (default 3, with -quick 1)")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU profiles of our workers, for go tool pprof")
	flag.StringVar(&o.out, "out", "", "folder for the page and the chart; by default they are not written")
	flag.StringVar(&o.name, "name", "bench", "name of the page and the chart")
	flag.Parse()
	if flag.NArg() > 0 || o.runs < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runChild runs a worker or the peer if the arguments ask for one.
func runChild(args []string) bool {
	switch {
	case len(args) == 3 && args[1] == workerArgument:
		runWorker(args[2])
	case len(args) == 4 && args[1] == peerArgument:
		if err := servePeer(args[2], args[3]); err != nil {
			fail(err)
		}
	default:
		return false
	}
	return true
}

// names returns the values of -only.
func names() (list []string) {
	for _, s := range sections {
		list = append(list, s.name)
		for _, w := range s.works {
			if w.name != s.name {
				list = append(list, w.name)
			}
		}
	}
	return list
}

type options struct {
	quick      bool
	only       selection
	contenders selection
	runs       int
	profiles   string
	out        string
	name       string
}

func (o options) run() error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, stop, err := o.prepare(dir)
	if err != nil {
		return err
	}
	defer stop()
	r, err := o.measure(b)
	b.progress.clear()
	if err != nil {
		return err
	}
	elapsed := time.Since(b.progress.started)
	p := newPage(r, b, o.quick, elapsed)
	p.print(os.Stdout)
	fmt.Printf("\nElapsed: %s\n", elapsed.Round(time.Second))
	if o.out == "" {
		return nil
	}
	page := filepath.Join(o.out, o.name+".md")
	chart := filepath.Join(o.out, o.name+".svg")
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	fmt.Printf("\nWritten: %s, %s\n", page, chart)
	return errors.Join(
		os.WriteFile(page, p.markdown(o.name+".svg"), 0o644),
		os.WriteFile(chart, r.chart(p.host), 0o644))
}

// prepare compiles the worker in C and starts the peer and the broker.
func (o options) prepare(dir string) (b *bench, stop func(), err error) {
	b = &bench{scale: full}
	if o.quick {
		b.scale = quick
	}
	if o.runs > 0 {
		b.runs = o.runs
	}
	if o.profiles != "" {
		if b.profiles, err = filepath.Abs(o.profiles); err == nil {
			err = os.MkdirAll(b.profiles, 0o755)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if err := raiseLimit(); err != nil {
		return nil, nil, err
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	if b.cWorker, err = compile(dir); err != nil {
		return nil, nil, err
	}
	files, err := makeCertificates(dir)
	if err != nil {
		return nil, nil, err
	}
	b.ca = files.ca
	var stopPeer func()
	if b.peer, stopPeer, err = startPeer(b.self, files); err != nil {
		return nil, nil, err
	}
	if b.broker, err = startBroker(dir, files); err != nil {
		stopPeer()
		return nil, nil, err
	}
	b.progress = newProgress(o.steps(b.scale))
	return b, func() { b.broker.kill(); stopPeer() }, nil
}

// chosen returns the works of a section that are wanted, with their chosen contenders.
func (o options) chosen(s section) (chosen []work) {
	for _, w := range s.works {
		w.contenders = slices.DeleteFunc(slices.Clone(w.contenders), func(name string) bool { return !o.contenders.has(name) })
		if (o.only.has(s.name) || o.only.has(w.name)) && len(w.contenders) > 0 {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// steps returns the number of progress steps.
func (o options) steps(scale scale) (n int) {
	for _, s := range sections {
		works := o.chosen(s)
		for _, w := range works {
			runs := scale.runsOf(w)
			switch {
			case s.name == idleName:
				runs = 1
			case w.least > 0:
				runs++
			}
			n += runs * len(w.contenders)
		}
		if s.name == idleName && len(works) > 0 {
			n += 1 + waitSteps
		}
	}
	return n
}

func (o options) measure(b *bench) (results, error) {
	r := make(results)
	for _, s := range sections {
		works := o.chosen(s)
		if s.name == idleName && len(works) > 0 {
			idle, err := b.idle(works)
			if err != nil {
				return r, err
			}
			maps.Copy(r, idle)
			continue
		}
		for _, w := range works {
			figures, err := b.work(s.title, w)
			if err != nil {
				return r, err
			}
			r[w.name] = figures
		}
	}
	return r, nil
}
