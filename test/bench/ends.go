package main

import (
	"bufio"
	"fmt"
	"os"
)

// bothEnds publishes and receives through the broker, with a limit of messages in
// flight.
func bothEnds(job Job) (Outcome, error) {
	topic := fmt.Sprintf("bench/%d", os.Getpid())
	l := newLimiter(job.Window)
	a := expect(job.Count)
	subscriber, err := connect(job, Options{ID: topic + "s", Window: job.Window, OnMessage: func(b []byte) {
		a.add(b)
		l.leave()
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
	go func() {
		for range job.Count {
			l.enter()
			if err := publisher.Send(topic, payload, job.QoS); err != nil {
				fail(err)
			}
		}
	}()
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	return m.stop(job.Count), nil
}

// In three processes the publisher cannot see how many messages have arrived. The
// subscriber writes a byte to a pipe after each quarter of the window. Credits through the
// broker would be delayed by Nagle's algorithm in the broker.

// creditPipe is the file descriptor of the pipe, in both processes.
const creditPipe = 3

// publisher publishes to a subscriber in another process. The time ends with the last
// credit.
func publisher(job Job) (Outcome, error) {
	c, err := connect(job, Options{ID: "publisher", Window: job.Window})
	if err != nil {
		return Outcome{}, err
	}
	l := newLimiter(job.Window)
	a := expect(job.Count)
	go func() {
		pipe, credit := os.NewFile(creditPipe, "credits"), make([]byte, 1)
		for left := job.Count; left > 0; {
			if _, err := pipe.Read(credit); err != nil {
				fail(err)
			}
			n := min(job.Window/4, left)
			left -= n
			for range n {
				l.leave()
				a.add(nil)
			}
		}
	}()
	payload := make([]byte, job.Size)
	m := startMeter()
	go func() {
		for range job.Count {
			l.enter()
			if err := c.Send(job.Topic, payload, job.QoS); err != nil {
				fail(err)
			}
		}
	}()
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	return m.stop(job.Count), nil
}

// subscriber receives all messages. It reports when it is subscribed, and at the end.
func subscriber(job Job) (Outcome, error) {
	pipe, credit := os.NewFile(creditPipe, "credits"), make([]byte, 1)
	arrived := 0
	a := expect(job.Count)
	c, err := connect(job, Options{ID: "subscriber", Window: job.Window, OnMessage: func(b []byte) {
		if arrived++; arrived%(job.Window/4) == 0 || arrived == job.Count {
			if _, err := pipe.Write(credit); err != nil {
				fail(err)
			}
		}
		a.add(b)
	}})
	if err != nil {
		return Outcome{}, err
	}
	if err := c.Subscribe(job.Topic, job.QoS); err != nil {
		return Outcome{}, err
	}
	report(Outcome{})
	m := startMeter()
	if err := a.await(); err != nil {
		return Outcome{}, err
	}
	report(m.stop(job.Count))
	waitForEnd()
	return Outcome{}, nil
}

// waitForEnd waits until the benchmark closes the input of this process.
func waitForEnd() { _, _ = bufio.NewReader(os.Stdin).ReadString('\n') }
