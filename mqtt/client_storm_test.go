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

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// storm is a stress test of one client. Publishers, subscribers, requests and iterators run
// at the same time, with contexts that end at random moments. The client has two servers,
// each behind a fault proxy that causes random network faults. The random numbers are the
// same in each run, unless MQTT_STORM_SEED sets another seed.
type storm struct {
	t       *testing.T
	seed    uint64
	c       *mqtt.Client
	direct  *mqtt.Client // connects without a fault proxy
	proxies [2]*faultproxy.Proxy

	atBroker *numberRecorder // messages that c published and the broker received
	atClient *numberRecorder // messages that the subscription of WithSubscription delivered to c

	steps   int // number of network faults
	running sync.WaitGroup
	stop    chan struct{}

	mu           sync.Mutex
	acknowledged map[string][]int // numbers by topic
	failures     []string
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
		atClient: &numberRecorder{byTopic: map[string][]int{}}, acknowledged: map[string][]int{},
	}
	b := startOrderedBroker(t)
	s.atBroker = recordNumbers(t, b.Port, "out/#")
	s.direct = dial(t, b.Port)
	require.NoError(t, s.direct.Subscribe(wait.Soon(t), "no messages", 1, ignore))
	d := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, d.Respond(wait.Soon(t), "questions", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) { return m.Payload, nil }))
	var servers []string
	for i := range s.proxies {
		s.proxies[i] = faultproxy.Start(t, b.Addr())
		servers = append(servers, url(s.proxies[i].Port))
	}
	// The network closes the connections, so no message must be given up because of them.
	s.c = dialAll(t, servers, append([]mqtt.Option{mqtt.WithDeliveryAttempts(0), shortConnectTimeout(), mqtt.WithProtocol(mqtt.V5), mqtt.WithClientID("storm"), mqtt.WithSession(time.Hour),
		mqtt.WithSubscription("in", 1, s.atClient.handle)}, options...)...)
	return s
}

// dice returns the random numbers of one goroutine.
func (s *storm) dice(id uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, id)) }

// fail records a failure. The goroutine of the test reports it at the end.
func (s *storm) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

// repeat calls f in a new goroutine until stop is closed.
func (s *storm) repeat(id uint64, f func(dice *rand.Rand, n int)) {
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

// wait makes a call whose context ends within 60 ms. It checks that the call returns within
// 5 s after the end of the context, with nil or a documented error.
func (s *storm) wait(dice *rand.Rand, what string, call func(context.Context) error) error {
	timeout := time.Duration(dice.IntN(60)) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	begun := time.Now()
	err := call(ctx)
	if took := time.Since(begun); took > timeout+5*time.Second {
		s.fail("%s took %v", what, took)
	}
	if !isDocumentedError(err) {
		s.fail("%s: %v", what, err)
	}
	return err
}

// publishers starts goroutines that publish with each QoS, with and without waiting.
func (s *storm) publishers() {
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		awaited, tokens := fmt.Sprint("out/awaited/", qos), fmt.Sprint("out/token/", qos)
		s.repeat(10+uint64(qos), func(dice *rand.Rand, n int) {
			payload := fmt.Appendf(nil, "%d %*d", n, dice.IntN(3)*dice.IntN(3000), 0)
			if s.wait(dice, "Publish", func(ctx context.Context) error { return s.c.Publish(ctx, awaited, payload, mqtt.WithQoS(qos)) }) == nil {
				s.ack(awaited, n)
			}
		})
		s.repeat(20+uint64(qos), func(dice *rand.Rand, n int) {
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

// ack records that the broker acknowledged message n of a topic.
func (s *storm) ack(topic string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledged[topic] = append(s.acknowledged[topic], n)
}

// subscribers starts goroutines that subscribe, unsubscribe, iterate over messages and make
// requests. Another goroutine publishes the messages for the client.
func (s *storm) subscribers() {
	for i := range uint64(3) {
		filter := fmt.Sprint("in/", i%2) // two goroutines use the same filter
		s.repeat(30+i, func(dice *rand.Rand, _ int) {
			_ = s.wait(dice, "Subscribe", func(ctx context.Context) error { return s.c.Subscribe(ctx, filter, 1, ignore) })
			_ = s.wait(dice, "Unsubscribe", func(ctx context.Context) error { return s.c.Unsubscribe(ctx, filter) })
		})
	}
	s.repeat(40, func(dice *rand.Rand, _ int) {
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
	s.repeat(41, func(dice *rand.Rand, n int) {
		_ = s.wait(dice, "Request", func(ctx context.Context) error {
			want := fmt.Sprint(n)
			m, err := s.c.Request(ctx, "questions", []byte(want))
			if err == nil && string(m.Payload) != want {
				s.fail("the reply to %s was %s", want, m.Payload)
			}
			return err
		})
	})
	s.repeat(42, func(dice *rand.Rand, n int) {
		if err := s.direct.Publish(context.Background(), "in", fmt.Append(nil, n)); err == nil {
			s.ack("in", n)
		}
		time.Sleep(time.Duration(dice.IntN(5)) * time.Millisecond)
	})
}

// causeFaults causes network faults, one after the other. It leaves some of them in effect
// while the next fault starts.
func (s *storm) causeFaults() {
	dice := s.dice(1)
	for range s.steps {
		p := s.proxies[dice.IntN(2)]
		x := networkFaults[dice.IntN(len(networkFaults))]
		x.begin(p)
		time.Sleep(time.Duration(dice.IntN(40)) * time.Millisecond)
		if dice.IntN(3) > 0 {
			x.end(p)
		}
	}
}

func (s *storm) endFaults() {
	for _, p := range s.proxies {
		networkFault{}.end(p)
	}
}

// run runs all goroutines during the network faults. It then requires that every call has
// returned and that the acknowledged messages arrived in order. The messages to the client
// are checked only with keepsAll.
func (s *storm) run(keepsAll bool) {
	t := s.t
	s.publishers()
	s.subscribers()
	s.causeFaults()
	close(s.stop)
	s.endFaults()
	ended := make(chan bool)
	go func() {
		s.running.Wait()
		close(ended)
	}()
	wait.For(t, ended, "all calls to return")
	require.NoError(t, s.c.AwaitConnected(wait.Soon(t)))
	require.Empty(t, s.failures)
	s.check(keepsAll)
}

func (s *storm) check(keepsAll bool) {
	t, total := s.t, 0
	for qos := 1; qos <= 2; qos++ {
		for _, kind := range []string{"awaited", "token"} {
			topic := fmt.Sprint("out/", kind, "/", qos)
			total += len(s.acknowledged[topic])
			wait.Until(t, "the acknowledged messages on "+topic, func() bool { return s.atBroker.has(topic, s.acknowledged[topic]) })
		}
	}
	require.Positive(t, total)
	for _, topic := range s.atBroker.topics() {
		require.NoError(t, checkOrder(s.atBroker.numbers(topic), topic[len(topic)-1] == '1'), topic)
	}
	if !keepsAll {
		return
	}
	wait.Until(t, "the messages to the client", func() bool { return s.atClient.has("in", s.acknowledged["in"]) })
	require.NoError(t, checkOrder(s.atClient.numbers("in"), true), "in")
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
	n := len(s.atClient.numbers("in"))
	wait.Until(t, "a message on the subscription of WithSubscription", func() bool {
		require.NoError(t, s.direct.Publish(wait.Soon(t), "in", nil))
		return len(s.atClient.numbers("in")) > n
	})
}

func TestStorm_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	const messages, bytes = 30, 50_000
	s := newStorm(t, 5, mqtt.WithHandlerMode(mqtt.Worker(3, mqtt.DropNewest)), mqtt.WithQueue(messages, bytes, mqtt.Refuse))
	s.repeat(50, func(*rand.Rand, int) {
		if stats := s.c.Stats(); stats.Queued > messages || stats.QueuedBytes > bytes || stats.Handling > 3 {
			s.fail("%+v", stats)
		}
		time.Sleep(100 * time.Microsecond)
	})
	s.run(false)
}

// The message handler and the state handler call random methods of the client.
func TestStorm_CallsInHandlersReturn(t *testing.T) {
	t.Parallel()
	var s *storm
	created := make(chan bool)
	callMethods := func(dice *rand.Rand) {
		<-created
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
		mqtt.WithSubscription("in/+", 1, func(context.Context, mqtt.Message) { callMethods(handlers) }),
		mqtt.WithStateHandler(func(*mqtt.Client, mqtt.StateChange) { callMethods(states) }))
	close(created)
	s.repeat(60, func(dice *rand.Rand, n int) {
		_ = s.direct.Publish(context.Background(), fmt.Sprint("in/", n%2), nil)
		time.Sleep(time.Duration(dice.IntN(10)) * time.Millisecond)
	})
	s.run(true)
}

// Close returns during the faults. Messages that were acknowledged before are delivered.
// TestMain checks that no goroutine and no file descriptor remains.
func TestStorm_CloseLeavesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newStorm(t, 70+seed, mqtt.WithHandlerMode(mqtt.Worker(2, mqtt.Block)))
			s.steps = 5
			s.publishers()
			s.subscribers()
			s.causeFaults()
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
			wait.For(t, ended, "all calls to return")
			require.Empty(t, s.failures)
			for topic, numbers := range s.acknowledged {
				if topic != "in" && topic[len(topic)-1] != '0' {
					wait.Until(t, "the acknowledged messages on "+topic, func() bool { return s.atBroker.has(topic, numbers) })
				}
			}
			for _, topic := range s.atBroker.topics() {
				require.NoError(t, checkOrder(s.atBroker.numbers(topic), topic[len(topic)-1] == '1'), topic)
			}
		})
	}
}
