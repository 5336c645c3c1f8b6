package main

import (
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// restart connects and subscribes clients, and reports it. Then the benchmark restarts
// the broker. The worker reports again when all clients are subscribed again. A client is
// subscribed when it receives the retained message of the topic.
func restart(job Job) (Outcome, error) {
	first, again := expect(job.Clients), expect(job.Clients)
	received := make([]atomic.Int32, job.Clients)
	clients := make([]Client, job.Clients)
	ignore := func(error) {}
	err := forAll(job.Clients, connectors, func(i int) error {
		var err error
		clients[i], err = connect(job, Options{
			ID: fmt.Sprintf("restart-%d", i), Many: true, Always: job.Topic, OnLost: ignore,
			OnMessage: func(b []byte) {
				switch received[i].Add(1) {
				case 1:
					first.add(b)
				case 2:
					again.add(b)
				}
			},
		})
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	if err := first.await(); err != nil {
		return Outcome{}, err
	}
	report(Outcome{Clients: job.Clients})
	if err := again.await(); err != nil {
		return Outcome{}, err
	}
	report(Outcome{Clients: job.Clients, Count: job.Clients})
	waitForEnd()
	runtime.KeepAlive(clients)
	return Outcome{}, nil
}

// restart measures how long the clients of a worker need after a restart of the broker,
// and the CPU time of the worker from the end of the broker until then.
func (b *bench) restart(job Job) (m measurement, err error) {
	if err := publishRetained(b.broker.ports.plain, job.Topic); err != nil {
		return m, err
	}
	p, err := b.start(job)
	if err != nil {
		return m, err
	}
	defer p.stop()
	if _, err := p.next(); err != nil {
		return m, err
	}
	before := cpuOf(p.pid())
	b.broker.kill()
	time.Sleep(seconds(b.down))
	started := time.Now()
	if err := b.broker.start(); err != nil {
		return m, err
	}
	if err := publishRetained(b.broker.ports.plain, job.Topic); err != nil {
		return m, err
	}
	if m.Outcome, err = p.next(); err != nil {
		return m, err
	}
	m.Seconds = time.Since(started).Seconds()
	m.cpu = cpuOf(p.pid()) - before
	return m, nil
}

// publishRetained publishes a retained message and returns when the broker has it.
func publishRetained(port int, topic string) error {
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'r'}
	message := (&peerConn{}).message(topic, []byte("x"))
	message[0] |= 1 // retain
	ping := []byte{0xc0, 0}
	if _, err := conn.Write(append(append(connect, message...), ping...)); err != nil {
		return err
	}
	replies := make([]byte, 4+2) // CONNACK and PINGRESP
	for n := 0; n < len(replies); {
		k, err := conn.Read(replies[n:])
		if err != nil {
			return fmt.Errorf("retained message: %w", err)
		}
		n += k
	}
	return nil
}
