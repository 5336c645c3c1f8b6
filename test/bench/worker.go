package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Job is a piece of work for a worker process.
type Job struct {
	Contender string
	Kind      string // receive, publish, both-ends, latency, idle, many
	Host      string
	Port      int
	Count     int // messages
	Size      int // bytes of a payload
	QoS       byte
	Window    int    // limit of messages in flight
	Clients   int    // for idle and many
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
	ConnectSeconds float64 `json:"connectSeconds"`
	BaseRSS        int64   `json:"baseRSS"`
	RSS            int64   `json:"rss"`
	Threads        int     `json:"threads"`
	Goroutines     int     `json:"goroutines"`
	Descriptors    int     `json:"descriptors"`
}

// patience is how long a worker waits for a message before it reports it as lost.
const patience = 30 * time.Second

// fail ends a worker with an error. A library that reports a lost connection also ends
// it, because no work closes a connection.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func runWorker(encoded string) {
	var job Job
	if err := json.Unmarshal([]byte(encoded), &job); err != nil {
		fail(err)
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
	kinds := map[string]func(Job) (Outcome, error){
		"receive": receive, "publish": publish, "both-ends": bothEnds, "awaited": awaited,
		"latency": latency, "idle": idle, "many": many,
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

// connect creates a client and connects it.
func connect(job Job, o Options) (Client, error) {
	c := find(job.Contender).new()
	o.Host, o.Port = job.Host, job.Port
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

// bothEnds publishes and receives through the broker, with a limit of messages in
// flight.
func bothEnds(job Job) (Outcome, error) {
	topic := fmt.Sprintf("bench/%d", os.Getpid())
	r := newRoom(job.Window)
	a := expect(job.Count)
	subscriber, err := connect(job, Options{ID: topic + "s", Window: job.Window, OnMessage: func(b []byte) {
		a.add(b)
		r.leave()
	}})
	if err != nil {
		return Outcome{}, err
	}
	publisher, err := connect(job, Options{ID: topic + "p", Window: job.Window})
	if err != nil {
		return Outcome{}, err
	}
	if err := subscriber.Subscribe(topic, job.QoS); err != nil {
		return Outcome{}, err
	}
	payload := make([]byte, job.Size)
	m := startMeter()
	sent := make(chan error, 1)
	go func() {
		for range job.Count {
			r.enter()
			if err := publisher.Send(topic, payload, job.QoS); err != nil {
				fail(err)
			}
		}
		sent <- nil
	}()
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	return m.stop(job.Count), <-sent
}

// latency sends one message at a time and waits until it is echoed.
func latency(job Job) (Outcome, error) {
	const warmup = 200
	topic := fmt.Sprintf("echo/%d", os.Getpid())
	back := make(chan struct{}, 1)
	c, err := connect(job, Options{ID: topic, NoDelay: true, OnMessage: func([]byte) { back <- struct{}{} }})
	if err != nil {
		return Outcome{}, err
	}
	if err := c.Subscribe(topic, 0); err != nil {
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
	slices.Sort(times)
	return Outcome{Count: job.Count, P50: times[len(times)/2], P99: times[len(times)*99/100]}, nil
}

// idle connects clients, reports them, and waits while the benchmark watches.
func idle(job Job) (Outcome, error) {
	const first = 10 // these clients load the code and the memory of the runtime
	clients := make([]Client, 0, first+job.Clients)
	var base int64
	for i := range first + job.Clients {
		if i == first {
			base = settled()
		}
		c, err := connect(job, Options{ID: fmt.Sprintf("idle-%d-%d", os.Getpid(), i), Many: true})
		if err != nil {
			return Outcome{}, fmt.Errorf("client %d: %w", i, err)
		}
		clients = append(clients, c)
	}
	o := Outcome{Clients: job.Clients, BaseRSS: base, RSS: settled(), Goroutines: runtime.NumGoroutine()}
	report(o)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the benchmark closes the input
	runtime.KeepAlive(clients)
	return o, nil
}

// settled returns the resident memory without memory that Go could release.
func settled() int64 {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // the second call frees stacks and finalizers
	s := statusOf(os.Getpid())
	return s.rss
}

// connectors is the number of clients of "many" that connect or publish at the same
// time.
const connectors = 8

// many connects and subscribes clients, and each client sends one message to itself.
func many(job Job) (Outcome, error) {
	base := settled()
	clients := make([]Client, job.Clients)
	arrived := make([]atomic.Int32, job.Clients)
	a := expect(job.Clients)
	topic := func(i int) string { return fmt.Sprintf("many/%d/%d", os.Getpid(), i) }
	started := time.Now()
	err := forAll(job.Clients, func(i int) (err error) {
		clients[i], err = connect(job, Options{ID: topic(i), Many: true, OnMessage: func(b []byte) {
			arrived[i].Add(1)
			a.add(b)
		}})
		if err != nil {
			return err
		}
		return clients[i].Subscribe(topic(i), 0)
	})
	if err != nil {
		return Outcome{}, err
	}
	connected := time.Since(started).Seconds()
	payload := make([]byte, job.Size)
	if err := forAll(job.Clients, func(i int) error { return clients[i].Send(topic(i), payload, 0) }); err != nil {
		return Outcome{}, err
	}
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	o := Outcome{Count: job.Clients, Seconds: time.Since(started).Seconds(), ConnectSeconds: connected, BaseRSS: base}
	for i := range arrived {
		if arrived[i].Load() == 1 {
			o.Clients++
		}
	}
	if o.Clients != job.Clients {
		return o, fmt.Errorf("only %d of %d clients received their message exactly once", o.Clients, job.Clients)
	}
	s := statusOf(os.Getpid())
	o.Threads, o.Descriptors, o.Goroutines = s.threads, descriptorsOf(os.Getpid()), runtime.NumGoroutine()
	o.RSS = s.rss
	runtime.KeepAlive(clients)
	return o, nil
}

// forAll calls f for 0 to n-1 on a few goroutines.
func forAll(n int, f func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, connectors)
	for range connectors {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		}()
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
