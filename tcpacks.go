//go:build cgo

package mosquitto

import "time"

// tcpAcks decides when Run lets the kernel acknowledge input, which the kernel delays by
// up to 40 ms. A broker with the Nagle delay, which is the default of mosquitto, sends no
// further small packet before the acknowledgement arrives. Output carries the
// acknowledgement too, so Run waits for the output of a program that answers at once. Run
// owns it.
type tcpAcks struct {
	since   time.Time // time of the input that no output has followed; zero if there is none
	due     bool      // this input is not acknowledged
	answers int32     // inputs in a row that output has followed within ackDelay
}

const (
	ackDelay      = 2 * time.Millisecond // how long Run waits for output
	enoughAnswers = 8                    // answers in a row before Run waits for output
)

// note notes whether a pass that began at now has read and written.
func (a *tcpAcks) note(now time.Time, read, wrote bool) {
	pending := !a.since.IsZero()
	switch {
	case wrote && pending:
		if now.Sub(a.since) >= ackDelay {
			a.answers = 0
		} else if a.answers < enoughAnswers {
			a.answers++
		}
		a.since, a.due = time.Time{}, false
	case read && !wrote:
		if pending {
			a.answers = 0
		}
		a.since, a.due = now, true
	}
}

// waits reports whether Run waits for output before it lets the kernel acknowledge.
func (a *tcpAcks) waits(now time.Time) bool {
	return a.due && a.answers == enoughAnswers && now.Sub(a.since) < ackDelay
}
