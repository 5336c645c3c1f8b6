//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/fault"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// storm is everything at once: publishers, subscribers that come and go, requests,
// iterators, contexts that end at odd moments, and a network in trouble on the
// way to two servers. The dice are the same in each run; MQTT_STORM_SEED changes
// them.
type storm struct {
	t       *testing.T
	seed    uint64
	c       *mqtt.Client
	direct  *mqtt.Client
	proxies [2]*fault.Proxy
	seen    *witness // what has reached the broker
	came    *witness // what has reached the client's lasting handler
	steps   int
	running sync.WaitGroup
	stop    chan struct{}

	mu           sync.Mutex
	acknowledged map[string][]int // numbers by topic
	broken       []string
}

func stormSeed(t *testing.T, fixed uint64) uint64 {
	if text := os.Getenv("MQTT_STORM_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		fixed = n
	}
	t.Logf("MQTT_STORM_SEED=%d", fixed)
	return fixed
}

func newStorm(t *testing.T, seed uint64, options ...mqtt.Option) *storm {
	s := &storm{
		t: t, seed: stormSeed(t, seed), steps: 40, stop: make(chan struct{}),
		came: &witness{came: map[string][]int{}}, acknowledged: map[string][]int{},
	}
	b := straight(t)
	s.seen = newWitness(t, b.Port, "out/#")
	s.direct = dial(t, b.Port)
	require.NoError(t, s.direct.Subscribe(wait.Soon(t), "nobody", 1, ignore))
	d := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, d.Respond(wait.Soon(t), "questions", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) { return m.Payload, nil }))
	var servers []string
	for i := range s.proxies {
		s.proxies[i] = fault.Start(t, b.Addr())
		servers = append(servers, url(s.proxies[i].Port))
	}
	// The network ends the connections here, which no message is to blame for.
	s.c = dialAll(t, servers, append([]mqtt.Option{mqtt.WithDeliveryAttempts(0), hasty(), mqtt.WithProtocol(mqtt.V5), mqtt.WithClientID("storm"), mqtt.WithSession(time.Hour),
		mqtt.WithSubscription("in", 1, s.came.handle)}, options...)...)
	return s
}

// dice are those of one goroutine.
func (s *storm) dice(id uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, id)) }

func (s *storm) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = append(s.broken, fmt.Sprintf(format, args...))
}

// each runs f again and again in a goroutine of its own.
func (s *storm) each(id uint64, f func(dice *rand.Rand, n int)) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		dice := s.dice(id)
		for n := 0; ; n++ {
			select {
			case <-s.stop:
				return
			default:
				f(dice, n)
			}
		}
	}()
}

// wait makes a call with a context that ends soon, or has ended, and checks that
// it returns in time with an error that is one of the documented.
func (s *storm) wait(dice *rand.Rand, what string, call func(context.Context) error) error {
	patience := time.Duration(dice.IntN(60)) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begun := time.Now()
	err := call(ctx)
	if took := time.Since(begun); took > patience+5*time.Second {
		s.complain("%s took %v", what, took)
	}
	if !expected(err) {
		s.complain("%s: %v", what, err)
	}
	return err
}

func (s *storm) publishers() {
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		awaited, tokens := fmt.Sprint("out/awaited/", qos), fmt.Sprint("out/token/", qos)
		s.each(10+uint64(qos), func(dice *rand.Rand, n int) {
			payload := fmt.Appendf(nil, "%d %*d", n, dice.IntN(3)*dice.IntN(3000), 0)
			if s.wait(dice, "Publish", func(ctx context.Context) error { return s.c.Publish(ctx, awaited, payload, mqtt.WithQoS(qos)) }) == nil {
				s.ack(awaited, n)
			}
		})
		s.each(20+uint64(qos), func(dice *rand.Rand, n int) {
			var token *mqtt.Token
			_ = s.wait(dice, "PublishAsync", func(ctx context.Context) error {
				token = s.c.PublishAsync(ctx, tokens, fmt.Append(nil, n), mqtt.WithQoS(qos))
				if dice.IntN(4) == 0 {
					return token.Wait(ctx)
				}
				return nil
			})
			s.running.Add(1)
			go func() {
				defer s.running.Done()
				<-token.Done()
				if token.Err() == nil {
					s.ack(tokens, n)
				}
			}()
			time.Sleep(time.Duration(dice.IntN(2000)) * time.Microsecond)
		})
	}
}

func (s *storm) ack(topic string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledged[topic] = append(s.acknowledged[topic], n)
}

func (s *storm) subscribers() {
	for i := range uint64(3) {
		filter := fmt.Sprint("in/", i%2) // two of them get into each other's way
		s.each(30+i, func(dice *rand.Rand, _ int) {
			_ = s.wait(dice, "Subscribe", func(ctx context.Context) error { return s.c.Subscribe(ctx, filter, 1, ignore) })
			_ = s.wait(dice, "Unsubscribe", func(ctx context.Context) error { return s.c.Unsubscribe(ctx, filter) })
		})
	}
	s.each(40, func(dice *rand.Rand, _ int) {
		_ = s.wait(dice, "Messages", func(ctx context.Context) error {
			for _, err := range s.c.Messages(ctx, "in", 1) {
				if err != nil || dice.IntN(5) == 0 {
					return err
				}
				_ = s.wait(dice, "Publish in a loop", func(ctx context.Context) error { return s.c.Publish(ctx, "other", nil) })
			}
			return nil
		})
	})
	s.each(41, func(dice *rand.Rand, n int) {
		_ = s.wait(dice, "Request", func(ctx context.Context) error {
			want := fmt.Sprint(n)
			m, err := s.c.Request(ctx, "questions", []byte(want))
			if err == nil && string(m.Payload) != want {
				s.complain("the answer to %s was %s", want, m.Payload)
			}
			return err
		})
	})
	s.each(42, func(dice *rand.Rand, n int) {
		if err := s.direct.Publish(context.Background(), "in", fmt.Append(nil, n)); err == nil {
			s.ack("in", n)
		}
		time.Sleep(time.Duration(dice.IntN(5)) * time.Millisecond)
	})
}

// trouble goes from one to the next, on the way to either server.
func (s *storm) trouble() {
	dice := s.dice(1)
	for range s.steps {
		p := s.proxies[dice.IntN(2)]
		x := troubles[dice.IntN(len(troubles))]
		x.begin(p)
		time.Sleep(time.Duration(dice.IntN(40)) * time.Millisecond)
		if dice.IntN(3) > 0 {
			x.end(p)
		}
	}
}

func (s *storm) calm() {
	for _, p := range s.proxies {
		trouble{}.end(p)
	}
}

// run lets the storm pass. Afterwards every wait has ended, what was acknowledged
// is there, in order, and the lasting subscription still gets messages.
func (s *storm) run(keepsAll bool) {
	t := s.t
	s.publishers()
	s.subscribers()
	s.trouble()
	close(s.stop)
	s.calm()
	ended := make(chan bool)
	go func() {
		s.running.Wait()
		close(ended)
	}()
	wait.For(t, ended, "the end of all waits")
	require.NoError(t, s.c.AwaitConnected(wait.Soon(t)))
	require.Empty(t, s.broken)
	s.check(keepsAll)
}

func (s *storm) check(keepsAll bool) {
	t, total := s.t, 0
	for qos := 1; qos <= 2; qos++ {
		for _, kind := range []string{"awaited", "token"} {
			topic := fmt.Sprint("out/", kind, "/", qos)
			total += len(s.acknowledged[topic])
			wait.Until(t, "what was acknowledged on "+topic, func() bool { return s.seen.has(topic, s.acknowledged[topic]) })
		}
	}
	require.Positive(t, total)
	for _, topic := range s.seen.topics() {
		require.NoError(t, inOrder(s.seen.numbers(topic), topic[len(topic)-1] == '1'), topic)
	}
	if !keepsAll {
		return
	}
	wait.Until(t, "the messages to the client", func() bool { return s.came.has("in", s.acknowledged["in"]) })
	require.NoError(t, inOrder(s.came.numbers("in"), true), "in")
}

func TestStorm_NoWaitHangs(t *testing.T) {
	t.Parallel()
	newStorm(t, 1, mqtt.WithHandlerMode(mqtt.Worker(2, mqtt.Block)), mqtt.WithQueue(20, 1<<20, mqtt.WaitForRoom)).run(true)
}

func TestStorm_SuccessMeansDelivery(t *testing.T) {
	t.Parallel()
	newStorm(t, 2, mqtt.WithQueue(50, 100_000, mqtt.DropOldestQoS0), mqtt.WithInflight(5)).run(true)
}

func TestStorm_OrderIsKept(t *testing.T) {
	t.Parallel()
	newStorm(t, 3).run(true)
}

func TestStorm_SubscriptionsSurvive(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 4, mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.DropOldest)))
	s.run(false)
	n := len(s.came.numbers("in"))
	wait.Until(t, "a message on the lasting subscription", func() bool {
		require.NoError(t, s.direct.Publish(wait.Soon(t), "in", nil))
		return len(s.came.numbers("in")) > n
	})
}

func TestStorm_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	const messages, bytes = 30, 50_000
	s := newStorm(t, 5, mqtt.WithHandlerMode(mqtt.Worker(3, mqtt.DropNewest)), mqtt.WithQueue(messages, bytes, mqtt.Refuse))
	s.each(50, func(*rand.Rand, int) {
		if stats := s.c.Stats(); stats.Queued > messages || stats.QueuedBytes > bytes || stats.Handling > 3 {
			s.complain("%+v", stats)
		}
		time.Sleep(100 * time.Microsecond)
	})
	s.run(false)
}

// The handler makes random calls, and so does the state handler.
func TestStorm_CallsInHandlersReturn(t *testing.T) {
	t.Parallel()
	var s *storm
	made := make(chan bool)
	inside := func(dice *rand.Rand) {
		<-made
		for name, call := range methods(s.c, s.c.PublishAsync(context.Background(), "x", nil)) {
			if name != "Close" && dice.IntN(10) == 0 {
				_ = s.wait(dice, "a method", func(ctx context.Context) error {
					call(ctx)
					return nil
				})
			}
		}
	}
	handlers, states := rand.New(rand.NewPCG(6, 100)), rand.New(rand.NewPCG(6, 101))
	s = newStorm(t, 6, mqtt.WithHandlerMode(mqtt.Worker(5, mqtt.Block)),
		mqtt.WithSubscription("in/+", 1, func(context.Context, mqtt.Message) { inside(handlers) }),
		mqtt.WithStateHandler(func(*mqtt.Client, mqtt.StateChange) { inside(states) }))
	close(made)
	s.each(60, func(dice *rand.Rand, n int) {
		_ = s.direct.Publish(context.Background(), fmt.Sprint("in/", n%2), nil)
		time.Sleep(time.Duration(dice.IntN(10)) * time.Millisecond)
	})
	s.run(true)
}

// Acknowledged messages are delivered.
func TestStorm_CloseLeavesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newStorm(t, 70+seed, mqtt.WithHandlerMode(mqtt.Worker(2, mqtt.Block)))
			s.steps = 5
			s.publishers()
			s.subscribers()
			s.trouble()
			dice := s.dice(2)
			_ = s.wait(dice, "Close", func(ctx context.Context) error {
				_ = s.c.Close(ctx)
				return nil
			})
			wait.For(t, s.c.Done(), "the end of the client")
			close(s.stop)
			ended := make(chan bool)
			go func() {
				s.running.Wait()
				close(ended)
			}()
			wait.For(t, ended, "the end of all waits")
			require.Empty(t, s.broken)
			for topic, numbers := range s.acknowledged {
				if topic != "in" && topic[len(topic)-1] != '0' {
					wait.Until(t, "what was acknowledged on "+topic, func() bool { return s.seen.has(topic, numbers) })
				}
			}
			for _, topic := range s.seen.topics() {
				require.NoError(t, inOrder(s.seen.numbers(topic), topic[len(topic)-1] == '1'), topic)
			}
		})
	}
}
