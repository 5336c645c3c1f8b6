//go:build cgo

package mosquitto

import "time"

const (
	floodLook  = time.Millisecond
	floodLooks = 10 // the longest pause of one publish
)

// giveWay waits while a flood of messages of QoS 0 is written: whoever publishes
// faster than Run sends would fill the memory.
func (c *Client) giveWay() {
	if !cFlooded(c.c) || cInside(c.c) != 0 { // a callback of the write must let it go on
		return
	}
	c.flood.Lock()
	defer c.flood.Unlock()
	written := cWritten(c.c)
	for range floodLooks {
		if !cFlooded(c.c) {
			return
		}
		time.Sleep(floodLook)
	}
	if cWritten(c.c) == written { // the write may be in a callback that waits for the caller
		cFloodOver(c.c)
	}
}
