//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

// outage is a way to make a node unavailable for some time.
type outage struct {
	name       string
	begin, end func(*cluster.Node)
}

var (
	killed  = outage{"killed", (*cluster.Node).Kill, (*cluster.Node).Restart}
	drained = outage{"drained", (*cluster.Node).Drain, (*cluster.Node).Revive}
)

// failover tests that clients of three nodes keep working during each outage of each node, and
// that no acknowledged message is lost. Each version of MQTT has a publisher and a subscriber.
// If a message is not acknowledged within resend, the publisher reconnects, and so sends the
// message again. With 0 it never does.
func failover(t *testing.T, c *cluster.Cluster, versions []mqtt.Protocol, resend time.Duration, outages ...outage) {
	var streams []*stream
	for _, v := range versions {
		streams = append(streams, startStream(t, c, v, resend))
	}
	flow := func(when string, args ...any) {
		for _, s := range streams {
			s.flows(t, fmt.Sprintf(when, args...))
		}
	}
	flow("before the first outage")
	for round, o := range outages {
		for _, n := range c.Nodes {
			o.begin(n)
			flow("while %s is %s in round %d", n.Name, o.name, round+1)
			o.end(n)
			c.WaitReady()
			flow("after the outage of %s in round %d", n.Name, round+1)
		}
	}
	for _, s := range streams {
		s.complete(t)
	}
}

// stream is a publisher that waits for each acknowledgement, and a subscriber. Both have a
// session.
type stream struct {
	version               mqtt.Protocol
	resend                time.Duration // see failover
	resent                atomic.Int64  // number of reconnects because of resend
	publisher, subscriber *mqtt.Client
	acknowledged          chan int // numbers from 0, in order
	received              chan int
	failed                chan error // the error of Publish
	end                   func()     // stops the publisher

	acknowledgements int         // number of values received from acknowledged
	arrived          map[int]int // number of deliveries of each message, received from received
}

// startStream starts a publisher and a subscriber. The publisher connects to the first node, the
// subscriber to the second node. Both can use all nodes.
func startStream(t *testing.T, c *cluster.Cluster, version mqtt.Protocol, resend time.Duration) *stream {
	t.Helper()
	const capacity = 1000000
	s := &stream{
		version: version, resend: resend,
		acknowledged: make(chan int, capacity), received: make(chan int, capacity), failed: make(chan error, 1),
		arrived: make(map[int]int),
	}
	servers := c.Servers()
	protocol := mqtt.WithProtocol(version)
	s.subscriber = dial(t, fmt.Sprint("subscriber ", version), []string{servers[1], servers[2], servers[0]}, protocol,
		mqtt.WithSubscription(s.topic(), 1, func(_ context.Context, m mqtt.Message) {
			n, _ := strconv.Atoi(string(m.Payload))
			s.received <- n
		}))
	s.publisher = dial(t, fmt.Sprint("publisher ", version), servers, protocol)
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		s.publish(ctx)
	}()
	s.end = func() {
		cancel()
		wait.For(t, returned, "the end of the publisher")
	}
	t.Cleanup(s.end)
	return s
}

func (s *stream) topic() string { return fmt.Sprintf("stream/%d", s.version) }

// dial connects a client with a session to one of several servers.
func dial(t *testing.T, id string, servers []string, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	options = append(options, mqtt.WithClientID(id), mqtt.WithSession(time.Hour), mqtt.WithBackoff(100*time.Millisecond, time.Second, 0.5))
	c, err := mqtt.Dial(wait.Soon(t), servers, options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(wait.Soon(t))) })
	return c
}

// publish publishes numbers until ctx ends, at most 500 per second. It reports a failure if an
// acknowledgement takes longer than wait.Patience.
func (s *stream) publish(ctx context.Context) {
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.publishOne(fmt.Append(nil, n)); err != nil {
			s.failed <- fmt.Errorf("message %d: %w", n, err)
			return
		}
		s.acknowledged <- n
		<-pace.C
	}
}

func (s *stream) publishOne(payload []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	token := s.publisher.PublishAsync(ctx, s.topic(), payload)
	if s.resend > 0 {
		select {
		case <-token.Done():
		case <-time.After(s.resend):
			s.resent.Add(1)
			_ = s.publisher.Reconnect(ctx)
		}
	}
	return token.Wait(ctx)
}

// flows waits until messages that are published from now on are acknowledged and have arrived.
func (s *stream) flows(t *testing.T, when string) {
	t.Helper()
	const messages = 50
	last := s.acknowledgements + len(s.acknowledged) + messages
	s.take(t, func() bool { return s.acknowledgements > last && s.arrived[last] > 0 }, fmt.Sprintf("messages of %v %s", s.version, when))
}

// complete stops the publisher and waits until all acknowledged messages have arrived.
func (s *stream) complete(t *testing.T) {
	t.Helper()
	s.end()
	missing := 0
	s.take(t, func() bool {
		for missing < s.acknowledgements && s.arrived[missing] > 0 {
			missing++
		}
		return missing == s.acknowledgements && len(s.acknowledged) == 0
	}, "the acknowledged messages")
	duplicates := 0
	for _, times := range s.arrived {
		duplicates += times - 1
	}
	p, r := s.publisher.Stats().Connects, s.subscriber.Stats().Connects
	t.Logf("%v: %d messages were acknowledged and received, %d times again; %d and %d connections; %d reconnects to resend",
		s.version, s.acknowledgements, duplicates, p, r, s.resent.Load())
	require.Greater(t, p, uint64(1), "the publisher never lost its connection")
	require.Greater(t, r, uint64(1), "the subscriber never lost its connection")
}

// take receives acknowledgements and messages until a condition is true.
func (s *stream) take(t *testing.T, until func() bool, what string) {
	t.Helper()
	deadline := time.After(wait.Patience)
	for !until() {
		select {
		case <-s.acknowledged:
			s.acknowledgements++
		case n := <-s.received:
			s.arrived[n]++
		case err := <-s.failed:
			require.NoError(t, err)
		case <-deadline:
			var missing []int
			for n := range s.acknowledgements {
				if s.arrived[n] == 0 {
					missing = append(missing, n)
				}
			}
			require.FailNow(t, "timeout while waiting for "+what, "of %d messages that were acknowledged %d did not arrive, among them %v; publisher %v, subscriber %v",
				s.acknowledgements, len(missing), missing[:min(len(missing), 10)], s.publisher.State(), s.subscriber.State())
		}
	}
}

func TestNATSFailover(t *testing.T) {
	failover(t, cluster.StartNATS(t), []mqtt.Protocol{mqtt.V311}, 0, killed, killed)
}

func TestRabbitMQFailover(t *testing.T) {
	c := cluster.StartRabbitMQ(t, "mqtt.durable_queue_type = quorum")
	r := releaseOf(t, c)
	failover(t, c, r.protocols, r.resend, killed, killed, drained)
}
