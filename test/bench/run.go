package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bench is a run of the benchmark.
type bench struct {
	scale
	self     string // path of this program, for workers and the peer
	cWorker  string
	peer     int // ports
	broker   int
	profiles string // folder, or ""
	progress *progress
}

// measurement is a worker's outcome and the CPU time of its process.
type measurement struct {
	Outcome
	cpu time.Duration // user and system, as wait4 reports it for the child
}

// figures are the medians of a contender's runs.
type figures struct {
	rate      float64 // messages a second
	cpu       float64 // microseconds a message
	allocs    float64 // a message
	p50, p99  float64
	hasAllocs bool // true for contenders in Go
}

// byContender holds the figures of each contender.
type byContender map[string]figures

// limit is the time limit of a worker. Workers give up earlier by themselves.
const limit = 90 * time.Second

// command returns the command that runs a job.
func (b *bench) command(ctx context.Context, job Job) *exec.Cmd {
	var cmd *exec.Cmd
	if inC(job.Contender) {
		_, mode, _ := strings.Cut(job.Contender, "loop_")
		cmd = exec.CommandContext(ctx, b.cWorker, mode, job.Kind, job.Host, strconv.Itoa(job.Port),
			strconv.Itoa(job.Count), strconv.Itoa(job.Size), strconv.Itoa(int(job.QoS)),
			strconv.Itoa(job.Window), strconv.Itoa(job.Clients))
	} else {
		encoded, err := json.Marshal(job)
		if err != nil {
			panic(err)
		}
		cmd = exec.CommandContext(ctx, b.self, workerArgument, string(encoded))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *bench) job(w work, contender string) Job {
	job := Job{Contender: contender, Kind: w.kind, Host: "127.0.0.1", Port: b.peer, Size: w.size, QoS: w.qos, Window: w.window}
	if w.broker {
		job.Port = b.broker
	}
	if b.profiles != "" && (contender == oursRun || contender == oursStart) {
		_, loop, _ := strings.Cut(contender, ", ")
		job.Profile = filepath.Join(b.profiles, w.name+"-"+loop+".pprof")
	}
	return job
}

// measure runs a job in a worker.
func (b *bench) measure(job Job) (m measurement, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := b.command(ctx, job)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return m, fmt.Errorf("%s, %s: %w: %s", job.Contender, job.Kind, err, strings.TrimSpace(said.String()))
	}
	if err := json.Unmarshal(out, &m.Outcome); err != nil {
		return m, fmt.Errorf("%s, %s: %q: %w", job.Contender, job.Kind, out, err)
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return m, nil
}

// rounds runs all contenders in turn, several times. So a temporary slowdown of the
// machine affects all of them.
func (b *bench) rounds(w work, job func(contender string) Job) (map[string][]measurement, error) {
	all := make(map[string][]measurement)
	for range b.runs {
		for _, contender := range w.contenders {
			b.progress.step(w.title + ": " + contender)
			m, err := b.measure(job(contender))
			if err != nil {
				return nil, err
			}
			all[contender] = append(all[contender], m)
		}
	}
	return all, nil
}

// throughput measures messages per second. The first run is not counted: it only
// determines how many messages are needed.
func (b *bench) throughput(w work) (byContender, error) {
	counts := make(map[string]int)
	for _, contender := range w.contenders {
		b.progress.step(w.title + ": " + contender)
		job := b.job(w, contender)
		job.Count = w.least / b.divisor
		m, err := b.measure(job)
		if err != nil {
			return nil, err
		}
		wanted := int(b.seconds * float64(m.Count) / m.Seconds)
		counts[contender] = min(max(wanted, job.Count), w.most/b.divisor)
	}
	all, err := b.rounds(w, func(contender string) Job {
		job := b.job(w, contender)
		job.Count = counts[contender]
		return job
	})
	return summary(all), err
}

func (b *bench) latency(w work) (byContender, error) {
	all, err := b.rounds(w, func(contender string) Job {
		job := b.job(w, contender)
		job.Count = b.roundTrips
		return job
	})
	return summary(all), err
}

func summary(all map[string][]measurement) byContender {
	result := make(byContender)
	for contender, ms := range all {
		result[contender] = figures{
			rate:      median(ms, func(m measurement) float64 { return float64(m.Count) / m.Seconds }),
			cpu:       median(ms, func(m measurement) float64 { return float64(m.cpu) / 1e3 / float64(m.Count) }),
			allocs:    median(ms, func(m measurement) float64 { return m.Mallocs / float64(m.Count) }),
			p50:       median(ms, func(m measurement) float64 { return m.P50 }),
			p99:       median(ms, func(m measurement) float64 { return m.P99 }),
			hasAllocs: !inC(contender),
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

// crowdFigures are the medians of a number of clients in one process.
type crowdFigures struct {
	contender   string
	clients     int
	connect     float64 // seconds
	cpu         float64 // microseconds a client
	rss         float64 // bytes a client
	threads     int     // largest number that was seen
	goroutines  int
	descriptors int
}

func (b *bench) many(w work, clients int) (rows []crowdFigures, err error) {
	all, err := b.rounds(w, func(contender string) Job {
		job := b.job(w, contender)
		job.Clients = clients
		return job
	})
	for _, contender := range w.contenders {
		ms := all[contender]
		if len(ms) == 0 {
			break
		}
		row := crowdFigures{
			contender: contender, clients: clients,
			connect: median(ms, func(m measurement) float64 { return m.ConnectSeconds }),
			cpu:     median(ms, func(m measurement) float64 { return float64(m.cpu) / 1e3 / float64(m.Clients) }),
			rss:     median(ms, func(m measurement) float64 { return float64(m.RSS-m.BaseRSS) / float64(m.Clients) }),
		}
		for _, m := range ms {
			row.threads = max(row.threads, m.Threads)
			row.goroutines = max(row.goroutines, m.Goroutines)
			row.descriptors = max(row.descriptors, m.Descriptors)
		}
		rows = append(rows, row)
	}
	return rows, err
}

// idleFigures are the figures of a process with idle clients.
type idleFigures struct {
	idler
	rss        float64 // bytes a client
	threads    int
	goroutines int
	cpu        float64 // percent of a core
}

// idle watches all processes at the same time: they use hardly any CPU, and each
// measurement lasts as long as a keepalive.
func (b *bench) idle() ([]idleFigures, error) {
	var rows []idleFigures
	var pids []int
	for _, i := range b.idlers {
		b.progress.step(fmt.Sprintf("Idle: %s, %d clients", i.contender, i.clients))
		job := b.job(work{name: idleName, kind: "idle"}, i.contender)
		job.Clients, job.Profile = i.clients, ""
		o, pid, stop, err := b.startIdle(job)
		if err != nil {
			return nil, err
		}
		defer stop()
		pids = append(pids, pid)
		rows = append(rows, idleFigures{
			idler: i, goroutines: o.Goroutines,
			rss: float64(o.RSS-o.BaseRSS) / float64(o.Clients),
		})
	}
	b.progress.step("Idle: watching")
	time.Sleep(seconds(b.settle))
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = cpuOf(pid)
	}
	started := time.Now()
	b.progress.wait(seconds(b.watch))
	for i, pid := range pids {
		used := cpuOf(pid) - before[i]
		rows[i].cpu = 100 * float64(used) / float64(time.Since(started))
		rows[i].threads = statusOf(pid).threads
		if rows[i].threads == 0 {
			return nil, fmt.Errorf("%s: its process with idle clients has ended", rows[i].contender)
		}
	}
	return rows, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// startIdle starts a worker with idle clients, and returns when they are connected.
func (b *bench) startIdle(job Job) (o Outcome, pid int, stop func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := b.command(ctx, job)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return o, 0, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return o, 0, nil, err
	}
	stop = func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		cancel()
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		stop()
		return o, 0, nil, fmt.Errorf("%s, %d idle clients: %w", job.Contender, job.Clients, err)
	}
	return o, cmd.Process.Pid, stop, nil
}
