//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// floodTopic sends messages of 1 MiB on a topic.
func floodTopic(b *fakeBroker, topic string, messages int) {
	payload := string(make([]byte, 1<<20))
	for range messages {
		b.conn().publish(0, topic, 0, payload)
	}
}

// The queue of the worker is full, so the loop stops reading. The acknowledgements that the
// callers wait for are behind the queue. Each call must end with an error.
func TestFlow_EachCallBehindFullQueuesEnds(t *testing.T) {
	b := startFakeBroker(t, acknowledgesNothing)
	release := make(chan struct{})
	c := dial(t, b.port, mqtt.WithKeepAlive(0), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)),
		mqtt.WithSubscription("a", 0, func(context.Context, mqtt.Message) { <-release }))
	t.Cleanup(func() { close(release) })
	const callers = 8
	var failed [callers]chan error
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range callers {
		failed[i] = make(chan error, 1000)
		running.Add(1)
		go func() {
			defer running.Done()
			for ctx.Err() == nil {
				if err := c.Publish(ctx, "held", nil); err != nil && len(failed[i]) < cap(failed[i]) {
					failed[i] <- err
				}
			}
		}()
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	go floodTopic(b, "a", 24)
	for i := range callers {
		for range 3 {
			require.Error(t, wait.For(t, failed[i], fmt.Sprint("an error of caller ", i)))
		}
	}
}

func TestFlow_CallBeforeTheFirstQueueEnds(t *testing.T) {
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port, mqtt.WithKeepAlive(0))
	published := inBackground(func() error { return c.Publish(wait.Soon(t), "held", nil) })
	wait.Until(t, "the PUBLISH", func() bool { return len(b.received(fakebroker.PUBLISH)) == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	iterated := make(chan struct{})
	release := make(chan struct{})
	go func() {
		defer close(iterated)
		for range c.Messages(ctx, "a", 0) {
			<-release
		}
	}()
	t.Cleanup(func() { cancel(); close(release); <-iterated })
	wait.Until(t, "the SUBSCRIBE", func() bool { return len(b.received(fakebroker.SUBSCRIBE)) == 1 })
	go func() {
		for range 1200 {
			b.conn().publish(0, "a", 0, "x")
		}
		floodTopic(b, "a", 24)
	}()
	require.ErrorIs(t, awaitWithin(t, 15*time.Second, published, "Publish"), mqtt.ErrHandlerQueueFull)
}
