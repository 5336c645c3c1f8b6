package main

import (
	"context"
	"fmt"
	"math/rand"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
)

type config struct {
	length   time.Duration // of the whole, in whole rounds
	rounds   int           // if it is not 0, instead of a length
	trouble  time.Duration // of the faults in each round
	seed     int64
	progress *progress
}

// soak is everything that takes part.
type soak struct {
	tb     testing.TB
	config config
	random *rand.Rand
	report *report
	ledger *ledger
	begun  time.Time

	ca         string
	broker     *broker.Broker
	proxies    []*fault.Proxy // by line
	clients    []*client
	publishers []*publisher
	hoarders   []*client // receive QoS 2
	readers    []*reader
	witness    *witness

	rounds      int
	interrupted bool // in a round
	samples     []sample
}

// start starts the broker and the proxies, connects the clients and waits until
// all are subscribed.
func start(tb testing.TB, c config) *soak {
	s := &soak{tb: tb, config: c, random: rand.New(rand.NewSource(c.seed)), report: newReport(), begun: time.Now()}
	s.ledger = newLedger(s.report)
	s.startBroker()
	for i, l := range lines {
		port := s.proxies[i].Port
		s.publishers = append(s.publishers, s.publisher(i, l, port))
		s.subscriber(l, port, 0, 1)
		s.subscriber(l, port, 2)
	}
	s.startWitness()
	if !s.await(context.Background(), patience, s.allConnected) {
		tb.Fatal("the clients do not connect")
	}
	return s
}

// startBroker starts a broker with two listeners, and a proxy for each line.
// The broker saves its state after every change: else a SIGKILL would undo half
// an hour. And it may have more in flight than it ever has here: what is beyond
// that number it publishes anew when a client comes back, QoS 2 messages that it
// had released too (0, which is to mean no limit, makes it do so with all).
func (s *soak) startBroker() {
	ca := broker.NewCA(s.tb, "soak")
	s.ca = ca.File
	now := time.Now()
	cert := ca.IssueFor("broker", now.Add(-time.Hour), now.Add(30*24*time.Hour), "127.0.0.1")
	tlsPort := broker.FreePort(s.tb)
	s.broker = broker.Start(s.tb, broker.Config{
		Persistence: true, Quiet: true,
		Extra: fmt.Sprintf("autosave_on_changes true\nautosave_interval 1\nmax_inflight_messages 5000\nset_tcp_nodelay true\n"+
			"listener %d 127.0.0.1\ncertfile %s\nkeyfile %s", tlsPort, cert.CertFile, cert.KeyFile),
	})
	for _, l := range lines {
		target := s.broker.Addr()
		if l.tls {
			target = fmt.Sprintf("127.0.0.1:%d", tlsPort)
		}
		s.proxies = append(s.proxies, fault.Start(s.tb, target))
	}
}

func (s *soak) startWitness() {
	me := &reader{name: "the witness", qos: []int{2}, exact: true}
	s.readers = append(s.readers, me)
	s.witness = newWitness(s.broker.Addr(), "soak/+/2", func(topic string, payload []byte) { s.received(me, topic, payload) })
	go s.witness.run()
	s.tb.Cleanup(s.witness.close)
}

func (s *soak) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

func (s *soak) allConnected() bool {
	for _, c := range s.clients {
		if !c.connected.Load() {
			return false
		}
	}
	return s.witness.subscribed.Load()
}

// soak runs rounds until the time has come, or until one cannot be completed.
func (s *soak) soak(ctx context.Context) {
	for ctx.Err() == nil && !s.enough() {
		s.ledger.open(s.rounds)
		s.storm(ctx)
		if !s.complete(ctx) {
			return
		}
		s.rounds++
		s.rest(ctx)
	}
}

func (s *soak) enough() bool {
	if s.config.rounds > 0 {
		return s.rounds == s.config.rounds
	}
	return time.Since(s.begun) >= s.config.length
}

// storm publishes under faults, and restarts the broker.
func (s *soak) storm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.trouble)
	defer cancel()
	var work sync.WaitGroup
	background := func(f func()) {
		work.Add(1)
		go func() {
			defer work.Done()
			f()
		}()
	}
	for _, p := range s.publishers {
		background(func() { p.work(ctx, 20*time.Millisecond) })
	}
	for i, p := range s.proxies {
		random := rand.New(rand.NewSource(s.config.seed + int64(1000*s.rounds+i)))
		background(func() { s.plague(ctx, p, lines[i].tls, random) })
	}
	if sleep(ctx, time.Duration((0.4+0.3*s.random.Float64())*float64(s.config.trouble))) {
		s.restart(ctx)
	}
	for sleep(ctx, 500*time.Millisecond) {
		s.config.progress.say(s)
	}
	work.Wait()
}

// patience bounds what must come to an end when there are no faults.
const patience = 2 * time.Minute

// complete waits until every message is acknowledged and has arrived. A round
// that is interrupted is not judged.
func (s *soak) complete(ctx context.Context) bool {
	var b balance
	done := s.await(ctx, patience, func() bool {
		b = s.ledger.balance(s.readers)
		return b.unacked == 0 && b.lost == 0 && s.allConnected() && s.ledger.quiet(300*time.Millisecond)
	})
	switch {
	case ctx.Err() != nil:
		s.interrupted = true
		return false
	case !done:
		s.report.broken("%v after the faults %d messages are not acknowledged and %d have not arrived: %q",
			patience, b.unacked, b.lost, b.names)
		s.nameMissing()
		return false
	}
	s.await(ctx, 3*keepalive, func() bool { // by then a connection that is dead has been replaced
		b = s.ledger.balance(s.readers)
		return b.bug == 0
	})
	s.report.figures.killedLost += b.forgotten
	s.report.figures.bugMissing += b.bug
	return true
}

func (s *soak) nameMissing() {
	for _, c := range s.clients {
		if !c.connected.Load() {
			s.report.broken("%s is not connected", c.name)
		}
	}
}

// await polls a condition.
func (s *soak) await(ctx context.Context, patience time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !condition() {
		if !sleep(ctx, 20*time.Millisecond) {
			return false
		}
		s.config.progress.say(s)
	}
	return true
}

// rest waits until all are connected and connections that were lost are gone,
// and looks at the process.
func (s *soak) rest(ctx context.Context) {
	s.renew()
	for _, p := range s.proxies {
		p.CutUnanswered() // the clients have given them up
	}
	ok := s.await(ctx, patience, func() bool {
		open := 0
		for _, p := range s.proxies {
			open += p.Open()
		}
		return open == len(s.clients) && s.allConnected()
	})
	switch {
	case ctx.Err() != nil:
		return
	case !ok:
		s.report.broken("connections that were lost do not end")
		s.nameMissing()
	}
	runtime.GC()
	s.samples = append(s.samples, take())
}

// stop ends the clients.
func (s *soak) stop() {
	for _, c := range s.clients {
		s.goodbye(c)
	}
	if n := mosquitto.OpenClients(); n != 0 {
		s.report.broken("%d clients are left", n)
	}
	s.flat()
}
