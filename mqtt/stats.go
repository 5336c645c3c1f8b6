//go:build cgo

package mqtt

import "sync/atomic"

// Stats are the counters of a client since Dial, and what it holds now.
type Stats struct {
	Connects    uint64 // acceptances by a broker
	Published   uint64 // messages that were acknowledged; QoS 0: sent
	Failed      uint64 // messages that were refused, lost, given up or dropped
	Received    uint64 // messages
	Unhandled   uint64 // received messages for which there was no handler
	Dropped     uint64 // received messages that a full queue of handlers dropped
	BytesOut    uint64 // payload bytes of Published
	BytesIn     uint64 // payload bytes of Received
	Queued      int    // messages accepted and not yet acknowledged
	QueuedBytes int    // their topics, payloads and properties
	InFlight    int    // of Queued, those handed to the library
	Handling    int    // received messages that wait for the worker
}

// counters are the part of Stats that only rises.
type counters struct {
	connects, published, failed, received, unhandled, dropped, bytesOut, bytesIn atomic.Uint64
}

// Stats returns the client's counters.
func (c *Client) Stats() Stats {
	s := Stats{
		Connects: c.count.connects.Load(), Published: c.count.published.Load(), Failed: c.count.failed.Load(),
		Received: c.count.received.Load(), Unhandled: c.count.unhandled.Load(), Dropped: c.count.dropped.Load(),
		BytesOut: c.count.bytesOut.Load(), BytesIn: c.count.bytesIn.Load(),
	}
	if c.worker != nil {
		s.Handling = c.worker.length()
	}
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	s.Queued, s.QueuedBytes, s.InFlight = c.queue.messages, c.queue.bytes, c.queue.inFlight
	return s
}
