//go:build cgo

package mqtt

import "time"

const (
	nearWindow = 100                  // messages in flight to a near broker
	farAway    = 2 * time.Millisecond // a broker is far away if its fastest acknowledgement takes longer
)

// window is the limit of QoS 1 and 2 messages in flight. libmosquitto searches its
// in-flight list linearly at each acknowledgement, so a short list is cheaper. If the
// broker is far away, the window grows up to its limit. Owned by the loop.
type window struct {
	limit    int // from WithInflight
	maxSize  int // limit, or the broker's receive maximum if that is lower
	size     int
	sample   *Token // the message whose acknowledgement is timed
	sent     time.Time
	shortest time.Duration // shortest time to an acknowledgement on this connection; 0 before the first
}

// reset sets the window for a new connection.
func (w *window) reset(receiveMaximum int) {
	*w = window{limit: w.limit, maxSize: min(w.limit, receiveMaximum)}
	w.size = min(w.maxSize, nearWindow)
}

// submitted times a message, if no message is timed and the window can still grow.
func (w *window) submitted(t *Token) {
	if w.sample == nil && w.size < w.maxSize {
		w.sample, w.sent = t, time.Now()
	}
}

// acknowledged grows the window if the broker is far away.
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
