package main

import "sync"

// awaiter is a client whose goroutines can wait for the acknowledgement of their own
// message.
type awaiter interface {
	// SendAwaited publishes with QoS 1 and returns when the message is acknowledged.
	SendAwaited(topic string, payload []byte) error
}

// awaited publishes from as many goroutines as messages may be in flight. Each
// goroutine waits for its acknowledgement before it publishes again.
func awaited(job Job) (Outcome, error) {
	c, err := connect(job, Options{ID: "awaited", Window: job.Window})
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
