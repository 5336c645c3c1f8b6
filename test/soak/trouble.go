package main

import (
	"context"
	"math/rand"
	"slices"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
)

// networkFault is a fault that the proxies can inject.
type networkFault struct {
	name  string
	lasts bool // the fault lasts until Heal
	do    func(p *faultproxy.Proxy, d faultproxy.Direction, random *rand.Rand)
}

var networkFaults = []networkFault{
	{"cut", false, func(p *faultproxy.Proxy, _ faultproxy.Direction, _ *rand.Rand) { p.Cut() }},
	{"reset", false, func(p *faultproxy.Proxy, _ faultproxy.Direction, _ *rand.Rand) { p.Reset() }},
	{"half-closed", false, func(p *faultproxy.Proxy, d faultproxy.Direction, _ *rand.Rand) { p.HalfClose(d) }},
	{"cut in a packet", true, func(p *faultproxy.Proxy, d faultproxy.Direction, r *rand.Rand) { p.CutAfter(d, r.Intn(3000)) }},
	{"reset in a packet", true, func(p *faultproxy.Proxy, d faultproxy.Direction, r *rand.Rand) { p.ResetAfter(d, r.Intn(3000)) }},
	{"stalled", true, func(p *faultproxy.Proxy, d faultproxy.Direction, _ *rand.Rand) { p.Stall(d) }},
	{"delayed", true, func(p *faultproxy.Proxy, d faultproxy.Direction, r *rand.Rand) { p.Delay(d, milliseconds(r, 1, 100)) }},
	{"slow", true, func(p *faultproxy.Proxy, d faultproxy.Direction, r *rand.Rand) { p.Rate(d, 1000+r.Intn(20_000)) }},
	{"split into bytes", true, func(p *faultproxy.Proxy, d faultproxy.Direction, _ *rand.Rand) { p.Split(d, true) }},
	{"refused", true, func(p *faultproxy.Proxy, _ faultproxy.Direction, _ *rand.Rand) { p.RefuseNew(); p.Cut() }},
	{"closed at once", true, func(p *faultproxy.Proxy, _ faultproxy.Direction, _ *rand.Rand) { p.CloseNew(); p.Reset() }},
	{"unanswered", true, func(p *faultproxy.Proxy, _ faultproxy.Direction, _ *rand.Rand) { p.BlackholeNew(); p.Cut() }},
}

// corrupted is used with TLS only, because TLS detects changed bytes. Without TLS, MQTT
// cannot detect a changed message or packet id.
var corrupted = networkFault{"corrupted", true, func(p *faultproxy.Proxy, d faultproxy.Direction, r *rand.Rand) { p.Corrupt(d, 100+r.Intn(5000)) }}

// injectFaults injects random faults into a proxy until the context ends. Then it heals
// them, and sometimes cuts the connections.
func (s *soak) injectFaults(ctx context.Context, p *faultproxy.Proxy, tls bool, random *rand.Rand) {
	choice := networkFaults
	if tls {
		choice = append(slices.Clip(choice), corrupted, corrupted)
	}
	for sleep(ctx, milliseconds(random, 100, 800)) {
		t := choice[random.Intn(len(choice))]
		t.do(p, faultproxy.Direction(random.Intn(3)), random)
		s.report.fault(t.name)
		if t.lasts {
			sleep(ctx, milliseconds(random, 100, 1500))
			p.Heal()
		}
	}
	p.Heal()
	if random.Intn(2) == 0 {
		p.Cut()
	}
}

// milliseconds returns a random duration.
func milliseconds(random *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+random.Intn(to-from)) * time.Millisecond
}

// sleep returns false if the context ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// One round in killEvery kills the broker with SIGKILL, beginning with the third.
const killEvery = 4

// restart stops or kills the broker, starts it again, and sometimes pauses it.
func (s *soak) restart(ctx context.Context) {
	down := milliseconds(s.random, 1, 1000)
	if s.rounds%killEvery == killEvery-2 {
		s.kill(ctx, down)
	} else {
		s.broker.Stop()
		sleep(ctx, down)
		s.broker.Restart()
		s.report.figures.restarts++
	}
	if s.rounds%2 == 1 {
		s.broker.Pause()
		sleep(ctx, milliseconds(s.random, 100, 500))
		s.broker.Resume()
		s.report.fault("broker paused")
	}
}

// kill kills the broker with SIGKILL and starts it again.
func (s *soak) kill(ctx context.Context, down time.Duration) {
	s.ledger.kill()
	s.broker.Kill()
	for _, p := range s.proxies {
		p.Cut() // so that no acknowledgement of the killed broker arrives later
	}
	s.witness.forget()
	sleep(ctx, down)
	s.broker.Restart()
	s.ledger.restart()
	s.report.figures.kills++
}
