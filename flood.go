//go:build cgo

package mosquitto

import "time"

const (
	floodPatience = 10 * time.Millisecond // the longest pause of one publish
	floodLook     = time.Millisecond
)

// giveWay waits while a flood of messages of QoS 0 is written: whoever publishes
// faster than Run sends would fill the memory. One looks, the others wait for it.
func (c *Client) giveWay() {
	if !cFlooded(c.c) || cInside(c.c) != 0 { // a callback of the write must let it go on
		return
	}
	end := time.Now().Add(floodPatience)
	c.flood.Lock()
	defer c.flood.Unlock()
	began, written := time.Now(), cWritten(c.c)
	for cFlooded(c.c) && time.Now().Before(end) {
		time.Sleep(floodLook)
	}
	// The write may be in a callback that waits for the caller.
	if cFlooded(c.c) && time.Since(began) > floodPatience/2 && cWritten(c.c) == written {
		cFloodOver(c.c)
	}
}
