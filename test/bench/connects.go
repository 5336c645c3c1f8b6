package main

import (
	"fmt"
	"sync/atomic"
)

// together is the number of clients of "connects" that connect at the same time. With few
// clients the delays of the network would limit the rate: Nagle's algorithm of the broker
// and the delayed acknowledgements of TCP.
const together = 100

// connects connects new clients and disconnects them.
func connects(job Job) (Outcome, error) {
	ignore := func(error) {}
	once := func(i int) error {
		c, err := connect(job, Options{ID: fmt.Sprintf("connect-%d", i), OnLost: ignore})
		if err != nil {
			return err
		}
		return c.Disconnect()
	}
	if err := once(-1); err != nil { // this connection also gets the TLS session for the others
		return Outcome{}, err
	}
	resumed.Store(0)
	m := startMeter()
	if err := forAll(job.Count, together, once); err != nil {
		return Outcome{}, err
	}
	o := m.stop(job.Count)
	if n := resumed.Load(); job.Resume && int(n) < job.Count*9/10 {
		return o, fmt.Errorf("only %d of %d TLS sessions were resumed", n, job.Count)
	}
	return o, nil
}

// resumed counts resumed TLS sessions.
var resumed atomic.Int64
