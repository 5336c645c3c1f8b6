//go:build cgo

package mosquitto

import "time"

const (
	floodLimit = 10 * time.Millisecond // the longest time that one publish blocks
	floodSlice = floodLimit / 2        // how long Run may make no progress
)

// awaitFloodEnd blocks while publishers of QoS 0 messages are ahead of Run: the write
// would not end, and the messages would fill the memory. One publisher waits for
// Run, the others wait for that publisher.
func (c *Client) awaitFloodEnd(qos QoS) {
	if qos > 0 || !cFlooded(c.c) || cInside(c.c) != 0 { // Run itself must not wait for Run
		return
	}
	end := time.Now().Add(floodLimit)
	c.flood.Lock()
	defer c.flood.Unlock()
	for before := cWritten(c.c); cFlooded(c.c) && time.Now().Before(end); before = cWritten(c.c) {
		cAwaitFloodEnd(c.c, min(floodSlice, time.Until(end)))
		if cFlooded(c.c) && cWritten(c.c) == before {
			cFloodOver(c.c) // Run may be in a callback that waits for the caller
		}
	}
}
