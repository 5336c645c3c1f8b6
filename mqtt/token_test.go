//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// A token ends with the acknowledgement, with the loss of a QoS 0 message, or with Close.
func TestToken_EndsDuringFaults(t *testing.T) {
	t.Parallel()
	_, proxy := startProxiedBroker(t)
	c := dial(t, proxy.Port)
	tokens := make(chan *mqtt.Token, 10_000)
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for qos := mqtt.QoS(0); qos <= 2; qos++ {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for range 2000 {
				select {
				case <-stop:
					return
				case tokens <- c.PublishAsync(context.Background(), "a", make([]byte, 1000), mqtt.WithQoS(qos)):
				}
			}
		}()
	}
	for _, cut := range []func(){proxy.Cut, proxy.Reset, proxy.Cut, func() { proxy.CutAfter(faultproxy.Down, 300) }, proxy.Reset} {
		cut()
		require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	}
	close(stop)
	publishers.Wait()
	proxy.RefuseNew() // the last messages are never acknowledged
	proxy.Cut()
	for range 3 {
		tokens <- c.PublishAsync(wait.Soon(t), "a", nil)
	}
	closeNow(t, c)
	close(tokens)
	for token := range tokens {
		wait.For(t, token.Done(), "the end of a token")
		if err := token.Err(); !errors.Is(err, mqtt.ErrConnectionLost) && !errors.Is(err, mqtt.ErrClosed) {
			require.NoError(t, err)
		}
	}
	require.Zero(t, c.Stats().Queued)
}

// Messages are published while the client ends: some enter the queue, some the library.
func TestToken_EndsWithTheClient(t *testing.T) {
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
