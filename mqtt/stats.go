//go:build cgo

package mqtt

import "sync/atomic"

// Stats are the counters of a client since Dial, and its current queues.
type Stats struct {
	Connects    uint64 // connections that a broker accepted
	Published   uint64 // messages that were acknowledged, or sent with QoS 0
	Failed      uint64 // messages that failed: refused, lost, cancelled or dropped
	Received    uint64 // received messages
	Unhandled   uint64 // received messages without a handler
	Dropped     uint64 // received messages that a full queue dropped: see Overflow
	BytesOut    uint64 // payload bytes of the Published messages
	BytesIn     uint64 // payload bytes of the Received messages
	Queued      int    // messages that are accepted and not yet acknowledged
	QueuedBytes int    // bytes of their topics, payloads and properties
	InFlight    int    // how many of the Queued messages are in flight
	Handling    int    // received messages in the worker's queue
}

// counters are the values of Stats that never decrease.
type counters struct {
	connects, published, failed, received, unhandled, dropped, bytesOut, bytesIn atomic.Uint64
}

// Stats returns the client's counters. Any handler may call it.
func (c *Client) Stats() Stats {
	if !c.made() {
		return Stats{}
	}
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
