//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestSubscriptions_AreRestoredWhenTheSessionOfQoS2IsLost(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch p.Type() {
		case fakebroker.CONNECT:
			c.write(c.version.Connack(c.number > 2, 0)) // the second CONNECT creates a new session, which the third CONNECT resumes
			return true
		case fakebroker.PUBLISH:
			if c.number == 1 {
				c.Close()
				return true
			}
		}
		return false
	})
	c := dial(t, b.port, mqtt.WithClientID("x"), mqtt.WithSession(time.Hour), mqtt.WithSubscription("a", 1, ignore))
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil, mqtt.WithQoS(2)))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.Equal(t, 3, b.connections())
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil)) // the client would send SUBSCRIBE before
	require.Len(t, b.received(fakebroker.SUBSCRIBE), 2, "SUBSCRIBE on the first connection, and in the new session")
}

// refusesFirst returns a script that refuses the first SUBSCRIBE packets.
func refusesFirst(refusals int) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.SUBSCRIBE && refusals > 0 {
			refusals--
			c.write(c.version.Suback(p.MID(), []byte{0x80}))
			return true
		}
		return false
	}
}

func TestSubscriptions_RefusalInTheBackgroundIsReported(t *testing.T) {
	b := startFakeBroker(t, refusesFirst(1))
	lost := make(chan error, 10)
	var log logBuffer
	c := dial(t, b.port, mqtt.WithBackgroundConnect(), mqtt.WithSubscription("a", 1, ignore), mqtt.WithLogger(log.logger(slog.LevelInfo)),
		mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- err }}))
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil)) // SUBACK has arrived before the acknowledgement
	t.Log(log.String())
	b.conn().Close() // "The client tries the subscription again at the next reconnect."
	wait.Until(t, "a reconnect", func() bool { return c.Stats().Connects == 2 && c.State() == mqtt.StateConnected })
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil))
	t.Log("SUBSCRIBE packets:", len(b.received(fakebroker.SUBSCRIBE)))
	require.Error(t, wait.For(t, lost, "the report"))
	wait.None(t, lost, "second report")
}

// holdsConnack returns a script that sends no CONNACK on the connection with this number. It
// leaves all other packets to the script then.
func holdsConnack(number int, then script) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT && c.number == number {
			return true
		}
		return then(c, p)
	}
}

func TestSubscriptions_PreviousHandlerIsRestoredAfterALostSession(t *testing.T) {
	b := startFakeBroker(t, holdsConnack(2, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.SUBSCRIBE && c.number == 2 {
			c.write(c.version.Suback(p.MID(), []byte{0x80}))
			return true
		}
		return false
	}))
	lost := make(chan error, 10)
	c := dial(t, b.port, mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- err }}))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore))
	b.conn().Close()
	wait.Until(t, "the second CONNECT", func() bool { return b.connections() == 2 })
	ctx := observe(wait.Soon(t))
	second := inBackground(func() error { return c.Subscribe(ctx, "a", 1, ignore) })
	wait.For(t, ctx.accepted, "the second handler")
	b.conn().write(b.conn().version.Connack(false, 0))
	var refusal *mqtt.SubscribeError
	require.ErrorAs(t, wait.For(t, second, "Subscribe"), &refusal)
	wait.Until(t, "the subscription of the first handler, or a report", func() bool {
		return len(lost) > 0 || len(b.received(fakebroker.SUBSCRIBE)) > 2
	})
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.Equal(t, mqtt.StateConnected, c.State())
}

func TestSubscriptions_HandlerThatIsNotRestoredIsReported(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool { return p.Type() == fakebroker.SUBSCRIBE && c.number == 2 })
	lost := make(chan error, 10)
	c := dial(t, b.port, mqtt.WithHooks(mqtt.Hooks{SubscriptionLost: func(err *mqtt.SubscribeError) { lost <- err }}))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore))
	b.conn().Close()
	wait.Until(t, "the second SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 2 })
	ctx := observe(wait.Soon(t))
	second := inBackground(func() error { return c.Subscribe(ctx, "a", 1, ignore) })
	wait.For(t, ctx.accepted, "the second handler")
	refuse := func(n int) {
		wait.Until(t, "SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == n })
		b.conn().write(b.conn().version.Suback(b.received(fakebroker.SUBSCRIBE)[n-1].MID(), []byte{0x80}))
	}
	refuse(2)
	refuse(3)
	require.Error(t, wait.For(t, second, "Subscribe"))
	require.Error(t, wait.For(t, lost, "the report"))
}

func TestSubscriptions_UnsubscribeReachesAnotherServersSession(t *testing.T) {
	first := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT && c.number > 1 {
			c.Close()
			return true
		}
		return false
	})
	other := startFakeBroker(t, func(c *brokerConn, p packet) bool { return p.Type() == fakebroker.CONNECT })
	c := dialAll(t, []string{url(first.port), url(other.port)}, mqtt.WithClientID("x"), mqtt.WithSession(time.Hour))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore))
	first.conn().Close()
	wait.Until(t, "the other server", func() bool { return other.connections() == 1 })
	ctx := observe(wait.Soon(t))
	unsubscribed := inBackground(func() error { return c.Unsubscribe(ctx, "a") })
	wait.For(t, ctx.accepted, "Unsubscribe")
	other.conn().write(other.conn().version.Connack(true, 0))
	require.NoError(t, wait.For(t, unsubscribed, "Unsubscribe"))
	require.Len(t, other.received(fakebroker.UNSUBSCRIBE), 1)
}

func TestSubscriptions_SubackWithTooFewCodesIsARefusal(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.SUBSCRIBE {
			c.write(c.version.Suback(p.MID(), []byte{1}))
			return true
		}
		return false
	})
	c := dial(t, b.port)
	require.Error(t, c.SubscribeMultiple(wait.Soon(t), mqtt.Subscription{Filter: "a", QoS: 1, Handler: ignore}, mqtt.Subscription{Filter: "b", QoS: 1, Handler: ignore}))
}

func TestSubscriptions_TwoRefusedChangesRestoreTheFirst(t *testing.T) {
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.CONNECT && c.number == 2:
			return true
		case p.Type() == fakebroker.SUBSCRIBE && c.number == 2:
			c.write(c.version.Suback(p.MID(), []byte{0x80}))
			return true
		}
		return false
	})
	c := dial(t, b.port, mqtt.WithClientID("x"), mqtt.WithSession(time.Hour))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 0, ignore))
	b.conn().Close()
	wait.Until(t, "the second CONNECT", func() bool { return b.connections() == 2 })
	subscribe := func(qos mqtt.QoS) <-chan error {
		ctx := observe(wait.Soon(t))
		ended := inBackground(func() error { return c.Subscribe(ctx, "a", qos, ignore) })
		wait.For(t, ctx.accepted, "Subscribe")
		return ended
	}
	second, third := subscribe(1), subscribe(2)
	b.conn().write(b.conn().version.Connack(true, 0))
	require.Error(t, wait.For(t, second, "Subscribe"))
	require.Error(t, wait.For(t, third, "Subscribe"))
	b.conn().Close()
	wait.Until(t, "SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 3 })
	require.EqualValues(t, 0, b.received(fakebroker.SUBSCRIBE)[2].filters()[0].Options&3)
}

func TestSubscriptions_IteratorKeepsTheOptionsOfTheHandler(t *testing.T) {
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore, mqtt.WithNoLocal()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range c.Messages(ctx, "a", 1) {
		}
	}()
	wait.Until(t, "SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 2 })
	cancel()
	<-ended
	require.EqualValues(t, 4, b.received(fakebroker.SUBSCRIBE)[1].filters()[0].Options&4, "NoLocal")
}

// An iterator that ends before its SUBACK arrives may leave a subscription at the broker.
func TestSubscriptions_RefusalKeepsNoEarlierSubscription(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(_ *brokerConn, p packet) bool { return p.Type() == fakebroker.SUBSCRIBE })
	c := dial(t, b.port)
	iterate := func(ctx context.Context) <-chan error {
		return inBackground(func() (failure error) {
			for _, err := range c.Messages(ctx, "a", 1) {
				failure = err
			}
			return failure
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	first := iterate(ctx)
	wait.Until(t, "SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 1 })
	cancel()
	wait.For(t, first, "the end of the first iterator")
	observed := observe(wait.Soon(t))
	second := iterate(observed)
	wait.For(t, observed.accepted, "the second iterator")
	answer := func(n int, code byte) {
		b.conn().write(b.conn().version.Suback(b.received(fakebroker.SUBSCRIBE)[n].MID(), []byte{code}))
	}
	answer(0, 1)
	wait.Until(t, "the second SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 2 })
	answer(1, 0x80)
	require.Error(t, wait.For(t, second, "the end of the second iterator"))
	wait.Until(t, "UNSUBSCRIBE", func() bool { return len(b.received(fakebroker.UNSUBSCRIBE)) == 1 })
}

// scriptedMemory is a broker that remembers its subscriptions and fails at random: it refuses
// filters, delays SUBACK and closes connections before or after it has handled a packet.
type scriptedMemory struct {
	keep   bool            // the broker keeps sessions
	calm   bool            // no more failures
	has    map[string]bool // subscribed filters
	exists bool            // the session exists
}

func (m *scriptedMemory) reply(c *brokerConn, p packet) bool {
	n := 99
	if !m.calm {
		n = rand.IntN(40)
	}
	switch p.Type() {
	case fakebroker.CONNECT:
		if !m.keep {
			m.exists, m.has = false, map[string]bool{}
		}
		c.write(c.version.Connack(m.exists, 0))
		m.exists = true
		return true
	case fakebroker.SUBSCRIBE:
		if n == 0 {
			c.Close()
			return true
		}
		var codes []byte
		for _, f := range p.filters() {
			if n < 8 {
				codes = append(codes, 0x80)
				continue
			}
			m.has[f.Name] = true
			codes = append(codes, f.Options&3)
		}
		if n == 9 {
			c.Close()
			return true
		}
		if n > 20 && n < 99 {
			time.Sleep(time.Millisecond) // a slow broker
		}
		c.write(c.version.Suback(p.MID(), codes))
		return true
	case fakebroker.UNSUBSCRIBE:
		if n == 0 {
			c.Close()
			return true
		}
		for _, f := range p.filters() {
			delete(m.has, f.Name)
		}
		if n == 1 {
			c.Close()
			return true
		}
		c.write(c.version.Unsuback(p.MID(), make([]byte, len(p.filters()))))
		return true
	}
	return false
}

// names lists the subscribed filters.
func (m *scriptedMemory) names(b *fakeBroker) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range m.has {
		all = append(all, n)
	}
	return all
}

func TestSubscriptions_BrokerHasTheDesiredSubscriptions(t *testing.T) {
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint(version, keep), func(t *testing.T) {
				m := &scriptedMemory{keep: keep, has: map[string]bool{}}
				b := startFakeBroker(t, m.reply)
				options := []mqtt.Option{mqtt.WithProtocol(version), mqtt.WithDeliveryAttempts(0)}
				if keep {
					options = append(options, mqtt.WithClientID("x"), mqtt.WithSession(time.Hour))
				}
				c := dial(t, b.port, options...)
				filters := []string{"a", "b"}
				var running sync.WaitGroup
				for range 6 {
					running.Add(1)
					go func() {
						defer running.Done()
						for range 300 {
							f := filters[rand.IntN(2)]
							ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(4000))*time.Microsecond)
							switch rand.IntN(4) {
							case 0:
								_ = c.Subscribe(ctx, f, mqtt.QoS(rand.IntN(3)), ignore)
							case 1:
								_ = c.Unsubscribe(ctx, f)
							default:
								for range c.Messages(ctx, f, mqtt.QoS(rand.IntN(3))) {
								}
							}
							cancel()
						}
					}()
				}
				done := make(chan struct{})
				go func() { running.Wait(); close(done) }()
				select {
				case <-done:
				case <-time.After(60 * time.Second):
					t.Fatal("hang")
				}
				b.mu.Lock()
				m.calm = true
				b.mu.Unlock()
				for _, f := range filters {
					require.NoError(t, c.Unsubscribe(wait.Soon(t), f))
				}
				require.Empty(t, m.names(b))
				// iterators only
				b.mu.Lock()
				m.calm = false
				b.mu.Unlock()
				for range 6 {
					running.Add(1)
					go func() {
						defer running.Done()
						for range 300 {
							ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(4000))*time.Microsecond)
							if rand.IntN(8) == 0 {
								_ = c.Unsubscribe(ctx, "a")
							} else {
								for range c.Messages(ctx, "a", 1) {
								}
							}
							cancel()
						}
					}()
				}
				running.Wait()
				b.mu.Lock()
				m.calm = true
				b.mu.Unlock()
				wait.Until(t, "no subscription at the broker", func() bool { return len(m.names(b)) == 0 })
				h, got := collect()
				require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
				require.Equal(t, []string{"a"}, m.names(b))
				b.conn().publish(0, "a", 0, "x")
				wait.For(t, got, "message")
				t.Log("connections", b.connections(), "subscribes", len(b.received(fakebroker.SUBSCRIBE)), "unsubscribes", len(b.received(fakebroker.UNSUBSCRIBE)))
			})
		}
	}
}

func TestSubscriptions_AreRestored(t *testing.T) {
	b := plain(t)
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			c := dial(t, b.Port, mqtt.WithProtocol(version))
			h, got := collect()
			for i := range 250 {
				require.NoError(t, c.Subscribe(wait.Soon(t), fmt.Sprintf("%d/#", i), mqtt.QoS(i%3), h))
			}
			b.Kill()
			wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
			b.Restart()
			require.NoError(t, c.AwaitConnected(wait.Soon(t)))
			for i := range 250 {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprintf("%d/x", i), nil))
				require.Equal(t, fmt.Sprintf("%d/x", i), wait.For(t, got, "a message").Topic)
			}
		})
	}
}
