//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// Messages are published while the client ends: some enter the queue, some the library.
func TestEnds_TokensEndWithTheClient(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for round := range 30 {
		c := dial(t, b.Port, mqtt.WithInflight(1+round%3*10))
		var publishers sync.WaitGroup
		tokens := make(chan *mqtt.Token, 100_000)
		for i := range 4 {
			publishers.Add(1)
			go func() {
				defer publishers.Done()
				payload := make([]byte, 1+i*100_000) // copying a large payload takes time
				for ; ; i++ {
					token := c.PublishAsync(context.Background(), "a", payload, mqtt.WithQoS(mqtt.QoS(i%3)))
					tokens <- token
					select {
					case <-token.Done():
						if errors.Is(token.Err(), mqtt.ErrClosed) {
							return
						}
					default:
					}
				}
			}()
		}
		wait.Until(t, "traffic", func() bool { return c.Stats().Published > 10 })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(ctx)
		wait.For(t, c.Done(), "the end of the client")
		publishers.Wait()
		close(tokens)
		for token := range tokens {
			wait.For(t, token.Done(), "the end of a token")
		}
		require.Zero(t, c.Stats().Queued)
		require.Zero(t, c.Stats().InFlight)
	}
}

// The last call for a filter supersedes the earlier calls. The broker does not reply to the
// superseded calls.
func TestEnds_SupersededCallsEnd(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	const rounds = 50
	ended := make(chan error, 4*rounds)
	for range rounds {
		for _, call := range []func() error{
			func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) },
			func() error { return c.Unsubscribe(wait.Soon(t), "a") },
			func() error { return c.Unsubscribe(wait.Soon(t), "a") },
			func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) },
		} {
			go func() { ended <- call() }()
		}
	}
	for range 4 * rounds {
		require.NotErrorIs(t, wait.For(t, ended, "a call to return"), context.DeadlineExceeded)
	}
}

// The connection was lost before the broker replied to the first call.
func TestEnds_SupersededCallsEndAcrossALoss(t *testing.T) {
	t.Parallel()
	t.Run("Unsubscribe after Subscribe", func(t *testing.T) {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p)
		overtaken := inBackground(func() error { return c.Subscribe(context.Background(), "a", 1, ignore) })
		conn.Expect(fakebroker.SUBSCRIBE)
		last := inBackground(func() error { return c.Unsubscribe(context.Background(), "a") })
		require.ErrorIs(t, wait.For(t, overtaken, "Subscribe"), mqtt.ErrSuperseded)
		conn.Close()
		p.AcceptConnect()
		require.NoError(t, wait.For(t, last, "Unsubscribe"))
	})
	t.Run("Subscribe after Unsubscribe", func(t *testing.T) {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p)
		overtaken := inBackground(func() error { return c.Unsubscribe(context.Background(), "a") })
		conn.Expect(fakebroker.UNSUBSCRIBE)
		last := inBackground(func() error { return c.Subscribe(context.Background(), "a", 1, ignore) })
		require.ErrorIs(t, wait.For(t, overtaken, "Unsubscribe"), mqtt.ErrSuperseded)
		conn.Close()
		acknowledgeSubscribe(p.AcceptConnect(), 1)
		require.NoError(t, wait.For(t, last, "Subscribe"))
	})
}

func TestEnds_UnsubscribeEndsAnIterator(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, ignore)) // the first handler receives messages until the iterator replaces it
	first, last := make(chan error, 1), make(chan error, 1)
	go func() {
		var end error
		for _, err := range c.Messages(context.Background(), "a", 1) {
			if end = err; err == nil {
				select {
				case first <- nil:
				default:
				}
			}
		}
		last <- end
	}()
	wait.Until(t, "a message of the iterator", func() bool {
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
		return len(first) > 0
	})
	require.NoError(t, c.Unsubscribe(wait.Soon(t), "a"))
	require.ErrorIs(t, wait.For(t, last, "the end of the iterator"), mqtt.ErrSuperseded)
}

// Goroutines publish without pause.
func TestEnds_FloodDelaysNeitherReadingNorClose(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	h, got := collect()
	c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V311), mqtt.WithDefaultHandler(h))
	drained := make(chan struct{})
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, conn)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	var publishers sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		publishers.Wait()
	})
	for range 2 {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for ctx.Err() == nil {
				c.PublishAsync(ctx, "flood", []byte("x"), mqtt.WithQoS(0))
			}
		}()
	}
	for range 5 {
		conn.Send(fakebroker.Publish(0, "a", 0, "x"))
		wait.For(t, got, "a message beside the flood")
	}
	closed := inBackground(func() error { return c.Close(wait.Soon(t)) })
	var left *mqtt.CloseError
	if err := wait.For(t, closed, "Close"); err != nil {
		require.ErrorAs(t, err, &left)
	}
	wait.For(t, drained, "the end of the connection")
}

// A handler on the worker blocks in a call of the client. Close ends the call.
func TestEnds_WorkerThatWaitsEndsWithTheClient(t *testing.T) {
	t.Parallel()
	b := plain(t)
	for name, call := range map[string]func(c *mqtt.Client) error{
		"Request": func(c *mqtt.Client) error {
			_, err := c.Request(context.Background(), "no responder", nil)
			return err
		},
		"AwaitConnected": func(c *mqtt.Client) error { return c.AwaitConnected(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			b.Restart()
			option, changes := watchStates()
			c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithHandlerMode(mqtt.Worker(4, mqtt.Block)), option)
			begun, ready, ended := make(chan bool, 1), make(chan bool), make(chan error, 1)
			require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(context.Context, mqtt.Message) {
				begun <- true
				<-ready
				ended <- call(c)
			}))
			c.PublishAsync(wait.Soon(t), "a", nil, mqtt.WithQoS(0))
			wait.For(t, begun, "the handler")
			if name == "AwaitConnected" { // AwaitConnected blocks only without a connection
				b.Kill()
				awaitFailure(t, changes)
			}
			close(ready)
			_ = c.Close(wait.Soon(t))
			require.ErrorIs(t, wait.For(t, ended, "the handler's wait"), mqtt.ErrClosed)
			wait.For(t, c.Done(), "the end of the client")
		})
	}
}

// A call ends with its context during the fault. A call without a deadline ends after the fault.
func TestEnds_EveryWaitEndsDuringFaults(t *testing.T) {
	t.Parallel()
	options := []mqtt.Option{mqtt.WithProtocol(mqtt.V5), mqtt.WithQueue(1000, 1<<20, mqtt.WaitForRoom)}
	duringEachFault(t, options, func(t *testing.T, x networkFault, p *faultproxy.Proxy, c, direct *mqtt.Client) {
		require.NoError(t, direct.Subscribe(wait.Soon(t), "never", 1, ignore))
		waits := map[string]func(context.Context) error{
			"Subscribe":      func(ctx context.Context) error { return c.Subscribe(ctx, "a", 1, ignore) },
			"Unsubscribe":    func(ctx context.Context) error { return c.Unsubscribe(ctx, "b") },
			"AwaitConnected": c.AwaitConnected,
			"Messages": func(ctx context.Context) error {
				for _, err := range c.Messages(ctx, "c", 1) {
					return err
				}
				return ctx.Err()
			},
			"Token.Wait": func(ctx context.Context) error {
				return c.PublishAsync(ctx, "d", nil, mqtt.WithQoS(2)).Wait(ctx)
			},
		}
		for qos := mqtt.QoS(0); qos <= 2; qos++ {
			waits["Publish "+string('0'+rune(qos))] = func(ctx context.Context) error {
				return c.Publish(ctx, "d", make([]byte, 100), mqtt.WithQoS(qos))
			}
		}
		begin := func(ctx context.Context) (ended map[string]<-chan error) {
			ended = map[string]<-chan error{}
			for name, call := range waits {
				ended[name] = inBackground(func() error { return call(ctx) })
			}
			return ended
		}
		x.begin(p)
		early := begin(context100ms(t))
		early["Request"] = inBackground(func() error {
			_, err := c.Request(context100ms(t), "never", nil)
			return err
		})
		for name, ended := range early {
			require.True(t, isDocumentedError(wait.For(t, ended, name)), name)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		late := begin(ctx)
		x.end(p)
		for name, ended := range late {
			if name != "Messages" {
				require.True(t, isDocumentedError(wait.For(t, ended, name)), name)
			}
		}
		cancel()
		require.ErrorIs(t, wait.For(t, late["Messages"], "the iterator"), context.Canceled)
	})
}
