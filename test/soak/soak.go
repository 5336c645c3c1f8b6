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
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
)

type config struct {
	length    time.Duration // minimum duration; the soak ends with a complete round
	rounds    int           // if not 0, run this number of rounds and ignore length
	faultTime time.Duration // how long each round injects faults
	seed      int64
	progress  *progress
}

// soak holds the broker, the proxies, the clients and the results.
type soak struct {
	tb     testing.TB
	config config
	random *rand.Rand
	report *report
	ledger *ledger
	begun  time.Time

	ca              string
	broker          *broker.Broker
	proxies         []*faultproxy.Proxy // one for each variant
	clients         []*client
	publishers      []*publisher
	qos2Subscribers []*client // clients that renew replaces
	recipients      []*recipient
	witness         *witness

	rounds      int
	interrupted bool // the context ended before the round was complete
	samples     []sample
}

// start starts the broker and the proxies, connects the clients and waits until all
// subscriptions are granted.
func start(tb testing.TB, c config) *soak {
	s := &soak{tb: tb, config: c, random: rand.New(rand.NewSource(c.seed)), report: newReport(), begun: time.Now()}
	s.ledger = newLedger(s.report)
	s.startBroker()
	for i, v := range variants {
		port := s.proxies[i].Port
		s.publishers = append(s.publishers, s.publisher(i, v, port))
		s.subscriber(v, port, 0, 1)
		s.subscriber(v, port, 2)
	}
	s.startWitness()
	if !s.await(context.Background(), patience, s.allConnected) {
		tb.Fatalf("soak: not all clients have connected after %v", patience)
	}
	return s
}

// startBroker starts a broker with two listeners, and a proxy for each variant.
//
// The broker saves its state after every change. With the default of 30 minutes a
// SIGKILL would undo too much.
//
// Its limit of messages in flight is higher than this test needs. When a client
// reconnects, mosquitto publishes the messages beyond the limit as new messages, even
// QoS 2 messages for which it has sent PUBREL. With 0, the documented value for "no
// limit", it publishes all messages again.
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
	for _, v := range variants {
		target := s.broker.Addr()
		if v.tls {
			target = fmt.Sprintf("127.0.0.1:%d", tlsPort)
		}
		s.proxies = append(s.proxies, faultproxy.Start(s.tb, target))
	}
}

func (s *soak) startWitness() {
	me := &recipient{name: "the witness", qos: []int{2}, exact: true}
	s.recipients = append(s.recipients, me)
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

// soak runs rounds until the configured time or number is reached, the context ends,
// or a round fails.
func (s *soak) soak(ctx context.Context) {
	for ctx.Err() == nil && !s.enough() {
		s.ledger.open(s.rounds)
		s.runWithFaults(ctx)
		if !s.complete(ctx) {
			return
		}
		s.rounds++
		s.sampleIdle(ctx)
	}
}

func (s *soak) enough() bool {
	if s.config.rounds > 0 {
		return s.rounds == s.config.rounds
	}
	return time.Since(s.begun) >= s.config.length
}

// runWithFaults publishes messages for the time faultTime. Meanwhile it injects network
// faults and restarts the broker.
func (s *soak) runWithFaults(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.faultTime)
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
		background(func() { s.injectFaults(ctx, p, variants[i].tls, random) })
	}
	if sleep(ctx, time.Duration((0.4+0.3*s.random.Float64())*float64(s.config.faultTime))) {
		s.restart(ctx)
	}
	for sleep(ctx, 500*time.Millisecond) {
		s.config.progress.update(s)
	}
	work.Wait()
}

// patience is the timeout for everything that must complete without faults.
const patience = 2 * time.Minute

// complete waits until every message of the round is acknowledged and has arrived. It
// returns false if that fails, or if the context ends first.
func (s *soak) complete(ctx context.Context) bool {
	var m missing
	done := s.await(ctx, patience, func() bool {
		m = s.ledger.missing(s.recipients)
		return m.unacked == 0 && m.lost == 0 && s.allConnected() && s.ledger.quiet(300*time.Millisecond)
	})
	switch {
	case ctx.Err() != nil:
		s.interrupted = true
		return false
	case !done:
		s.report.fail("%v after the faults %d messages are not acknowledged and %d have not arrived: %q",
			patience, m.unacked, m.lost, m.names)
		s.reportDisconnected()
		return false
	}
	s.await(ctx, 3*keepalive, func() bool { // long enough to replace dead connections
		m = s.ledger.missing(s.recipients)
		return m.bug == 0
	})
	s.report.figures.killedLost += m.forgotten
	s.report.figures.bugMissing += m.bug
	return true
}

func (s *soak) reportDisconnected() {
	for _, c := range s.clients {
		if !c.connected.Load() {
			s.report.fail("%s is not connected", c.name)
		}
	}
}

// await polls a condition. It returns false on timeout, or if the context ends.
func (s *soak) await(ctx context.Context, patience time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !condition() {
		if !sleep(ctx, 20*time.Millisecond) {
			return false
		}
		s.config.progress.update(s)
	}
	return true
}

// sampleIdle waits until all clients are connected and all lost connections are
// closed. Then it takes a sample of the process.
func (s *soak) sampleIdle(ctx context.Context) {
	s.renew()
	for _, p := range s.proxies {
		p.CutUnanswered() // the clients have already closed their ends
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
		s.report.fail("lost connections are still open after %v", patience)
		s.reportDisconnected()
	}
	runtime.GC()
	s.samples = append(s.samples, take())
}

// stop closes all clients and checks that the process has not grown.
func (s *soak) stop() {
	for _, c := range s.clients {
		s.stopClient(c)
	}
	if n := mosquitto.OpenClients(); n != 0 {
		s.report.fail("%d library clients are not closed", n)
	}
	s.checkGrowth()
}
