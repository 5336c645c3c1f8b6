//go:build cgo

package mqtt

import (
	"errors"

	"github.com/mosquitto-go/mosquitto"
	"golang.org/x/sys/unix"
)

// The library assigns packet ids in sequence. After 65,535 it starts at 1 again, even if
// the ids are in flight. Two packets in flight must not have the same id. The library also
// assigns an id to each QoS 0 message, to report when it was written. The loop therefore
// makes the library skip ids that are in flight.

// maxPacketID is the largest packet id. The next id after it is 1.
const maxPacketID = 65535

// nextID returns the packet id that the library assigns next.
func (f *inflight) nextID() int { return f.lastID%maxPacketID + 1 }

// idInUse reports whether an unacknowledged packet has this packet id.
func (c *Client) idInUse(id int) bool {
	return c.inflight.byID[id] != nil || c.subs.requests[id] != nil
}

// errIDInUse reports that the next packet id is in use and cannot be skipped.
var errIDInUse = errors.New("mqtt: the next packet id is in use")

// skipUsedIDs makes the library skip ids until its next packet id is free. If the broker
// limits the packet size, the library refuses a packet before it assigns an id: then
// skipUsedIDs returns errIDInUse, and the caller waits until the id is free.
func (c *Client) skipUsedIDs() error {
	if !c.idInUse(c.inflight.nextID()) {
		return nil
	}
	tooLarge, err := unix.Mmap(-1, 0, mosquitto.MaxPayload, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for err == nil && c.idInUse(c.inflight.nextID()) {
		err = c.skipID(tooLarge)
	}
	return joinErrors(err, unix.Munmap(tooLarge))
}

// skipIDsTo makes the library skip all ids up to last. The library must not be
// connected.
func (c *Client) skipIDsTo(last int) {
	for c.inflight.lastID < last {
		_ = c.skipID(nil)
	}
}

// skipID uses one packet id up with a publish that fails. The library assigns an id to a
// QoS 0 message before it checks the connection and the size of the packet. It does not
// read the payload.
func (c *Client) skipID(payload []byte) error {
	_, err := c.library.Load().Publish("skip", payload, 0, false)
	if errors.Is(err, mosquitto.ErrOversizePacket) {
		return errIDInUse
	}
	c.inflight.lastID = c.inflight.nextID()
	return nil
}

// waitForID stops submitting until the next packet id is free. If messages may be sent
// again, the client connects again with a new library client, which begins with id 1.
func (c *Client) waitForID() {
	c.inflight.waitsForID = true
	if !c.exactlyOnce() && c.isOnline() {
		c.conn.online = false
		c.reconnectWithNewLibrary(c.conn)
	}
}

// idReleased submits packets that wait for a packet id.
func (c *Client) idReleased() {
	if c.inflight.waitsForID {
		c.inflight.waitsForID = false
		c.wake()
	}
	if c.subs.waitsForID {
		c.subs.waitsForID = false
		c.reconcile()
	}
}
