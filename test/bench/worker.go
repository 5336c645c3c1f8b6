package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"time"
)

// Job is a piece of work for a worker process.
type Job struct {
	Contender string
	Kind      string // key of kinds
	Host      string
	Port      int
	CAFile    string // certificate authority; empty without TLS
	Resume    bool   // resume TLS sessions
	Count     int    // messages, or connects
	Size      int    // bytes of a payload
	QoS       byte
	Window    int    // limit of messages that have not arrived or are not acknowledged
	InFlight  int    // limit of messages in flight, for the library; 0 is its default
	Topic     string // topic that processes or clients share
	Clients   int    // number of clients
	Profile   string // file for a CPU profile
}

// Outcome is the result of a worker, printed as a line of JSON.
type Outcome struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"` // from the first message to the last
	Mallocs float64 `json:"mallocs"` // allocations of Go in this time

	P50 float64 `json:"p50"` // round trip in microseconds
	P99 float64 `json:"p99"`

	Clients        int     `json:"clients"` // clients that received their message
	WakeSeconds    float64 `json:"wakeSeconds"`
	ConnectSeconds float64 `json:"connectSeconds"`
	BaseRSS        int64   `json:"baseRSS"`
	RSS            int64   `json:"rss"`
	Threads        int     `json:"threads"`
	Goroutines     int     `json:"goroutines"`
	Descriptors    int     `json:"descriptors"`
}

// patience is how long a worker waits for a message before it reports it as lost.
const patience = 30 * time.Second

// fail ends a worker with an error.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func runWorker(encoded string) {
	var job Job
	if err := json.Unmarshal([]byte(encoded), &job); err != nil {
		fail(err)
	}
	if job.CAFile != "" {
		if err := prepareTLS(job); err != nil {
			fail(err)
		}
	}
	if job.Profile != "" {
		f, err := os.Create(job.Profile)
		if err != nil {
			fail(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			fail(err)
		}
	}
	outcome, err := kinds[job.Kind](job)
	if err != nil {
		fail(err)
	}
	if job.Profile != "" {
		pprof.StopCPUProfile()
	}
	report(outcome)
	os.Exit(0) // without a DISCONNECT, which is not part of any work
}

func report(o Outcome) {
	line, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// kinds are the kinds of jobs. The C worker has some of them.
var kinds = map[string]func(Job) (Outcome, error){
	"receive": receive, "publish": publish, "awaited": awaited, "latency": latency,
	"both-ends": bothEnds, "publisher": publisher, "subscriber": subscriber,
	"connects": connects, "many": many, "wake": wake, "restart": restart, "idle": idle,
}

// connect creates a client and connects it. By default a lost connection ends the worker.
func connect(job Job, o Options) (Client, error) {
	c := find(job.Contender).new()
	o.Host, o.Port, o.InFlight = job.Host, job.Port, job.InFlight
	if job.CAFile != "" {
		o.CAFile, o.TLS = job.CAFile, tlsConfig(job.Host)
	}
	if o.OnLost == nil {
		o.OnLost = fail
	}
	return c, c.Connect(o)
}

// meter measures time and allocations.
type meter struct {
	started time.Time
	mallocs uint64
}

func startMeter() meter {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return meter{time.Now(), m.Mallocs}
}

func (m meter) stop(count int) Outcome {
	elapsed := time.Since(m.started)
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return Outcome{Count: count, Seconds: elapsed.Seconds(), Mallocs: float64(now.Mallocs - m.mallocs)}
}

// arrivals counts messages until all have arrived.
type arrivals struct {
	n, wanted int64
	all       chan struct{}
}

func expect(n int) *arrivals { return &arrivals{wanted: int64(n), all: make(chan struct{})} }

func (a *arrivals) add([]byte) {
	if atomic.AddInt64(&a.n, 1) == a.wanted {
		close(a.all)
	}
}

// await returns an error if no message arrives for the time of patience.
func (a *arrivals) await() error {
	for last := int64(-1); ; {
		select {
		case <-a.all:
			return nil
		case <-time.After(patience):
		}
		n := atomic.LoadInt64(&a.n)
		if n == last {
			return fmt.Errorf("only %d of %d messages arrived", n, a.wanted)
		}
		last = n
	}
}

func receive(job Job) (Outcome, error) {
	a := expect(job.Count)
	c, err := connect(job, Options{ID: "receive", OnMessage: a.add})
	if err != nil {
		return Outcome{}, err
	}
	m := startMeter()
	if err := c.Subscribe(fmt.Sprintf("flood/%d/%d", job.Size, job.Count), 0); err != nil {
		return Outcome{}, err
	}
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	return m.stop(job.Count), nil
}

func publish(job Job) (Outcome, error) {
	a := expect(1)
	c, err := connect(job, Options{ID: "publish", Window: job.Window, OnMessage: a.add})
	if err != nil {
		return Outcome{}, err
	}
	if err := c.Subscribe(fmt.Sprintf("count/%d", job.Count), 0); err != nil {
		return Outcome{}, err
	}
	payload := make([]byte, job.Size)
	m := startMeter()
	if job.QoS > 0 {
		if err := c.SendAll("bench/topic", payload, job.Count); err != nil {
			return Outcome{}, err
		}
		return m.stop(job.Count), nil
	}
	for range job.Count {
		if err := c.Send("bench/topic", payload, 0); err != nil {
			return Outcome{}, err
		}
	}
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	return m.stop(job.Count), nil
}

// warmup is the number of round trips that are not counted.
const warmup = 200

// latency sends one message at a time and waits until it is echoed.
func latency(job Job) (Outcome, error) {
	if job.Contender == oursInside {
		return latencyInside(job)
	}
	back := make(chan struct{}, 1)
	c, topic, err := connectEcho(job, func([]byte) { back <- struct{}{} })
	if err != nil {
		return Outcome{}, err
	}
	payload := make([]byte, job.Size)
	times := make([]float64, 0, job.Count)
	lost := time.NewTimer(patience) // for all messages
	for i := range warmup + job.Count {
		started := time.Now()
		if err := c.Send(topic, payload, 0); err != nil {
			return Outcome{}, err
		}
		select {
		case <-back:
		case <-lost.C:
			return Outcome{}, fmt.Errorf("message %d was not echoed", i)
		}
		if i >= warmup {
			times = append(times, float64(time.Since(started))/1e3)
		}
	}
	return percentiles(times), nil
}

// latencyInside is latency for a client that publishes inside its callback.
func latencyInside(job Job) (Outcome, error) {
	var c Client
	var topic string
	var err error
	payload := make([]byte, job.Size)
	times := make([]float64, 0, warmup+job.Count)
	ended := make(chan error, 1)
	started := time.Now()
	c, topic, err = connectEcho(job, func([]byte) {
		times = append(times, float64(time.Since(started))/1e3)
		if len(times) == cap(times) {
			ended <- nil
			return
		}
		started = time.Now()
		if err := c.Send(topic, payload, 0); err != nil {
			ended <- err
		}
	})
	if err != nil {
		return Outcome{}, err
	}
	if err := c.Send(topic, payload, 0); err != nil {
		return Outcome{}, err
	}
	select {
	case err := <-ended:
		return percentiles(times[warmup:]), err
	case <-time.After(patience):
		return Outcome{}, fmt.Errorf("a message was not echoed")
	}
}

// connectEcho connects and subscribes a client to a topic of its own.
func connectEcho(job Job, onMessage func([]byte)) (c Client, topic string, err error) {
	topic = fmt.Sprintf("echo/%d", os.Getpid())
	c, err = connect(job, Options{ID: topic, NoDelay: true, OnMessage: onMessage})
	if err == nil {
		err = c.Subscribe(topic, 0)
	}
	return c, topic, err
}

func percentiles(times []float64) Outcome {
	slices.Sort(times)
	return Outcome{Count: len(times), P50: times[len(times)/2], P99: times[len(times)*99/100]}
}

// settled returns the resident memory without memory that Go could release.
func settled() int64 {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // the second call frees stacks and finalizers
	s := statusOf(os.Getpid())
	return s.rss
}
