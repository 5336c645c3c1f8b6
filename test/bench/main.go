// Command bench compares this module with C programs on libmosquitto and with MQTT
// clients that are written in Go. It writes docs/bench.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The first arguments of the worker's and the peer's processes.
const (
	workerArgument = "worker"
	peerArgument   = "peer"
)

func main() {
	if otherLife(os.Args) {
		return
	}
	var o options
	flag.BoolVar(&o.quick, "quick", false, "a short run to test the benchmark; its figures mean nothing")
	flag.StringVar(&o.only, "only", "", "measure only this work: "+strings.Join(names(), ", "))
	flag.Var(&o.contenders, "contender", "measure only these contenders, separated by commas: "+shortNames())
	flag.IntVar(&o.runs, "runs", 0, "runs of each work and contender (default 5, with -quick 1)")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU profiles of our workers, for go tool pprof")
	flag.StringVar(&o.out, "out", "", "folder for the page and the chart; by default they are not written")
	flag.StringVar(&o.name, "name", "bench", "name of the page and the chart")
	flag.Parse()
	if flag.NArg() > 0 || o.only != "" && !slices.Contains(names(), o.only) || o.runs < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// otherLife runs a worker or the peer if the arguments ask for one.
func otherLife(args []string) bool {
	switch {
	case len(args) == 3 && args[1] == workerArgument:
		runWorker(args[2])
	case len(args) == 2 && args[1] == peerArgument:
		if err := servePeer(); err != nil {
			fail(err)
		}
	default:
		return false
	}
	return true
}

// names returns the values of -only.
func names() (list []string) {
	for _, w := range slices.Concat(throughputs, latencies) {
		list = append(list, w.name)
	}
	return append(list, idleName, manyWork.name)
}

type options struct {
	quick      bool
	only       string
	contenders choice
	runs       int
	profiles   string
	out        string
	name       string
}

// results are all measured figures.
type results struct {
	throughput map[string]byContender // by the name of the work
	latency    map[string]byContender
	idle       []idleFigures
	many       []crowdFigures
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
	p := newPage(r, b.scale, o.quick)
	p.print(os.Stdout)
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
	b.idlers = slices.DeleteFunc(slices.Clone(b.idlers), func(i idler) bool { return len(o.contenders.of([]string{i.contender})) == 0 })
	if err := raiseLimit(); err != nil {
		return nil, nil, err
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	if b.cWorker, err = compile(dir); err != nil {
		return nil, nil, err
	}
	port, stopPeer, err := startPeer(b.self)
	if err != nil {
		return nil, nil, err
	}
	b.peer = port
	port, stopBroker, err := startBroker(dir)
	if err != nil {
		stopPeer()
		return nil, nil, err
	}
	b.broker = port
	b.progress = newProgress(o.steps(b.scale))
	return b, func() { stopBroker(); stopPeer() }, nil
}

func (o options) wants(name string) bool { return o.only == "" || o.only == name }

// chosen returns the works of a list that are wanted, with their chosen contenders.
func (o options) chosen(list []work) (chosen []work) {
	for _, w := range list {
		w.contenders = o.contenders.of(w.contenders)
		if o.wants(w.name) && len(w.contenders) > 0 {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// steps returns the number of progress steps.
func (o options) steps(s scale) (n int) {
	for _, w := range o.chosen(throughputs) {
		n += (s.runs + 1) * len(w.contenders)
	}
	for _, w := range o.chosen(latencies) {
		n += s.runs * len(w.contenders)
	}
	for _, w := range o.chosen([]work{manyWork}) {
		n += len(s.crowd) * s.runs * len(w.contenders)
	}
	if o.wants(idleName) {
		n += len(s.idlers) + 1 + waitSteps
	}
	return n
}

func (o options) measure(b *bench) (r results, err error) {
	r.throughput, r.latency = make(map[string]byContender), make(map[string]byContender)
	for _, w := range o.chosen(throughputs) {
		if r.throughput[w.name], err = b.throughput(w); err != nil {
			return r, err
		}
	}
	for _, w := range o.chosen(latencies) {
		if r.latency[w.name], err = b.latency(w); err != nil {
			return r, err
		}
	}
	for _, w := range o.chosen([]work{manyWork}) {
		for _, clients := range b.crowd {
			rows, err := b.many(w, clients)
			if err != nil {
				return r, err
			}
			r.many = append(r.many, rows...)
		}
	}
	if o.wants(idleName) && len(b.idlers) > 0 {
		r.idle, err = b.idle()
	}
	return r, err
}
