//go:build cgo

package mosquitto

import "time"

const (
	floodLimit = 10 * time.Millisecond // the longest time that one publish blocks
	floodSlice = floodLimit / 2        // how long a write may make no progress
)

// awaitFloodEnd blocks while a flood of QoS 0 messages is written: publishers
// that are faster than Run would fill the memory. One publisher waits for the
// write, the others wait for that publisher.
func (c *Client) awaitFloodEnd() {
	if !cFlooded(c.c) || cInside(c.c) != 0 { // a callback of the write must not wait for the write
		return
	}
	end := time.Now().Add(floodLimit)
	c.flood.Lock()
	defer c.flood.Unlock()
	for written := cWritten(c.c); cFlooded(c.c) && time.Now().Before(end); written = cWritten(c.c) {
		cAwaitFloodEnd(c.c, min(floodSlice, time.Until(end)))
		if cFlooded(c.c) && cWritten(c.c) == written {
			cFloodOver(c.c) // the write may be in a callback that waits for the caller
		}
	}
}
