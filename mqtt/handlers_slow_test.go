//go:build cgo

package mqtt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The tests of this file run slow inline handlers. Some tests take long because the shortest
// keepalive is 5 s.

// slow is the duration of a slow handler. It exceeds the acceptable delay of an acknowledgement.
const slow = 50 * time.Millisecond

// acknowledgements records the packets of one type by packet id. Its mutex protects channels.
type acknowledgements struct {
	mu sync.Mutex
	at map[uint16]chan struct{}
}

// arrived returns a channel that is closed when the acknowledgement has arrived.
func (a *acknowledgements) arrived(mid uint16) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at[mid] == nil {
		a.at[mid] = make(chan struct{})
	}
	return a.at[mid]
}

// sendsBacklog returns a script that sends messages of QoS 1 when the client subscribes. It
// writes all messages at once, with packet ids from 1.
func (a *acknowledgements) sendsBacklog(messages int) script {
	return func(c *brokerConn, p packet) bool {
		switch p.Type() {
		case fakebroker.SUBSCRIBE:
			c.grant(p)
			var batch []byte
			for mid := 1; mid <= messages; mid++ {
				payload := string(binary.BigEndian.AppendUint16(nil, uint16(mid)))
				batch = append(batch, c.version.Publish(2, "a", uint16(mid), payload)...)
			}
			c.write(batch)
			return true
		case fakebroker.PUBACK:
			close(a.arrived(p.MID()))
		}
		return false
	}
}

// The client acknowledges a message before it calls the handler of the next message, so a slow
// handler does not delay the acknowledgement. Each handler waits for the acknowledgement of the
// previous message.
func TestSlowHandlers_AcknowledgementLeavesBeforeTheNextHandler(t *testing.T) {
	t.Parallel()
	const messages = 10
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			a := &acknowledgements{at: map[uint16]chan struct{}{}}
			b := startFakeBroker(t, a.sendsBacklog(messages))
			handled := make(chan error, messages)
			dial(t, b.port, mqtt.WithProtocol(version), mqtt.WithSubscription("a", 1, func(ctx context.Context, m mqtt.Message) {
				time.Sleep(slow) // the duration of the handler
				handled <- awaitBefore(ctx, a, binary.BigEndian.Uint16(m.Payload))
			}))
			for range messages {
				require.NoError(t, wait.For(t, handled, "a handler"))
			}
			wait.For(t, a.arrived(messages), "the last acknowledgement")
			require.Equal(t, 1, b.connections())
		})
	}
}

// awaitBefore waits for the acknowledgement of the previous message.
func awaitBefore(ctx context.Context, a *acknowledgements, mid uint16) error {
	if mid == 1 {
		return nil
	}
	select {
	case <-a.arrived(mid - 1):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait.Patience / 2):
		return fmt.Errorf("message %d is not acknowledged, and the handler of message %d runs", mid-1, mid)
	}
}

// Each handler takes much less time than the keepalive, but all messages of the backlog take
// more. The client sends PINGREQ between two messages, and finds PINGRESP behind the backlog.
func TestSlowHandlers_PingsAreSentDuringABacklog(t *testing.T) {
	t.Parallel()
	const messages, each = 15, time.Second
	b := startFakeBroker(t, publishesAfterSubscribe("a", messages))
	handled := make(chan string, messages)
	c := dial(t, b.port, mqtt.WithBackgroundConnect(), mqtt.WithKeepAlive(5*time.Second),
		mqtt.WithSubscription("a", 0, func(_ context.Context, m mqtt.Message) {
			time.Sleep(each) // the duration of the handler
			handled <- string(m.Payload)
		}))
	for n := range messages {
		require.Equal(t, fmt.Sprint(n), wait.For(t, handled, "a handler"))
	}
	require.GreaterOrEqual(t, len(b.received(fakebroker.PINGREQ)), 2, "while the handlers ran")
	require.EqualValues(t, 1, c.Stats().Connects)
	require.Equal(t, 1, b.connections())
}

// Mosquitto closes a connection that is silent for 1.5 times the keepalive. The backlog takes
// longer. Each message is handled exactly once, on one connection.
func TestSlowHandlers_BacklogOfMosquittoIsHandledOnce(t *testing.T) {
	t.Parallel()
	const messages, each = 8, 2 * time.Second
	b := plain(t)
	handled := make(chan string, 10*messages)
	c := dial(t, b.Port, mqtt.WithKeepAlive(5*time.Second), mqtt.WithClientID("slow"), mqtt.WithSession(time.Hour),
		mqtt.WithSubscription("a", 1, func(_ context.Context, m mqtt.Message) {
			time.Sleep(each) // the duration of the handler
			handled <- string(m.Payload)
		}))
	direct := dial(t, b.Port)
	for n := range messages {
		require.NoError(t, direct.Publish(wait.Soon(t), "a", fmt.Append(nil, n)))
	}
	for n := range messages {
		require.Equal(t, fmt.Sprint(n), wait.For(t, handled, "a handler"))
	}
	require.NoError(t, direct.Publish(wait.Soon(t), "a", []byte("behind")))
	require.Equal(t, "behind", wait.For(t, handled, "the handler of the next message"))
	require.EqualValues(t, 1, c.Stats().Connects)
}

// The client detects a silent broker while slow handlers process a backlog.
func TestSlowHandlers_SilentBrokerIsDetectedDuringABacklog(t *testing.T) {
	t.Parallel()
	const messages, each = 40, 500 * time.Millisecond
	script := publishesAfterSubscribe("a", messages)
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if c.number > 1 {
			return false
		}
		return p.Type() == fakebroker.PINGREQ || script(c, p)
	})
	handled, release := make(chan string, messages), make(chan struct{})
	defer func() { closeOnce(release) }()
	option, changes := watchStates()
	dial(t, b.port, option, mqtt.WithBackgroundConnect(), mqtt.WithKeepAlive(5*time.Second),
		mqtt.WithSubscription("a", 0, func(_ context.Context, m mqtt.Message) {
			select {
			case <-time.After(each):
			case <-release:
			}
			handled <- string(m.Payload)
		}))
	lost := make(chan mqtt.StateChange, 1)
	go func() {
		for s := range changes {
			if s.State == mqtt.StateDisconnected {
				lost <- s
				return
			}
		}
	}()
	for n := range messages - 1 {
		select {
		case <-lost:
			return
		case got := <-handled:
			require.Equal(t, fmt.Sprint(n), got)
		}
	}
	require.FailNow(t, "the client did not detect the silent broker before the end of the backlog")
}

// strictBroker is a broker with a session. It sends a message of QoS 1 on each connection until
// the message is acknowledged. It closes a connection that is silent for 1.5 times the keepalive.
type strictBroker struct {
	silence    time.Duration
	deliveries int
	done       bool
	timer      *time.Timer
}

func (e *strictBroker) reply(c *brokerConn, p packet) bool {
	if e.timer != nil {
		e.timer.Stop()
	}
	e.timer = time.AfterFunc(e.silence, func() { c.Close() })
	switch p.Type() {
	case fakebroker.CONNECT:
		c.write(c.version.Connack(c.number > 1, 0))
		if c.number > 1 {
			e.deliver(c, 8)
		}
		return true
	case fakebroker.SUBSCRIBE:
		c.grant(p)
		if c.number == 1 && slices.Contains(p.names(), "a") {
			e.deliver(c, 0)
		}
		return true
	case fakebroker.PUBACK:
		e.done = true
	}
	return false
}

func (e *strictBroker) deliver(c *brokerConn, duplicate byte) {
	if !e.done {
		e.deliveries++
		c.write(c.version.Publish(2|duplicate, "a", 1, "x"))
	}
}

// A handler always takes longer than the keepalive, so the broker closes the connection. The
// message is delivered at most twice, and later messages are delivered.
func TestSlowHandlers_HandlerOverTheKeepaliveCausesNoLivelock(t *testing.T) {
	t.Parallel()
	e := &strictBroker{silence: 7500 * time.Millisecond}
	b := startFakeBroker(t, e.reply)
	h, got := collect()
	dial(t, b.port, mqtt.WithBackgroundConnect(), mqtt.WithKeepAlive(5*time.Second), mqtt.WithClientID("id"), mqtt.WithSession(time.Hour),
		mqtt.WithSubscription("a", 1, func(ctx context.Context, _ mqtt.Message) {
			select {
			case <-time.After(8500 * time.Millisecond):
			case <-ctx.Done():
			}
		}), mqtt.WithSubscription("b", 0, h))
	patiently(t, "the end of the deliveries", func() bool { return e.isFinished(b) })
	b.mu.Lock()
	done, deliveries := e.done, e.deliveries
	b.mu.Unlock()
	require.LessOrEqual(t, deliveries, 2)
	require.True(t, done)
	patiently(t, "a later message", func() bool {
		b.conn().publish(0, "b", 0, "x") // the connection may close at any moment
		return len(got) > 0
	})
}

// patiently is wait.Until for conditions that take several keepalives.
func patiently(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(6 * wait.Patience); !condition(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

// isFinished reports whether the message is acknowledged, or delivered too often.
func (e *strictBroker) isFinished(b *fakeBroker) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return e.done || e.deliveries > 2
}
