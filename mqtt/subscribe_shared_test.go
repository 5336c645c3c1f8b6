//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handledMessage is a message that a worker of the group has handled.
type handledMessage struct {
	worker  int
	payload string
}

// workers are four clients with the same shared subscription, $share/workers/jobs. The first
// worker connects through a fault proxy.
type workers struct {
	done    chan handledMessage
	counts  [4]int            // number of messages of each worker
	handled map[string]int    // how often each message was handled, by payload
	twice   []handledMessage  // messages that were handled again
	network *faultproxy.Proxy // of the first worker
	first   *mqtt.Client
	hold    chan struct{} // the first worker blocks in its fifth message until it is closed
}

func startWorkers(t *testing.T, b *broker.Broker, options ...mqtt.Option) *workers {
	t.Helper()
	w := &workers{
		done: make(chan handledMessage, 100_000), handled: map[string]int{},
		network: faultproxy.Start(t, b.Addr()), hold: make(chan struct{}),
	}
	for i := range w.counts {
		port, n := b.Port, 0
		if i == 0 {
			port = w.network.Port
		}
		c := dial(t, port, append([]mqtt.Option{mqtt.WithClientID(fmt.Sprint("worker-", i))}, options...)...)
		if i == 0 {
			w.first = c
		}
		require.NoError(t, c.Subscribe(wait.Soon(t), "$share/workers/jobs", 1, func(ctx context.Context, m mqtt.Message) {
			if n++; i == 0 && n == 5 {
				select {
				case <-w.hold:
				case <-ctx.Done():
				}
			}
			w.done <- handledMessage{i, string(m.Payload)}
		}))
	}
	return w
}

// collect counts the messages that were handled since the last call.
func (w *workers) collect() {
	for {
		select {
		case d := <-w.done:
			w.counts[d.worker]++
			if w.handled[d.payload]++; w.handled[d.payload] > 1 {
				w.twice = append(w.twice, d)
			}
		default:
			return
		}
	}
}

// others returns the number of messages that all workers but the first have handled.
func (w *workers) others() (n int) {
	w.collect()
	for _, count := range w.counts[1:] {
		n += count
	}
	return n
}

// publish publishes the numbers from, …, to-1 on "jobs" and waits until they are acknowledged.
func publish(t *testing.T, c *mqtt.Client, from, to int) {
	t.Helper()
	tokens := make([]*mqtt.Token, 0, to-from)
	for i := from; i < to; i++ {
		tokens = append(tokens, c.PublishAsync(wait.Soon(t), "jobs", fmt.Append(nil, i)))
	}
	for _, token := range tokens {
		require.NoError(t, token.Wait(wait.Soon(t)))
	}
}

func TestShare_EachMessageGoesToOneWorker(t *testing.T) {
	const messages = 1000
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			w := startWorkers(t, b, mqtt.WithProtocol(version))
			close(w.hold)
			publish(t, dial(t, b.Port), 0, messages)
			defer func() { t.Log("messages of each worker:", w.counts) }()
			wait.Until(t, "all messages", func() bool { w.collect(); return len(w.handled) == messages })
			assert.Empty(t, w.twice)
			assert.Equal(t, [4]int{messages / 4, messages / 4, messages / 4, messages / 4}, w.counts, "mosquitto takes the workers in turn")
		})
	}
}

// loseFirst publishes 500 messages, interrupts the connection of the first worker, which
// blocks in its fifth message, and publishes 500 more messages.
func (w *workers) loseFirst(t *testing.T, b *broker.Broker) {
	t.Helper()
	publisher := dial(t, b.Port)
	publish(t, publisher, 0, 500)
	w.network.RefuseNew()
	w.network.Reset()
	lost := regexp.MustCompile(`(?im)client worker-0\b.*(closed|disconnect)`)
	wait.Until(t, "the broker to notice the loss", func() bool { return lost.MatchString(b.Log()) })
	close(w.hold)
	publish(t, publisher, 500, 1000)
}

// With a kept session no message is lost. The broker queues the messages of a disconnected
// worker, including those published while it is disconnected, and sends them to no other
// worker. When the worker has reconnected, it receives the queued messages, and the messages
// that it had not acknowledged a second time.
func TestShare_ReconnectedWorkerGetsItsMessages(t *testing.T) {
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			b := plain(t)
			w := startWorkers(t, b, mqtt.WithProtocol(version), mqtt.WithSession(time.Hour))
			w.loseFirst(t, b)
			wait.Until(t, "the messages of the other workers", func() bool { return w.others() == 750 })
			assert.Less(t, len(w.handled), 1000)

			w.network.AcceptNew()
			wait.Until(t, "the messages of the first worker", func() bool { w.collect(); return len(w.handled) == 1000 })
			assert.Equal(t, 750, w.others(), "no other worker received messages of the first worker")
			for _, d := range w.twice {
				assert.Zero(t, d.worker, "message %s went to another worker", d.payload)
			}
		})
	}
}

// Without a session the other workers receive all messages that are published while a worker
// is disconnected. Messages that it received and did not acknowledge are lost.
func TestShare_WorkerWithoutASessionLosesItsMessages(t *testing.T) {
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			b := plain(t)
			w := startWorkers(t, b, mqtt.WithProtocol(version))
			w.loseFirst(t, b)
			wait.Until(t, "the messages of the other workers", func() bool { return w.others() == 375+500 })

			w.network.AcceptNew()
			wait.Until(t, "the first worker to reconnect", func() bool { return w.first.Stats().Connects == 2 && w.first.State() == mqtt.StateConnected })
			publish(t, dial(t, b.Port), 1000, 1004)
			wait.Until(t, "a message for each worker", func() bool {
				return w.others() == 375+500+3 && w.handled["1000"]+w.handled["1001"]+w.handled["1002"]+w.handled["1003"] == 4
			})
			assert.Empty(t, w.twice)
			for i := range 1004 { // messages that the worker did not acknowledge may be lost
				if w.handled[fmt.Sprint(i)] == 0 {
					assert.Less(t, i, 500, "published after the loss of the worker")
				}
			}
		})
	}
}

// brokerVersion returns the version that the broker publishes.
func brokerVersion(t *testing.T, c *mqtt.Client) string {
	t.Helper()
	for m, err := range c.Messages(wait.Soon(t), "$SYS/broker/version", 0) {
		require.NoError(t, err)
		return strings.TrimPrefix(string(m.Payload), "mosquitto version ")
	}
	require.FailNow(t, "the broker does not publish its version")
	return ""
}

// A client may have a shared subscription and other subscriptions that overlap it. With
// MQTT 5 subscription identifiers distinguish the copies of a message. With MQTT 3 each
// handler receives every copy: mosquitto before 2.1 sends one copy, later versions send one
// for each subscription.
func TestShare_OverlappingSubscriptionsGetTheirMessages(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			filters := []string{"$share/one/jobs", "$share/two/jobs", "$share/two/+", "jobs", "#"}
			got := make([]<-chan mqtt.Message, len(filters))
			for i, filter := range filters {
				var h mqtt.Handler
				h, got[i] = collect()
				require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, h))
			}
			copies := 1
			if version != mqtt.V5 && strings.HasPrefix(brokerVersion(t, c), "2.1") {
				copies = len(filters)
			}
			publish(t, c, 0, 10)
			for i, filter := range filters {
				for n := range 10 * copies {
					assert.Equal(t, fmt.Sprint(n/copies), string(wait.For(t, got[i], filter).Payload))
				}
			}
			require.NoError(t, c.Unsubscribe(wait.Soon(t), "$share/one/jobs", "$share/two/jobs", "$share/two/+", "#"))
			publish(t, c, 10, 11)
			assert.Equal(t, "10", string(wait.For(t, got[3], "the plain subscription").Payload))
			for i, filter := range filters {
				wait.None(t, got[i], "message for "+filter)
			}
		})
	}
}

// A client has a shared subscription and a plain subscription for the same filter. The plain
// subscription also receives the messages that go to other members of the group. With MQTT 3
// the client cannot distinguish them, and the handler of the shared subscription gets them.
func TestShare_PlainSubscriptionGetsAllMessages(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			both, other := dial(t, b.Port, mqtt.WithProtocol(version)), dial(t, b.Port, mqtt.WithProtocol(version))
			shared, ours := collect()
			alone, all := collect()
			another, theirs := collect()
			require.NoError(t, both.Subscribe(wait.Soon(t), "$share/g/jobs", 1, shared))
			require.NoError(t, both.Subscribe(wait.Soon(t), "jobs", 1, alone))
			require.NoError(t, other.Subscribe(wait.Soon(t), "$share/g/jobs", 1, another))
			publish(t, both, 0, 10)
			for range 10 {
				wait.For(t, all, "a message of the plain subscription")
			}
			for range 5 {
				wait.For(t, theirs, "a message of the other member")
			}
			got := 5 // the other member of the group receives 5 messages
			if version != mqtt.V5 {
				got = 10 // the copies of the plain subscription too
			}
			for range got {
				wait.For(t, ours, "a message of the shared subscription")
			}
			if version == mqtt.V5 {
				wait.None(t, ours, "message of the other member")
			}
		})
	}
}

// The filter after $share/GROUP/ matches topics as any other filter does.
func TestShare_FilterBehindTheGroupIsMatched(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			filters := map[string]string{ // filter, and a topic that no other filter matches
				"$share/g/a/+/c": "a/b/c", "$share/$g/d/#": "d", "$share/ä b/e": "e", "$share/g//f": "/f", "$share/share/share": "share",
				"$SHARE/g/h": "$SHARE/g/h",
			}
			got := map[string]<-chan mqtt.Message{}
			for filter := range filters {
				var h mqtt.Handler
				h, got[filter] = collect()
				require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, h))
			}
			for filter, topic := range filters {
				require.NoError(t, c.Publish(wait.Soon(t), topic, []byte(filter)))
				assert.Equal(t, filter, string(wait.For(t, got[filter], filter).Payload))
			}
			for filter := range filters {
				wait.None(t, got[filter], "message for "+filter)
			}
		})
	}
}

func TestShare_IsRestoredAfterARestartOfTheBroker(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			h, got := collect()
			require.NoError(t, c.Subscribe(wait.Soon(t), "$share/g/jobs", 1, h))
			b.Kill()
			wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
			b.Restart()
			require.NoError(t, c.AwaitConnected(wait.Soon(t)))
			publish(t, c, 0, 1)
			wait.For(t, got, "a message")
		})
	}
}

// The call refuses a malformed shared subscription. The broker would close the connection
// because of it, which would affect all other subscriptions.
func TestShare_MalformedFilterIsRefusedAtTheCall(t *testing.T) {
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	h, _ := collect()
	for _, filter := range []string{"$share", "$share/", "$share/#", "$share/+/a", "$share/g", "$share/g/", "$share//a"} {
		err := c.Subscribe(wait.Soon(t), filter, 1, h)
		require.ErrorIs(t, err, mosquitto.ErrInval, filter)
		require.ErrorContains(t, err, fmt.Sprintf("mqtt: filter: %q is not $share/GROUP/FILTER: ", filter))
		require.ErrorContains(t, c.Unsubscribe(wait.Soon(t), filter), "is not $share/GROUP/FILTER")
		for _, err := range c.Messages(wait.Soon(t), filter, 1) {
			require.ErrorContains(t, err, "is not $share/GROUP/FILTER")
		}
	}
	for _, filter := range []string{"$share/g+/a", "$share/g/a#", "$share/g/#/a"} {
		require.ErrorContains(t, c.Subscribe(wait.Soon(t), filter, 1, h), fmt.Sprintf("mqtt: filter: %q has ", filter))
	}
	require.ErrorContains(t, c.Subscribe(wait.Soon(t), "$share/g/a", 1, h, mqtt.WithNoLocal()), "mqtt: options: WithNoLocal is not for shared subscriptions: ")
	require.EqualValues(t, 1, c.Stats().Connects)
	require.Equal(t, mqtt.StateConnected, c.State())
}

func TestShare_BrokerWithoutSharedSubscriptionsIsReported(t *testing.T) {
	l := fakebroker.Listen(t)
	dialled := make(chan *mqtt.Client, 1)
	go func() {
		c, err := mqtt.Dial(wait.Soon(t), []string{url(l.Port)}, fast(), mqtt.WithProtocol(mqtt.V5))
		assert.NoError(t, err)
		dialled <- c
	}()
	conn := l.AcceptConnect()
	c := wait.For(t, dialled, "the client")
	t.Cleanup(func() { closeNow(t, c) })
	h, _ := collect()
	answer := make(chan error, 1)
	go func() { answer <- c.Subscribe(wait.Soon(t), "$share/g/a", 1, h) }()
	mid := conn.Expect(fakebroker.SUBSCRIBE).Body[:2]
	conn.Send(fakebroker.Bytes(fakebroker.SUBACK, mid[0], mid[1], 0, byte(mosquitto.RCSharedSubsNotSupported)))
	err := wait.For(t, answer, "the refusal")
	var refused *mqtt.SubscribeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, mqtt.SubscribeError{Filter: "$share/g/a", Code: mosquitto.RCSharedSubsNotSupported}, *refused)
	require.EqualError(t, err, `mqtt: subscribe to "$share/g/a": refused: `+mosquitto.RCSharedSubsNotSupported.String())
}
