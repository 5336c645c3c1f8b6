package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// connectors is the number of clients of "many" and "restart" that connect or publish at
// the same time.
const connectors = 8

// many connects and subscribes clients, and each client sends one message to itself.
func many(job Job) (Outcome, error) {
	base := settled()
	clients := make([]Client, job.Clients)
	arrived := make([]atomic.Int32, job.Clients)
	a := expect(job.Clients)
	topic := func(i int) string { return fmt.Sprintf("many/%d/%d", os.Getpid(), i) }
	started := time.Now()
	err := forAll(job.Clients, connectors, func(i int) (err error) {
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
	if err := forAll(job.Clients, connectors, func(i int) error { return clients[i].Send(topic(i), payload, 0) }); err != nil {
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

// forAll calls f for 0 to n-1 on a number of goroutines.
func forAll(n, goroutines int, f func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, goroutines)
	for range goroutines {
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
