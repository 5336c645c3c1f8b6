//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// Faults of the network, for the tests of promises that hold whatever the network does:
// deadlock, delivery, ends, leak, order, queue_memory, storm and success.

// trouble is one of the things that a network does.
type trouble struct {
	name  string
	begin func(p *fault.Proxy)
}

var troubles = []trouble{
	{"cut", func(p *fault.Proxy) { p.RefuseNew(); p.Cut() }},
	{"cut, reconnected at once", func(p *fault.Proxy) { p.Cut() }},
	{"reset", func(p *fault.Proxy) { p.RefuseNew(); p.Reset() }},
	{"reset, reconnected at once", func(p *fault.Proxy) { p.Reset() }},
	{"half-close up", func(p *fault.Proxy) { p.HalfClose(fault.Up) }},
	{"half-close down", func(p *fault.Proxy) { p.HalfClose(fault.Down) }},
	{"stall", func(p *fault.Proxy) { p.Stall(fault.Both) }},
	{"stall up", func(p *fault.Proxy) { p.Stall(fault.Up) }},
	{"stall down", func(p *fault.Proxy) { p.Stall(fault.Down) }},
	{"black hole", func(p *fault.Proxy) { p.BlackholeNew(); p.Cut() }},
	{"closed at once", func(p *fault.Proxy) { p.CloseNew(); p.Cut() }},
	{"slow", func(p *fault.Proxy) { p.Delay(fault.Both, 5*time.Millisecond); p.Split(fault.Both, true) }},
	{"thin", func(p *fault.Proxy) { p.Rate(fault.Both, 20_000) }},
}

// end heals the network. Connections that have lost bytes do not live on.
func (trouble) end(p *fault.Proxy) {
	p.Heal()
	p.Cut()
}

// hasty gives up connections that get no answer in a short time.
func hasty() mqtt.Option { return mqtt.WithConnectTimeout(500 * time.Millisecond) }

// straight starts a broker that keeps the order: one whose window to a subscriber
// is full sends what comes next before what it has queued (mosquitto 2.0.11).
func straight(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true\nmax_inflight_messages 0"})
}

// during runs f in each trouble, with a broker, a proxy and a client of its own.
func during(t *testing.T, options []mqtt.Option, f func(t *testing.T, x trouble, p *fault.Proxy, c, direct *mqtt.Client)) {
	b := straight(t)
	for _, x := range troubles {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := fault.Start(t, b.Addr())
			c := dial(t, p.Port, append(options, hasty())...)
			f(t, x, p, c, dial(t, b.Port))
		})
	}
}

// brief is a context that ends soon.
func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// expected tells whether an error is one that a wait may end with while the
// network is out of order.
func expected(err error) bool {
	for _, one := range []error{nil, context.DeadlineExceeded, context.Canceled, mqtt.ErrConnectionLost, mqtt.ErrClosed,
		mqtt.ErrQueueFull, mqtt.ErrDropped, mqtt.ErrSuperseded, mqtt.ErrHandlerQueueFull} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// witness is a subscriber straight at the broker: what it has is what was
// published.
type witness struct {
	mu   sync.Mutex
	came map[string][]int // numbers by topic, in the order of arrival
}

func newWitness(t testing.TB, port int, filter string) *witness {
	t.Helper()
	w := &witness{came: map[string][]int{}}
	require.NoError(t, dial(t, port).Subscribe(wait.Soon(t), filter, 2, w.handle))
	return w
}

func (w *witness) handle(_ context.Context, m mqtt.Message) {
	var n int
	_, _ = fmt.Sscan(string(m.Payload), &n)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came[m.Topic] = append(w.came[m.Topic], n)
}

func (w *witness) numbers(topic string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.came[topic]...)
}

func (w *witness) topics() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic := range w.came {
		all = append(all, topic)
	}
	return all
}

// has tells whether all of some numbers have come.
func (w *witness) has(topic string, want []int) bool {
	came := map[int]bool{}
	for _, n := range w.numbers(topic) {
		came[n] = true
	}
	for _, n := range want {
		if !came[n] {
			return false
		}
	}
	return true
}

// inOrder says what is wrong with the order of numbers that were published in
// rising order: each is new and above all others, or, where repeats are allowed,
// it begins or continues a repetition of what came before, without a gap. The last
// repetition may be on its way.
func inOrder(numbers []int, repeats bool) error {
	var news []int // as they came for the first time
	at := 0        // how many of them have come, or come again
	for i, n := range numbers {
		switch {
		case at == len(news) && (at == 0 || n > news[at-1]):
			news = append(news, n)
		case at < len(news) && news[at] == n: // a repetition goes on
		default:
			at = 0
			for at < len(news) && news[at] != n {
				at++
			}
			if at == len(news) || !repeats {
				return fmt.Errorf("%d, the number %d to come, after %v", n, i, numbers[max(0, i-10):i])
			}
		}
		at++
	}
	return nil
}
