//go:build cgo

package mqtt

import (
	"github.com/mosquitto-go/mosquitto"
	"golang.org/x/sys/unix"
)

// The library gives packet ids in turn, and begins again after 65,535 without a look at
// those that are in flight. Two packets in flight must not have one id, and the end of a
// QoS 0 message is reported by an id too. So the loop makes the library skip ids.

// maxPacketID is the largest packet id; the library goes on with 1.
const maxPacketID = 65535

// nextID is the packet id that the library gives next.
func (f *inflight) nextID() int { return f.lastID%maxPacketID + 1 }

// idInUse reports whether a packet that waits for the broker's acknowledgement has
// this packet id.
func (c *Client) idInUse(id int) bool {
	return c.inflight.byID[id] != nil || c.subs.requests[id] != nil
}

// skipUsedIDs makes the library's next packet id one that is free.
func (c *Client) skipUsedIDs() error {
	if !c.idInUse(c.inflight.nextID()) {
		return nil
	}
	tooLarge, err := unix.Mmap(-1, 0, mosquitto.MaxPayload, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for c.idInUse(c.inflight.nextID()) {
		c.skipID(tooLarge)
	}
	return unix.Munmap(tooLarge)
}

// skipIDsTo makes a library client that is not connected skip the ids up to last.
func (c *Client) skipIDsTo(last int) {
	for c.inflight.lastID < last {
		c.skipID(nil)
	}
}

// skipID uses up one packet id: the library gives one to a QoS 0 message before it finds
// that there is no connection, or that packet and topic together are larger than MQTT
// allows. It does not look at the payload.
func (c *Client) skipID(payload []byte) {
	_, _ = c.library.Load().Publish("skip", payload, 0, false)
	c.inflight.lastID = c.inflight.nextID()
}
