package main

import (
	"slices"
	"sync"
	"time"
)

// ledger is the book of one round: what was published, acknowledged, received.
type ledger struct {
	report *report

	mu      sync.Mutex
	round   int
	streams map[stream]*entries
	last    time.Time // when a message came

	killed, restarted time.Time // of a SIGKILL in this round
}

// stream is what one publisher sends with one QoS.
type stream struct{ publisher, qos int }

// entries are the messages of a stream, by their numbers.
type entries struct {
	published []time.Time
	acked     []time.Time // zero until then
	received  map[*reader][]int
}

// reader is a subscriber as the ledger knows it.
type reader struct {
	name  string
	qos   []int
	exact bool // it receives QoS 2 exactly once
}

func (r *reader) wants(qos int) bool { return slices.Contains(r.qos, qos) }

func newLedger(r *report) *ledger { return &ledger{report: r, streams: make(map[stream]*entries)} }

// open begins the book of a new round.
func (l *ledger) open(round int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round, l.killed, l.restarted = round, time.Time{}, time.Time{}
	clear(l.streams)
}

// publish enters a message before it is published.
func (l *ledger) publish(publisher, qos int) id {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := stream{publisher, qos}
	e := l.streams[s]
	if e == nil {
		e = &entries{received: make(map[*reader][]int)}
		l.streams[s] = e
	}
	e.published = append(e.published, time.Now())
	e.acked = append(e.acked, time.Time{})
	l.report.figures.published[qos]++
	return id{publisher, qos, l.round, len(e.published) - 1}
}

// ack enters an acknowledgement.
func (l *ledger) ack(m id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(m)
	if e == nil || !e.acked[m.number].IsZero() {
		l.report.broken("acknowledged twice, or in a later round: %v", m)
		return
	}
	e.acked[m.number] = time.Now()
	l.report.figures.acked[m.qos]++
}

// find returns the stream of a message of this round.
func (l *ledger) find(m id) *entries {
	e := l.streams[stream{m.publisher, m.qos}]
	if m.round != l.round || e == nil || m.number >= len(e.published) {
		return nil
	}
	return e
}

// receive enters the arrival of a message at a reader.
func (l *ledger) receive(r *reader, m id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	l.report.figures.received[m.qos]++
	e := l.find(m)
	switch {
	case e == nil && m.round >= l.round:
		l.report.broken("%s received what nobody has sent: %v", r.name, m)
	case e == nil:
		l.again(r, m, false)
	default:
		counts := e.received[r]
		for len(counts) <= m.number {
			counts = append(counts, 0)
		}
		counts[m.number]++
		e.received[r] = counts
		if counts[m.number] > 1 {
			l.again(r, m, l.suspect(e, m))
		}
	}
}

// again deals with a message that has come before.
func (l *ledger) again(r *reader, m id, suspect bool) {
	f := &l.report.figures
	switch {
	case m.qos == 1:
		f.duplicates++
	case m.qos == 2 && !r.exact:
		f.bugTwice++
	case m.qos == 2 && suspect:
		f.killedTwice++
	default:
		l.report.broken("%s received twice: %v", r.name, m)
	}
}

// What the broker acknowledged this long before a SIGKILL, or until this long
// after the restart, it may have forgotten.
const (
	unsaved = 2 * time.Second
	settled = time.Second
)

// suspect tells whether a SIGKILL may have made the broker forget the message,
// or how far its QoS 2 handshake had come.
func (l *ledger) suspect(e *entries, m id) bool {
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

// kill enters a SIGKILL of the broker.
func (l *ledger) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed, l.restarted = time.Now(), time.Time{}
}

// restart enters the return of the broker.
func (l *ledger) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restarted = time.Now()
}

// balance is what a round lacks.
type balance struct {
	unacked   int      // QoS 1 and 2
	lost      int      // deliveries that must come
	forgotten int      // deliveries that a killed broker may owe for ever
	bug       int      // deliveries of QoS 2 that the library's bug may hold back
	names     []string // of some of the lost
}

func (l *ledger) balance(readers []*reader) (b balance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s, e := range l.streams {
		if s.qos == 0 {
			continue
		}
		for number, acked := range e.acked {
			if acked.IsZero() {
				b.unacked++
			}
			for _, r := range readers {
				if r.wants(s.qos) && !e.has(r, number) {
					m := id{s.publisher, s.qos, l.round, number}
					b.lacks(r, m, l.suspect(e, m))
				}
			}
		}
	}
	return b
}

// lacks counts a delivery that has not been made.
func (b *balance) lacks(r *reader, m id, suspect bool) {
	switch {
	case suspect:
		b.forgotten++
	case m.qos == 2 && !r.exact:
		b.bug++
	default:
		if b.lost++; len(b.names) < 5 {
			b.names = append(b.names, r.name+": "+m.String())
		}
	}
}

func (e *entries) has(r *reader, number int) bool {
	counts := e.received[r]
	return number < len(counts) && counts[number] > 0
}

// quiet tells whether nothing has come for a while.
func (l *ledger) quiet(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last) > d
}
