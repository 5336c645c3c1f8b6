package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

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
	waitForEnd()
	runtime.KeepAlive(clients)
	return o, nil
}

// idle measures all works and contenders of idle clients at the same time: they use
// hardly any CPU, and each measurement lasts as long as a keepalive.
func (b *bench) idle(works []work) (results, error) {
	r := make(results)
	type row struct {
		p *process
		figures
		work, contender string
	}
	var rows []row
	for _, w := range works {
		for _, contender := range w.contenders {
			b.progress.step("Idle clients", fmt.Sprintf("%s, %d clients", contender, w.clients))
			job := b.job(w, contender)
			job.Profile = ""
			p, err := b.start(job)
			if err != nil {
				return nil, err
			}
			defer p.stop()
			o, err := p.next()
			if err != nil {
				return nil, fmt.Errorf("%s, %d idle clients: %w", contender, w.clients, err)
			}
			n := float64(o.Clients)
			rows = append(rows, row{p, figures{
				clients: n, rss: float64(o.RSS-o.BaseRSS) / n, goroutines: float64(o.Goroutines), hasAllocs: !inC(contender),
			}, w.name, contender})
		}
	}
	b.progress.step("Idle clients", "watching")
	time.Sleep(seconds(b.settle))
	before := make([]time.Duration, len(rows))
	for i, row := range rows {
		before[i] = cpuOf(row.p.pid())
	}
	started := time.Now()
	b.progress.wait(seconds(b.watch))
	for i, row := range rows {
		used := cpuOf(row.p.pid()) - before[i]
		row.share = 100 * float64(used) / float64(time.Since(started))
		if row.threads = float64(statusOf(row.p.pid()).threads); row.threads == 0 {
			return nil, fmt.Errorf("%s: its process with idle clients has ended", row.contender)
		}
		row.descriptors = float64(descriptorsOf(row.p.pid())) / row.clients
		if r[row.work] == nil {
			r[row.work] = make(byContender)
		}
		r[row.work][row.contender] = row.figures
	}
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
