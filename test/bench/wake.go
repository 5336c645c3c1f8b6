package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// wakeConnectors is the number of clients of "wake" that connect at the same time.
const wakeConnectors = 200

// wake connects and subscribes clients. Then one message is sent to all of them. It
// reports the peak number of threads.
func wake(job Job) (Outcome, error) {
	stop := watchThreads()
	a := expect(job.Clients)
	clients := make([]Client, job.Clients)
	started := time.Now()
	err := forAll(job.Clients, wakeConnectors, func(i int) (err error) {
		clients[i], err = connect(job, Options{ID: fmt.Sprintf("wake-%d", i), Many: true, OnMessage: a.add})
		if err != nil {
			return err
		}
		return clients[i].Subscribe(job.Topic, 0)
	})
	if err != nil {
		return Outcome{}, err
	}
	connected := time.Now()
	if err := clients[0].Send(job.Topic, make([]byte, job.Size), 0); err != nil {
		return Outcome{}, err
	}
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	o := Outcome{
		Clients: job.Clients, Count: job.Clients, ConnectSeconds: connected.Sub(started).Seconds(),
		Seconds: time.Since(started).Seconds(), WakeSeconds: time.Since(connected).Seconds(),
	}
	o.Threads = stop()
	runtime.KeepAlive(clients)
	return o, nil
}

// watchThreads reads the number of threads of this process every few milliseconds. The
// returned function stops it and returns the peak.
func watchThreads() (stop func() int) {
	var peak atomic.Int64
	look := func() { peak.Store(max(peak.Load(), int64(statusOf(os.Getpid()).threads))) }
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				look()
			case <-done:
				return
			}
		}
	}()
	return func() int {
		close(done)
		<-ended
		look()
		return int(peak.Load())
	}
}
