//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// consumers call a function for each message on "a", on a worker and in the loop of an
// iterator. They stop when the function returns false.
var consumers = map[string]func(c *mqtt.Client, f func() bool) error{
	"worker": func(c *mqtt.Client, f func() bool) error {
		return c.Subscribe(context.Background(), "a", 0, func(context.Context, mqtt.Message) { f() })
	},
	"iterator": func(c *mqtt.Client, f func() bool) error {
		for _, err := range c.Messages(context.Background(), "a", 0) {
			if err != nil || !f() {
				return err
			}
		}
		return nil
	},
}

// flood sends many messages of the same size, and then the packet behind.
func flood(conn *fakebroker.Conn, messages, size int, behind []byte) {
	var all []byte
	for range messages {
		all = append(all, fakebroker.Publish(0, "a", 0, strings.Repeat("x", size))...)
	}
	conn.Send(append(all, behind...))
}

// The acknowledgement that the handler waits for is behind many messages: more than the
// capacity of the queue, or more than the client ever queues.
func TestDeadlock_CallInAHandlerReturnsBehindManyMessages(t *testing.T) {
	t.Parallel()
	for _, behind := range []struct {
		name     string
		messages int
		size     int
		want     error
	}{{"worker", 50, 0, nil}, {"worker", 1000, 0, nil}, {"worker", 1000, 20_000, mqtt.ErrHandlerQueueFull}, {"iterator", 5000, 0, nil}} {
		t.Run(fmt.Sprint(behind.name, " ", behind.messages, " ", behind.size), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, conn := dialScriptedBroker(t, p, mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)))
			errs, consumed := make(chan error, 10_000), make(chan error, 1)
			go func() {
				consumed <- consumers[behind.name](c, func() bool {
					errs <- c.Publish(context.Background(), "b", nil)
					return false
				})
			}()
			acknowledgeSubscribe(conn, 0)
			flood(conn, 1, 0, nil)
			publish := conn.Expect(fakebroker.PUBLISH)
			flood(conn, behind.messages, behind.size, fakebroker.Ack(fakebroker.PUBACK, uint16(publish.Body[4])))
			require.ErrorIs(t, wait.For(t, errs, "the handler's Publish"), behind.want)
			conn.Close()
			wait.For(t, consumed, "Subscribe to return, or the loop to end")
			closeNow(t, c)
		})
	}
}

// More messages arrive than the capacity of the iterator's queue.
func TestDeadlock_CloseInAnIteratorLoopReturns(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	closed, consumed := make(chan error, 2), make(chan error, 1)
	go func() {
		first := true
		consumed <- consumers["iterator"](c, func() bool {
			if first {
				first = false
				token := c.PublishAsync(context.Background(), "b", nil)
				closed <- c.Close(wait.Soon(t))
				closed <- token.Err()
			}
			return true
		})
	}()
	acknowledgeSubscribe(conn, 0)
	flood(conn, 1, 0, nil)
	publish := conn.Expect(fakebroker.PUBLISH)
	flood(conn, 5000, 0, fakebroker.Ack(fakebroker.PUBACK, uint16(publish.Body[4])))
	require.NoError(t, wait.For(t, closed, "Close"))
	require.NoError(t, wait.For(t, closed, "the token"))
	require.ErrorIs(t, wait.For(t, consumed, "the end of the loop"), mqtt.ErrClosed)
}

// methods returns all methods of a client. Their contexts should end soon.
func methods(c *mqtt.Client, token *mqtt.Token) map[string]func(context.Context) {
	return map[string]func(context.Context){
		"AwaitConnected": func(ctx context.Context) { _ = c.AwaitConnected(ctx) },
		"Close":          func(ctx context.Context) { _ = c.Close(ctx) },
		"Err":            func(context.Context) { _ = c.Err() },
		"Messages": func(ctx context.Context) {
			for range c.Messages(ctx, "x", 1) {
				return
			}
		},
		"Publish":      func(ctx context.Context) { _ = c.Publish(ctx, "x", nil, mqtt.WithQoS(2)) },
		"PublishAsync": func(ctx context.Context) { c.PublishAsync(ctx, "x", nil) },
		"Reply":        func(ctx context.Context) { c.Reply(ctx, mqtt.Message{}, nil) },
		"Request":      func(ctx context.Context) { _, _ = c.Request(ctx, "x", nil) },
		"Respond": func(ctx context.Context) {
			_ = c.Respond(ctx, "x", 1, func(context.Context, mqtt.Message) ([]byte, error) { return nil, nil })
		},
		"State":     func(context.Context) { c.State() },
		"Stats":     func(context.Context) { c.Stats() },
		"Subscribe": func(ctx context.Context) { _ = c.Subscribe(ctx, "x", 1, ignore) },
		"SubscribeMultiple": func(ctx context.Context) {
			_ = c.SubscribeMultiple(ctx, mqtt.Subscription{Filter: "x", Handler: ignore}, mqtt.Subscription{Filter: "y", Handler: ignore})
		},
		"Unsubscribe": func(ctx context.Context) { _ = c.Unsubscribe(ctx, "x", "y") },
		"Token.Wait":  func(ctx context.Context) { _ = token.Wait(ctx) },
		"Token":       func(context.Context) { _, _, _, _ = token.Err(), token.MID(), token.ReasonCode(), token.Properties() },
	}
}

// place is a kind of function that the client calls. The function options registers the
// function, use makes the client call it.
type place struct {
	name    string
	options func(run func()) []mqtt.Option
	use     func(c *mqtt.Client, p *faultproxy.Proxy, run func())
}

func hooked(h mqtt.Hooks) []mqtt.Option { return []mqtt.Option{mqtt.WithHooks(h)} }

func without(func()) []mqtt.Option { return nil }

// publishA publishes a message on "a", which makes the client call handlers and hooks.
func publishA(c *mqtt.Client, _ *faultproxy.Proxy, _ func()) {
	c.PublishAsync(context.Background(), "a", nil)
}

// handleA subscribes to "a" with a handler that calls run, and publishes a message.
func handleA(c *mqtt.Client, p *faultproxy.Proxy, run func()) {
	go func() {
		_ = c.Subscribe(context.Background(), "a", 1, func(context.Context, mqtt.Message) { run() })
		publishA(c, p, nil)
	}()
}

var places = []place{
	{"inline handler", without, handleA},
	{"worker's handler", func(func()) []mqtt.Option {
		return []mqtt.Option{mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block))}
	}, handleA},
	{"iterator", without, func(c *mqtt.Client, _ *faultproxy.Proxy, run func()) {
		go func() {
			for _, err := range c.Messages(context.Background(), "a", 1) {
				if err != nil {
					return
				}
				run()
			}
		}()
		go func() {
			for c.Err() == nil && c.Publish(context.Background(), "a", nil) == nil {
				time.Sleep(5 * time.Millisecond) // the interval between messages
			}
		}()
	}},
	{"state handler", func(run func()) []mqtt.Option {
		return []mqtt.Option{mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { run() })}
	}, func(_ *mqtt.Client, p *faultproxy.Proxy, _ func()) { p.Cut() }},
	{"hook Publish", func(run func()) []mqtt.Option {
		return hooked(mqtt.Hooks{Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
			if p.Topic == "a" {
				run()
			}
			return nil
		}})
	}, func(c *mqtt.Client, p *faultproxy.Proxy, run func()) { go publishA(c, p, run) }},
	{"hook Publish, outcome", func(run func()) []mqtt.Option {
		return hooked(mqtt.Hooks{Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
			if p.Topic != "a" {
				return nil
			}
			return func(error) { run() }
		}})
	}, publishA},
	{"hook Receive", func(run func()) []mqtt.Option {
		return hooked(mqtt.Hooks{Receive: func(ctx context.Context, _ *mqtt.Message) (context.Context, func()) {
			run()
			return ctx, run
		}})
	}, func(c *mqtt.Client, p *faultproxy.Proxy, _ func()) { handleA(c, p, func() {}) }},
	{"hook Dropped", func(run func()) []mqtt.Option {
		return append(hooked(mqtt.Hooks{Dropped: func(*mqtt.Message) { run() }}), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.DropOldest)))
	}, func(c *mqtt.Client, p *faultproxy.Proxy, _ func()) {
		go func() {
			_ = c.Subscribe(context.Background(), "a", 0, func(ctx context.Context, _ mqtt.Message) { <-ctx.Done() })
			for range 5 {
				publishA(c, p, nil)
			}
		}()
	}},
	{"credentials", func(run func()) []mqtt.Option {
		var first atomic.Bool
		return []mqtt.Option{mqtt.WithCredentialsFunc(func(context.Context) (string, string, error) {
			if first.Swap(true) { // at the first call Dial has not returned the client yet
				run()
			}
			return "", "", nil
		})}
	}, func(_ *mqtt.Client, p *faultproxy.Proxy, _ func()) { p.Cut() }},
	{"on connect", func(run func()) []mqtt.Option {
		var first atomic.Bool
		return []mqtt.Option{mqtt.WithOnConnect(func(context.Context, *mqtt.Client, mqtt.Connack) error {
			if first.Swap(true) {
				run()
			}
			return nil
		})}
	}, func(_ *mqtt.Client, p *faultproxy.Proxy, _ func()) { p.Cut() }},
	{"will", func(run func()) []mqtt.Option {
		var first atomic.Bool
		return []mqtt.Option{mqtt.WithWillFunc(func(context.Context) (mqtt.Will, error) {
			if first.Swap(true) {
				run()
			}
			return mqtt.Will{}, nil
		})}
	}, func(_ *mqtt.Client, p *faultproxy.Proxy, _ func()) { p.Cut() }},
}

// Every method returns at once or when its context ends, in every function that the client
// calls.
func TestDeadlock_EveryMethodInEveryPlaceReturns(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for _, at := range places {
		for name := range methods(nil, nil) {
			for _, trouble := range []bool{false, true} {
				t.Run(fmt.Sprint(at.name, " ", name, " ", trouble), func(t *testing.T) {
					t.Parallel()
					p := faultproxy.Start(t, b.Addr())
					made, returned := make(chan *mqtt.Client, 1), make(chan bool, 100_000)
					var calls atomic.Int32
					run := func() {
						if calls.Add(1) != 1 { // the method called below may cause another call of run
							return
						}
						c := <-made
						if trouble {
							p.RefuseNew()
							go p.Cut()
						}
						ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
						defer cancel()
						methods(c, c.PublishAsync(ctx, "x", nil))[name](ctx)
						returned <- true
					}
					c := dial(t, p.Port, append(at.options(run), shortConnectTimeout(), mqtt.WithProtocol(mqtt.V5))...)
					made <- c
					at.use(c, p, run)
					wait.For(t, returned, "the call")
				})
			}
		}
	}
}
