//go:build cgo

package mqtt

import "time"

const (
	nearWindow = 100                  // messages in flight to a broker that is near
	farAway    = 2 * time.Millisecond // the least time to the acknowledgement of a broker that is not
)

// window is how many messages of QoS 1 and 2 are in flight at a time. libmosquitto walks
// through all of them at each acknowledgement, so there are few as long as the broker is
// near. If it is far away, the window grows up to the limit. Owned by the loop.
type window struct {
	limit    int // WithInflight
	maxSize  int // limit, or the broker's receive maximum
	size     int
	sample   *Token // whose acknowledgement is timed
	sent     time.Time
	shortest time.Duration // of the samples on this connection; 0 before the first
}

// reset begins a connection.
func (w *window) reset(receiveMaximum int) {
	*w = window{limit: w.limit, maxSize: min(w.limit, receiveMaximum)}
	w.size = min(w.maxSize, nearWindow)
}

// submitted times a message, if none is timed.
func (w *window) submitted(t *Token) {
	if w.sample == nil && w.size < w.maxSize {
		w.sample, w.sent = t, time.Now()
	}
}

// acknowledged grows the window if no broker that is near would have taken so long.
func (w *window) acknowledged(t *Token) {
	if t != w.sample {
		return
	}
	w.sample = nil
	if took := time.Since(w.sent); w.shortest == 0 || took < w.shortest {
		w.shortest = took
	}
	if w.shortest > farAway {
		w.size = min(2*w.size, w.maxSize)
	}
}
