//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// This file holds network faults, for tests of guarantees that hold during every fault.

// networkFault is a fault that a fault proxy can cause.
type networkFault struct {
	name  string
	begin func(p *faultproxy.Proxy)
}

var networkFaults = []networkFault{
	{"cut", func(p *faultproxy.Proxy) { p.RefuseNew(); p.Cut() }},
	{"cut, reconnected at once", func(p *faultproxy.Proxy) { p.Cut() }},
	{"reset", func(p *faultproxy.Proxy) { p.RefuseNew(); p.Reset() }},
	{"reset, reconnected at once", func(p *faultproxy.Proxy) { p.Reset() }},
	{"half-close up", func(p *faultproxy.Proxy) { p.HalfClose(faultproxy.Up) }},
	{"half-close down", func(p *faultproxy.Proxy) { p.HalfClose(faultproxy.Down) }},
	{"stall", func(p *faultproxy.Proxy) { p.Stall(faultproxy.Both) }},
	{"stall up", func(p *faultproxy.Proxy) { p.Stall(faultproxy.Up) }},
	{"stall down", func(p *faultproxy.Proxy) { p.Stall(faultproxy.Down) }},
	{"black hole", func(p *faultproxy.Proxy) { p.BlackholeNew(); p.Cut() }},
	{"closed at once", func(p *faultproxy.Proxy) { p.CloseNew(); p.Cut() }},
	{"slow", func(p *faultproxy.Proxy) {
		p.Delay(faultproxy.Both, 5*time.Millisecond)
		p.Split(faultproxy.Both, true)
	}},
	{"low rate", func(p *faultproxy.Proxy) { p.Rate(faultproxy.Both, 20_000) }},
}

// end ends the fault. It also closes all connections, because they may have lost bytes.
func (networkFault) end(p *faultproxy.Proxy) {
	p.Heal()
	p.Cut()
}

// shortConnectTimeout makes an attempt to connect fail early if the broker does not reply.
func shortConnectTimeout() mqtt.Option { return mqtt.WithConnectTimeout(500 * time.Millisecond) }

// startOrderedBroker starts a broker that delivers messages in order. If Mosquitto 2.0.11
// limits the messages in flight to a subscriber, it sends new messages before queued
// messages.
func startOrderedBroker(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true\nmax_inflight_messages 0"})
}

// duringEachFault runs f once for each network fault. The client c uses the fault proxy p,
// the client direct does not. f calls x.begin and x.end.
func duringEachFault(t *testing.T, options []mqtt.Option, f func(t *testing.T, x networkFault, p *faultproxy.Proxy, c, direct *mqtt.Client)) {
	b := startOrderedBroker(t)
	for _, x := range networkFaults {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := faultproxy.Start(t, b.Addr())
			c := dial(t, p.Port, append(options, shortConnectTimeout())...)
			f(t, x, p, c, dial(t, b.Port))
		})
	}
}

// context100ms returns a context that ends after 100 ms.
func context100ms(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// isDocumentedError reports whether a call may return err during a network fault.
func isDocumentedError(err error) bool {
	for _, documented := range []error{nil, context.DeadlineExceeded, context.Canceled, mqtt.ErrConnectionLost, mqtt.ErrClosed,
		mqtt.ErrQueueFull, mqtt.ErrDropped, mqtt.ErrSuperseded, mqtt.ErrHandlerQueueFull} {
		if errors.Is(err, documented) {
			return true
		}
	}
	return false
}

// numberRecorder records the messages that a subscriber receives. The payload of each
// message begins with a number.
type numberRecorder struct {
	mu      sync.Mutex
	byTopic map[string][]int // numbers by topic, in the order of arrival
}

// recordNumbers subscribes to filter with a client that connects to port.
func recordNumbers(t testing.TB, port int, filter string) *numberRecorder {
	t.Helper()
	w := &numberRecorder{byTopic: map[string][]int{}}
	require.NoError(t, dial(t, port).Subscribe(wait.Soon(t), filter, 2, w.handle))
	return w
}

func (w *numberRecorder) handle(_ context.Context, m mqtt.Message) {
	var n int
	_, _ = fmt.Sscan(string(m.Payload), &n)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byTopic[m.Topic] = append(w.byTopic[m.Topic], n)
}

func (w *numberRecorder) numbers(topic string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.byTopic[topic]...)
}

func (w *numberRecorder) topics() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic := range w.byTopic {
		all = append(all, topic)
	}
	return all
}

// has reports whether all numbers in want have arrived.
func (w *numberRecorder) has(topic string, want []int) bool {
	arrived := map[int]bool{}
	for _, n := range w.numbers(topic) {
		arrived[n] = true
	}
	for _, n := range want {
		if !arrived[n] {
			return false
		}
	}
	return true
}

// checkOrder returns an error unless numbers arrived in the order in which they were
// published, which is rising. A number must be greater than all earlier numbers. With
// repeats, a number may also start or continue a repetition of earlier numbers: the
// repetition must have no gap, and it may be incomplete at the end.
func checkOrder(numbers []int, repeats bool) error {
	var news []int // numbers without repetitions
	at := 0        // index in news of the number that should be next
	for i, n := range numbers {
		switch {
		case at == len(news) && (at == 0 || n > news[at-1]):
			news = append(news, n)
		case at < len(news) && news[at] == n: // the repetition continues
		default:
			at = 0
			for at < len(news) && news[at] != n {
				at++
			}
			if at == len(news) || !repeats {
				return fmt.Errorf("number %d out of order at position %d, after %v", n, i, numbers[max(0, i-10):i])
			}
		}
		at++
	}
	return nil
}
