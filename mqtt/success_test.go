//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// lateContext is a context that ends when a condition is true, which its Done method waits
// for. With it a context ends at the same time as the call that it belongs to.
type lateContext struct {
	context.Context
	until func() bool
	ended atomic.Bool
}

func (l *lateContext) Err() error {
	if l.ended.Load() {
		return context.Canceled
	}
	return nil
}

func (l *lateContext) Done() <-chan struct{} {
	for !l.until() {
		time.Sleep(100 * time.Microsecond)
	}
	l.ended.Store(true)
	closed := make(chan struct{})
	close(closed)
	return closed
}

// The context of each of the first calls ends when its message is acknowledged. Later calls
// must not take the result of such an earlier call.
func TestSuccess_EarlierResultIsNotReused(t *testing.T) {
	_, proxy := startProxiedBroker(t)
	c := dial(t, proxy.Port)
	for range 50 {
		before := c.Stats().Published
		err := c.Publish(&lateContext{Context: context.Background(), until: func() bool { return c.Stats().Published > before }}, "a", nil)
		require.NoError(t, err)
	}
	proxy.Stall(2)
	for range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		require.ErrorIs(t, c.Publish(ctx, "a", nil), context.DeadlineExceeded)
		cancel()
	}
}

func TestSuccess_NeedsAllFilters(t *testing.T) {
	t.Parallel()
	for range 10 {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V5)) // with subscription identifiers the client sends a SUBSCRIBE for each filter
		granted := make(chan struct{})
		ended := inBackground(func() error {
			return c.SubscribeMultiple(&lateContext{Context: context.Background(), until: func() bool {
				select {
				case <-granted:
					return c.Stats().Unhandled > 0
				default:
					return false
				}
			}}, mqtt.Subscription{Filter: "a", QoS: 1, Handler: ignore}, mqtt.Subscription{Filter: "b", QoS: 1, Handler: ignore})
		})
		conn.Expect(fakebroker.SUBSCRIBE)
		second := conn.Expect(fakebroker.SUBSCRIBE)
		conn.Send(fakebroker.V5.Suback(second.MID(), []byte{1}))
		conn.Send(fakebroker.PublishV5(0, "c", 0, nil, "")) // Stats.Unhandled counts this message: the client has read SUBACK
		close(granted)
		require.ErrorIs(t, wait.For(t, ended, "SubscribeMultiple"), context.Canceled, "the filter a is not granted")
	}
}

// A subscriber without network faults receives each message for which Publish returned nil.
func TestSuccess_MeansDelivery(t *testing.T) {
	t.Parallel()
	duringEachFault(t, nil, func(t *testing.T, x networkFault, p *faultproxy.Proxy, c, direct *mqtt.Client) {
		seen := &numberRecorder{byTopic: map[string][]int{}}
		topics := []string{"", t.Name() + "/1", t.Name() + "/2"}
		require.NoError(t, direct.Subscribe(wait.Soon(t), t.Name()+"/#", 2, seen.handle))
		acknowledged := make([][]int, 3)
		publish := func(n int) {
			var both sync.WaitGroup
			for qos := 1; qos <= 2; qos++ {
				both.Add(1)
				go func() {
					defer both.Done()
					if c.Publish(context100ms(t), topics[qos], fmt.Append(nil, n), mqtt.WithQoS(mqtt.QoS(qos))) == nil {
						acknowledged[qos] = append(acknowledged[qos], n)
					}
				}()
			}
			both.Wait()
		}
		for n := range 12 {
			switch n % 4 {
			case 1:
				x.begin(p)
			case 3:
				x.end(p)
			}
			publish(n)
		}
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
		require.NotEmpty(t, acknowledged[1])
		for qos := 1; qos <= 2; qos++ {
			wait.Until(t, "the acknowledged messages", func() bool { return seen.has(topics[qos], acknowledged[qos]) })
		}
	})
}

// The fault proxy cuts the connection after each byte of the messages and of the
// acknowledgements.
func TestSuccess_PublishSurvivesACutAfterEachByte(t *testing.T) {
	t.Parallel()
	b := startOrderedBroker(t)
	p := faultproxy.Start(t, b.Addr())
	seen := recordNumbers(t, b.Port, "cut/#")
	c := dial(t, p.Port, mqtt.WithClientID("cut"), mqtt.WithSession(time.Hour), mqtt.WithProtocol(mqtt.V5))
	n := 0
	for _, d := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
		for after := range 24 {
			p.CutAfter(d, after)
			for qos := mqtt.QoS(1); qos <= 2; qos++ {
				require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprint("cut/", qos), fmt.Append(nil, n), mqtt.WithQoS(qos)))
			}
			n++
		}
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	wait.Until(t, "the messages", func() bool { return seen.has("cut/1", all) && seen.has("cut/2", all) })
	require.Equal(t, all, seen.numbers("cut/2"), "each QoS 2 message arrives exactly once")
	require.NoError(t, checkOrder(seen.numbers("cut/1"), true))
}
