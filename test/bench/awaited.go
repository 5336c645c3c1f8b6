package main

import "sync"

// awaiter is a client whose goroutines can wait for the acknowledgement of their
// own message.
type awaiter interface {
	// SendAwaited publishes with QoS 1 and returns when this is acknowledged.
	SendAwaited(topic string, payload []byte) error
}

// advised is the number of messages in flight that this module's documentation
// advises: libmosquitto walks through them at each acknowledgement.
const advised = 100

// awaited publishes from as many goroutines as messages may be under way, each of
// which waits for its acknowledgement before it goes on.
func awaited(job Job) (Outcome, error) {
	c, err := connect(job, Options{ID: "awaited", Window: job.Window, InFlight: advised})
	if err != nil {
		return Outcome{}, err
	}
	work := make(chan struct{}, job.Window)
	payload := make([]byte, job.Size)
	var wg sync.WaitGroup
	for range job.Window {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range work {
				if err := c.(awaiter).SendAwaited("bench/topic", payload); err != nil {
					fail(err)
				}
			}
		}()
	}
	m := startMeter()
	for range job.Count {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	return m.stop(job.Count), nil
}
