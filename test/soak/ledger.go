package main

import (
	"slices"
	"sync"
	"time"
)

// ledger records which messages were published, acknowledged and received in one
// round. A round is a period of faults after which every message must arrive.
type ledger struct {
	report *report

	mu      sync.Mutex
	round   int
	streams map[stream]*entries
	last    time.Time // when the last message was received

	killed, restarted time.Time // times of a SIGKILL of the broker and its restart in this round
}

// stream identifies the messages that one publisher sends with one QoS.
type stream struct{ publisher, qos int }

// entries are the messages of a stream. The index of each slice is the message number.
type entries struct {
	published []time.Time
	acked     []time.Time          // zero: not acknowledged
	received  map[*recipient][]int // how many times
}

// recipient is a subscriber.
type recipient struct {
	name  string
	qos   []int
	exact bool // the recipient must receive QoS 2 messages exactly once
}

func (r *recipient) wants(qos int) bool { return slices.Contains(r.qos, qos) }

func newLedger(r *report) *ledger { return &ledger{report: r, streams: make(map[stream]*entries)} }

// open clears the ledger for a new round.
func (l *ledger) open(round int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round, l.killed, l.restarted = round, time.Time{}, time.Time{}
	clear(l.streams)
}

// publish records a message that will be published, and returns its id.
func (l *ledger) publish(publisher, qos int) id {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := stream{publisher, qos}
	e := l.streams[s]
	if e == nil {
		e = &entries{received: make(map[*recipient][]int)}
		l.streams[s] = e
	}
	e.published = append(e.published, time.Now())
	e.acked = append(e.acked, time.Time{})
	l.report.figures.published[qos]++
	return id{publisher, qos, l.round, len(e.published) - 1}
}

// ack records an acknowledgement.
func (l *ledger) ack(m id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(m)
	if e == nil || !e.acked[m.number].IsZero() {
		l.report.fail("acknowledged twice or in a later round: %v", m)
		return
	}
	e.acked[m.number] = time.Now()
	l.report.figures.acked[m.qos]++
}

// find returns the entries of a message's stream. It returns nil if the message does
// not belong to this round.
func (l *ledger) find(m id) *entries {
	e := l.streams[stream{m.publisher, m.qos}]
	if m.round != l.round || e == nil || m.number >= len(e.published) {
		return nil
	}
	return e
}

// receive records that a recipient has received a message.
func (l *ledger) receive(r *recipient, m id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	l.report.figures.received[m.qos]++
	e := l.find(m)
	switch {
	case e == nil && m.round >= l.round:
		l.report.fail("%s received a message that was not published: %v", r.name, m)
	case e == nil:
		l.repeated(r, m, false)
	default:
		counts := e.received[r]
		for len(counts) <= m.number {
			counts = append(counts, 0)
		}
		counts[m.number]++
		e.received[r] = counts
		if counts[m.number] > 1 {
			l.repeated(r, m, l.mayBeForgotten(e, m))
		}
	}
}

// repeated counts a message that the recipient has already received, or reports a
// failure.
func (l *ledger) repeated(r *recipient, m id, mayBeForgotten bool) {
	f := &l.report.figures
	switch {
	case m.qos == 1:
		f.duplicates++
	case m.qos == 2 && !r.exact:
		f.bugTwice++
	case m.qos == 2 && mayBeForgotten:
		f.killedTwice++
	default:
		l.report.fail("%s received twice: %v", r.name, m)
	}
}

// A killed broker may have forgotten messages that it acknowledged less than unsaved
// before the SIGKILL, or less than settled after the restart.
const (
	unsaved = 2 * time.Second
	settled = time.Second
)

// mayBeForgotten reports whether the broker may have forgotten the message, or the
// state of its QoS 2 handshake, because of a SIGKILL.
func (l *ledger) mayBeForgotten(e *entries, m id) bool {
	if l.killed.IsZero() {
		return false
	}
	from, to := l.killed.Add(-unsaved), time.Now()
	if !l.restarted.IsZero() {
		to = l.restarted.Add(settled)
	}
	acked := e.acked[m.number]
	if m.qos == 2 {
		return e.published[m.number].Before(to) && (acked.IsZero() || acked.After(from))
	}
	return acked.After(from) && acked.Before(to)
}

// kill records a SIGKILL of the broker.
func (l *ledger) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed, l.restarted = time.Now(), time.Time{}
}

// restart records the broker's restart.
func (l *ledger) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restarted = time.Now()
}

// missing counts the acknowledgements and deliveries of a round that have not
// arrived. A delivery is one message for one recipient.
type missing struct {
	unacked   int      // messages of QoS 1 and 2 without an acknowledgement
	lost      int      // deliveries that must still arrive
	forgotten int      // deliveries that a killed broker may never make
	bug       int      // deliveries of QoS 2 that the library's bug may prevent
	names     []string // descriptions of up to five lost deliveries
}

func (l *ledger) missing(recipients []*recipient) (total missing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s, e := range l.streams {
		if s.qos == 0 {
			continue
		}
		for number, acked := range e.acked {
			if acked.IsZero() {
				total.unacked++
			}
			for _, r := range recipients {
				if r.wants(s.qos) && !e.has(r, number) {
					m := id{s.publisher, s.qos, l.round, number}
					total.add(r, m, l.mayBeForgotten(e, m))
				}
			}
		}
	}
	return total
}

// add counts a missing delivery.
func (total *missing) add(r *recipient, m id, mayBeForgotten bool) {
	switch {
	case mayBeForgotten:
		total.forgotten++
	case m.qos == 2 && !r.exact:
		total.bug++
	default:
		if total.lost++; len(total.names) < 5 {
			total.names = append(total.names, r.name+": "+m.String())
		}
	}
}

func (e *entries) has(r *recipient, number int) bool {
	counts := e.received[r]
	return number < len(counts) && counts[number] > 0
}

// quiet reports whether no message was received for the duration d.
func (l *ledger) quiet(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last) > d
}
