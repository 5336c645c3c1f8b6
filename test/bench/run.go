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
	ca       string // file
	peer     ports
	broker   *broker
	profiles string // folder, or ""
	progress *progress
	repeated []string // runs that failed, and were repeated
}

// measurement is a worker's outcome and the CPU time of its process.
type measurement struct {
	Outcome
	cpu time.Duration // user and system, as wait4 reports it for the child
}

// limit is the time limit of a worker. Workers give up earlier by themselves.
const limit = 90 * time.Second

// command returns the command that runs a job.
func (b *bench) command(ctx context.Context, job Job) *exec.Cmd {
	var cmd *exec.Cmd
	if inC(job.Contender) {
		_, mode, _ := strings.Cut(job.Contender, "loop_")
		cmd = exec.CommandContext(ctx, b.cWorker, mode, job.Kind, job.Host, strconv.Itoa(job.Port),
			strconv.Itoa(job.Count), strconv.Itoa(job.Size), strconv.Itoa(int(job.QoS)),
			strconv.Itoa(job.Window), strconv.Itoa(job.InFlight), strconv.Itoa(job.Clients), job.CAFile, job.Topic)
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
	job := Job{
		Contender: contender, Kind: w.kind, Host: "127.0.0.1", Port: b.peer.of(w), Resume: w.resume,
		Size: w.size, QoS: w.qos, Window: w.window, InFlight: w.inFlight, Topic: "bench/" + w.kind,
		Count: w.count, Clients: max(w.clients/b.fewer, min(w.clients, 1)),
	}
	if w.broker {
		job.Port = b.broker.ports.of(w)
	}
	if w.tls {
		job.CAFile = b.ca
	}
	if c := find(contender); b.profiles != "" && c.class == "ours" {
		job.Profile = filepath.Join(b.profiles, w.name+"-"+c.short+".pprof")
	}
	return job
}

// measure runs a job. Some kinds of jobs need more than a worker.
func (b *bench) measure(job Job) (m measurement, err error) {
	switch job.Kind {
	case "publisher":
		m, err = b.threeProcesses(job)
	case "restart":
		m, err = b.restart(job)
	default:
		m, err = b.worker(job)
	}
	if err != nil {
		err = fmt.Errorf("%s, %s: %w", job.Contender, job.Kind, err)
	}
	return m, err
}

// measureTwice is measure with a second attempt: a client may fail seldom, and then the
// figures of all others would be lost.
func (b *bench) measureTwice(job Job) (measurement, error) {
	m, err := b.measure(job)
	if err == nil {
		return m, nil
	}
	b.repeated = append(b.repeated, err.Error())
	return b.measure(job)
}

// worker runs a job in a worker process. The process inherits files as file descriptors 3
// and above.
func (b *bench) worker(job Job, files ...*os.File) (m measurement, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := b.command(ctx, job)
	cmd.ExtraFiles = files
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return m, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(out, &m.Outcome); err != nil {
		return m, fmt.Errorf("%q: %w", out, err)
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return m, nil
}

// process is a worker that runs beside the benchmark, until it is stopped.
type process struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	stop func() // closes the input of the worker and waits until it ends
}

func (b *bench) start(job Job, files ...*os.File) (*process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	p := &process{cmd: b.command(ctx, job)}
	p.cmd.Stderr, p.cmd.ExtraFiles = os.Stderr, files
	in, err := p.cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	p.out = bufio.NewReader(out)
	p.stop = func() {
		in.Close()
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.cmd.Wait()
		cancel()
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// next returns the next outcome that the worker reports.
func (p *process) next() (o Outcome, err error) {
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	return o, err
}

// cpu returns the CPU time of a worker that has ended.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// threeProcesses runs a publisher and a subscriber beside the broker, and adds their CPU
// times and allocations.
func (b *bench) threeProcesses(job Job) (m measurement, err error) {
	out, in, err := os.Pipe() // for credits
	if err != nil {
		return m, err
	}
	defer out.Close()
	other := job
	other.Kind, other.Profile = "subscriber", ""
	p, err := b.start(other, in)
	in.Close()
	if err != nil {
		return m, err
	}
	defer p.stop()
	if _, err := p.next(); err != nil { // the subscriber is ready
		return m, err
	}
	if m, err = b.worker(job, out); err != nil {
		return m, err
	}
	o, err := p.next()
	if err != nil {
		return m, err
	}
	p.stop()
	m.Mallocs += o.Mallocs
	m.cpu += p.cpu()
	return m, nil
}

// work measures a work with all its contenders in turn, several times. So a temporary
// slowdown of the machine affects all of them.
func (b *bench) work(title string, w work) (byContender, error) {
	counts := make(map[string]int)
	for _, contender := range w.contenders {
		if w.least > 0 {
			b.progress.step(title, contender)
		}
		n, err := b.count(w, contender)
		if err != nil {
			return nil, err
		}
		counts[contender] = n
	}
	all := make(map[string][]measurement)
	for range b.runsOf(w) {
		for _, contender := range w.contenders {
			b.progress.step(title, contender)
			job := b.job(w, contender)
			job.Count = counts[contender]
			m, err := b.measureTwice(job)
			if err != nil {
				return nil, err
			}
			all[contender] = append(all[contender], m)
		}
	}
	return summary(all), nil
}

// count returns the number of messages of a run. A run that is not counted determines how
// many messages are needed.
func (b *bench) count(w work, contender string) (int, error) {
	job := b.job(w, contender)
	if w.least == 0 {
		return max(1, job.Count/b.divisor), nil
	}
	job.Count = w.least / b.divisor
	m, err := b.measureTwice(job)
	if err != nil {
		return 0, err
	}
	wanted := int(b.seconds * float64(m.Count) / m.Seconds)
	return min(max(wanted, job.Count), w.most/b.divisor), nil
}
