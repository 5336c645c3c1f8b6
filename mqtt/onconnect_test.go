//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// onConnect is WithOnConnect for functions that need only ctx and the client.
func onConnect(f func(ctx context.Context, c *mqtt.Client) error) mqtt.Option {
	return mqtt.WithOnConnect(func(ctx context.Context, c *mqtt.Client, _ mqtt.Connack) error { return f(ctx, c) })
}

// publishBirths publishes a message of each QoS and waits for its acknowledgement.
func publishBirths(ctx context.Context, c *mqtt.Client) error {
	for qos := range mqtt.QoS(3) {
		if err := c.Publish(ctx, "birth", fmt.Append(nil, qos), mqtt.WithQoS(qos)); err != nil {
			return err
		}
	}
	return nil
}

// sentOn lists the messages of a connection, in the order of their arrival.
func sentOn(b *fakeBroker, connection int) (all []string) {
	for _, p := range b.received(fakebroker.PUBLISH) {
		if p.connection == connection {
			all = append(all, p.topic()+" "+p.payload())
		}
	}
	return all
}

// births lists the messages of publishBirths.
var births = []string{"birth 0", "birth 1", "birth 2"}

// lateBroker returns a client and a function that starts its fake broker, so that a test can
// queue messages first.
func lateBroker(t *testing.T, options ...mqtt.Option) (c *mqtt.Client, start func(script) *fakeBroker) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	started := false
	t.Cleanup(func() {
		if !started {
			l.Close()
		}
	})
	c = dial(t, l.Addr().(*net.TCPAddr).Port, append(options, mqtt.WithBackgroundConnect())...)
	return c, func(s script) *fakeBroker {
		started = true
		return fakeBrokerOn(t, l, s)
	}
}

func TestOnConnect_MessagesLeaveBeforeQueuedMessages(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			c, start := lateBroker(t, mqtt.WithProtocol(version), onConnect(publishBirths))
			var queued []*mqtt.Token
			for qos := range mqtt.QoS(3) {
				queued = append(queued, c.PublishAsync(context.Background(), "queued", fmt.Append(nil, qos), mqtt.WithQoS(qos)))
			}
			b := start(nil)
			for _, token := range queued {
				require.NoError(t, token.Wait(wait.Soon(t)))
			}
			require.Equal(t, append(slices.Clone(births), "queued 0", "queued 1", "queued 2"), sentOn(b, 1))
		})
	}
}

// Messages that other goroutines and handlers publish while the function runs are sent after
// the function has returned.
func TestOnConnect_OtherPublishesWaitForTheFunction(t *testing.T) {
	t.Parallel()
	entered, release := make(chan bool, 10), make(chan bool)
	c, start := lateBroker(t, onConnect(func(ctx context.Context, c *mqtt.Client) error {
		entered <- true
		<-release
		return publishBirths(ctx, c)
	}), mqtt.WithSubscription("in", 1, func(ctx context.Context, _ mqtt.Message) {
		mqtt.FromContext(ctx).PublishAsync(ctx, "handler", nil)
	}))
	b := start(nil)
	wait.For(t, entered, "the function")
	b.conn().publish(0, "in", 0, "")
	other := c.PublishAsync(context.Background(), "other", nil)
	wait.Until(t, "the handler's message", func() bool { return c.Stats().Queued == 2 })
	require.NotEqual(t, mqtt.StateConnected, c.State())
	require.Empty(t, sentOn(b, 1))
	close(release)
	require.NoError(t, other.Wait(wait.Soon(t)))
	wait.Until(t, "all messages", func() bool { return len(sentOn(b, 1)) == 5 })
	require.Equal(t, births, sentOn(b, 1)[:3])
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
}

// After a reconnect the client sends first the messages in flight, then the messages of the
// function, then the queue.
func TestOnConnect_RunsAtEveryConnectionAfterMessagesInFlight(t *testing.T) {
	t.Parallel()
	gate := make(chan bool, 10)
	gate <- true
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		return p.Type() == fakebroker.PUBLISH && p.topic() == "flying" && c.number == 1
	})
	c := dial(t, b.port, mqtt.WithSubscription("a", 1, ignore), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return publishBirths(ctx, c)
	}))
	flying := c.PublishAsync(context.Background(), "flying", []byte("x"))
	wait.Until(t, "the message in flight", func() bool { return len(b.published("flying")) == 1 })
	b.conn().Close()
	wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	queued := c.PublishAsync(context.Background(), "queued", []byte("y"))
	gate <- true
	require.NoError(t, queued.Wait(wait.Soon(t)))
	require.NoError(t, flying.Wait(wait.Soon(t)))
	require.Equal(t, append([]string{"flying x"}, append(slices.Clone(births), "queued y")...), sentOn(b, 2))
	require.Equal(t, append(slices.Clone(births), "flying x"), sentOn(b, 1))
}

// The function runs only when the broker has granted all subscriptions.
func TestOnConnect_WaitsForTheSubscriptions(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	ran := make(chan mqtt.Connack, 1)
	option, changes := watchStates()
	c := dial(t, p.Port, option, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect(), mqtt.WithSubscription("a", 1, ignore),
		mqtt.WithOnConnect(func(_ context.Context, _ *mqtt.Client, connack mqtt.Connack) error {
			ran <- connack
			return nil
		}))
	queued := c.PublishAsync(context.Background(), "queued", nil, mqtt.WithQoS(0))
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V5.Connack(false, 0, fakebroker.ReasonString("welcome")))
	subscribe := conn.Expect(fakebroker.SUBSCRIBE)
	wait.None(t, ran, "call of the function")
	requirePending(t, queued)
	conn.Send(fakebroker.V5.Suback(subscribe.MID(), []byte{1}))
	require.Equal(t, "welcome", wait.For(t, ran, "the function").ReasonString)
	awaitState(t, changes, mqtt.StateConnected)
	conn.Expect(fakebroker.PUBLISH)
}

// A function may subscribe and wait for responses, also with inline handlers. Dial returns
// after the function.
func TestOnConnect_MayWaitForAnything(t *testing.T) {
	t.Parallel()
	b := plain(t)
	server := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, server.Respond(wait.Soon(t), "ask", 1, func(context.Context, mqtt.Message) ([]byte, error) { return []byte("42"), nil }))
	var answer atomic.Value
	h, got := collect()
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		if mqtt.FromContext(ctx) != c {
			return errors.New("ctx is not the client's")
		}
		if err := c.Subscribe(ctx, "a", 1, h); err != nil {
			return err
		}
		m, err := c.Request(ctx, "ask", nil)
		answer.Store(string(m.Payload))
		return err
	}))
	require.Equal(t, "42", answer.Load())
	require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("x")))
	require.Equal(t, "x", string(wait.For(t, got, "the message").Payload))
}

func TestOnConnect_FunctionsAddUpAndErrorsAreLogged(t *testing.T) {
	t.Parallel()
	var log logBuffer
	var order []string
	one := func(name string, err error) mqtt.Option {
		return onConnect(func(context.Context, *mqtt.Client) error {
			order = append(order, name)
			return err
		})
	}
	c := dial(t, plain(t).Port, one("first", errors.New("oh no")), one("second", nil), mqtt.WithLogger(log.logger(slog.LevelInfo)))
	require.Equal(t, []string{"first", "second"}, order)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil), "the connection is not lost")
	wait.Until(t, "the line", func() bool {
		return containsAll(log.String(), `level=ERROR msg="mqtt: a function of WithOnConnect failed" error="oh no"`)
	})
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1:1"}, mqtt.WithOnConnect(nil))
	require.ErrorContains(t, err, "WithOnConnect: f is nil")
}

// The queue is full of messages that wait for the function. The messages of the function are
// sent all the same.
func TestOnConnect_FullQueueDoesNotDelayBirthMessages(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]mqtt.QueueFull{"wait": mqtt.WaitForRoom, "refuse": mqtt.Refuse, "drop": mqtt.DropOldestQoS0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			c, start := lateBroker(t, mqtt.WithQueue(2, 100, policy), onConnect(func(ctx context.Context, c *mqtt.Client) error {
				failed <- publishBirths(ctx, c)
				return nil
			}))
			queued := []*mqtt.Token{c.PublishAsync(context.Background(), "queued", []byte("0")), c.PublishAsync(context.Background(), "queued", []byte("1"))}
			waiting := make(chan error, 1)
			if policy == mqtt.WaitForRoom {
				go func() { waiting <- c.Publish(wait.Soon(t), "queued", []byte("2")) }()
			} else {
				waiting <- c.Publish(wait.Soon(t), "queued", nil)
			}
			b := start(nil)
			require.NoError(t, wait.For(t, failed, "the function"))
			for _, token := range queued {
				require.NoError(t, token.Wait(wait.Soon(t)))
			}
			want := append(slices.Clone(births), "queued 0", "queued 1")
			if err := wait.For(t, waiting, "the third message"); policy == mqtt.WaitForRoom {
				require.NoError(t, err)
				want = append(want, "queued 2")
			} else {
				require.ErrorIs(t, err, mqtt.ErrQueueFull)
			}
			require.Equal(t, want, sentOn(b, 1))
			require.Zero(t, c.Stats().Queued)
			require.Zero(t, c.Stats().QueuedBytes)
		})
	}
}

// A message that alone exceeds the limit of the queue is refused in the function too.
func TestOnConnect_MessageAboveTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	dial(t, startFakeBroker(t, nil).port, mqtt.WithQueue(1, 100, mqtt.WaitForRoom), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		failed <- c.Publish(ctx, "birth", make([]byte, 200))
		return nil
	}))
	require.ErrorIs(t, wait.For(t, failed, "the function"), mqtt.ErrQueueFull)
}

// The outbox has more messages than the queue can hold, so the client refuses new messages. It
// accepts the messages of the function. It does not store them, and sends no message twice.
func TestOnConnect_MessagesAreSentBeforeTheOutbox(t *testing.T) {
	t.Parallel()
	const left = 20
	o := filled(left)
	stored := make(chan int, 1)
	c, start := lateBroker(t, mqtt.WithOutbox(o), mqtt.WithQueue(4, 1<<20, mqtt.WaitForRoom), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		err := publishBirths(ctx, c)
		stored <- o.len()
		return err
	}))
	b := start(nil)
	require.Equal(t, left, wait.For(t, stored, "the function"))
	require.NoError(t, c.Publish(wait.Soon(t), "new", []byte("x")))
	want := slices.Clone(births)
	for n := range left {
		want = append(want, fmt.Sprint("left ", n))
	}
	require.Equal(t, append(want, "new x"), sentOn(b, 1))
	require.Zero(t, o.len())
}

// The connection is lost while the function waits: its context ends, and the next
// connection calls it again.
func TestOnConnect_LostConnectionEndsTheContext(t *testing.T) {
	t.Parallel()
	returned := make(chan struct{}) // the first call of the function
	var once sync.Once
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() != fakebroker.PUBLISH:
			return false
		case c.number == 1:
			c.Close()
			return true
		}
		<-returned // an earlier acknowledgement would end the first call with nil
		return false
	})
	failed := make(chan error, 10)
	option, changes := watchStates()
	c := dial(t, b.port, option, onConnect(func(ctx context.Context, c *mqtt.Client) error {
		err := c.Publish(ctx, "birth", nil)
		failed <- errors.Join(err, context.Cause(ctx))
		once.Do(func() { close(returned) })
		return err
	}))
	err := wait.For(t, failed, "the first call")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, mqtt.ErrAbandoned)
	require.NoError(t, wait.For(t, failed, "the second call"))
	require.Zero(t, awaitFailure(t, changes).Attempt, "the first connection was not announced")
	awaitState(t, changes, mqtt.StateConnected)
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// Messages of PublishAsync that were not sent stay queued. They precede older messages, and
// follow the messages of the next connection.
func TestOnConnect_UnsentMessagesOfALostConnectionStayQueued(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	tokens := make(chan *mqtt.Token, 10)
	c, start := lateBroker(t, mqtt.WithInflight(1), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		call := calls.Add(1)
		for n := range 3 {
			tokens <- c.PublishAsync(ctx, "birth", fmt.Append(nil, call, n))
		}
		if call == 1 {
			<-ctx.Done()
		}
		return nil
	}))
	queued := c.PublishAsync(context.Background(), "queued", []byte("x"))
	b := start(func(c *brokerConn, p packet) bool { return p.Type() == fakebroker.PUBLISH && c.number == 1 })
	var all []*mqtt.Token
	for range 3 {
		all = append(all, wait.For(t, tokens, "a token of the first call"))
	}
	wait.Until(t, "the first message", func() bool { return len(sentOn(b, 1)) == 1 })
	b.conn().Close()
	require.NoError(t, queued.Wait(wait.Soon(t)))
	for range 3 {
		all = append(all, wait.For(t, tokens, "a token of the second call"))
	}
	for _, token := range all {
		require.NoError(t, token.Wait(wait.Soon(t)))
	}
	require.Equal(t, []string{"birth 1 0"}, sentOn(b, 1))
	require.Equal(t, []string{"birth 1 0", "birth 2 0", "birth 2 1", "birth 2 2", "birth 1 1", "birth 1 2", "queued x"}, sentOn(b, 2))
}

func TestOnConnect_OnlineOnlyMessagesFailWithTheConnection(t *testing.T) {
	t.Parallel()
	tokens := make(chan *mqtt.Token, 10)
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool { return p.Type() == fakebroker.PUBLISH && c.number == 1 })
	var calls atomic.Int32
	dial(t, b.port, mqtt.WithBackgroundConnect(), mqtt.WithInflight(1), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		if calls.Add(1) == 1 {
			tokens <- c.PublishAsync(ctx, "birth", nil)
			tokens <- c.PublishAsync(ctx, "birth", nil, mqtt.WithOnlineOnly())
			<-ctx.Done()
		}
		return nil
	}))
	first, second := wait.For(t, tokens, "the first message"), wait.For(t, tokens, "the second message")
	wait.Until(t, "the first message", func() bool { return len(sentOn(b, 1)) == 1 })
	b.conn().Close()
	require.NoError(t, first.Wait(wait.Soon(t)))
	require.ErrorIs(t, second.Wait(wait.Soon(t)), mqtt.ErrNotConnected)
}

// A function that does not return blocks the queue at most for the connect timeout. The
// function of the next connection waits until it has returned.
func TestOnConnect_ConnectTimeoutLimitsTheFunctions(t *testing.T) {
	t.Parallel()
	var log logBuffer
	entered, release := make(chan context.Context, 10), make(chan struct{})
	defer func() { closeOnce(release) }()
	c, start := lateBroker(t, shortConnectTimeout(), mqtt.WithLogger(log.logger(slog.LevelWarn)), onConnect(func(ctx context.Context, _ *mqtt.Client) error {
		entered <- ctx
		<-release
		return nil
	}))
	queued := c.PublishAsync(context.Background(), "queued", nil)
	b := start(nil)
	ctx := wait.For(t, entered, "the function")
	require.NoError(t, queued.Wait(wait.Soon(t)))
	require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	require.ErrorIs(t, c.Publish(ctx, "late", nil), context.DeadlineExceeded)
	require.NoError(t, c.Publish(context.WithoutCancel(ctx), "late", nil), "after the timeout the function may publish like any other goroutine")
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	wait.Until(t, "the line", func() bool {
		return containsAll(log.String(), `level=WARN msg="mqtt: the functions of WithOnConnect have not returned in time" limit=500ms`)
	})
	for n := 2; n <= 3; n++ {
		b.conn().Close()
		wait.Until(t, "the next connection", func() bool { return b.connections() == n })
	}
	wait.None(t, entered, "call before the first has returned")
	closeOnce(release)
	wait.For(t, entered, "the call for the third connection")
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	wait.None(t, entered, "call for the second connection, which is lost")
}

// The outbox does not store the messages of the function. CloseError lists them.
func TestOnConnect_MessagesAreNotStored(t *testing.T) {
	t.Parallel()
	o := filled(0)
	tokens := make(chan *mqtt.Token, 10)
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port, mqtt.WithOutbox(o), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		tokens <- c.PublishAsync(ctx, "birth", nil)
		return nil
	}))
	token := wait.For(t, tokens, "the token")
	c.PublishAsync(context.Background(), "queued", nil)
	require.Equal(t, 1, o.len())
	var unsent *mqtt.CloseError
	require.ErrorAs(t, c.Close(context50ms(t)), &unsent)
	require.Equal(t, []mqtt.Unsent{{Topic: "birth", QoS: 1, Sent: true}, {Topic: "queued", QoS: 1, Sent: true, Stored: true}}, unsent.Unsent)
	require.ErrorIs(t, token.Err(), mqtt.ErrClosed)
}

// Close ends the context of the function, sends the queue and waits for the function.
func TestOnConnect_CloseEndsTheContextAndSendsTheQueue(t *testing.T) {
	t.Parallel()
	entered, returned := make(chan bool, 10), make(chan error, 10)
	c, start := lateBroker(t, onConnect(func(ctx context.Context, c *mqtt.Client) error {
		entered <- true
		<-ctx.Done()
		err := c.Publish(context.WithoutCancel(ctx), "refused", nil)
		for c.State() != mqtt.StateClosed { // nothing else reports this state while the function runs
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Millisecond) // a Close that does not wait for the function would return now
		returned <- err
		return nil
	}))
	queued := c.PublishAsync(context.Background(), "queued", nil)
	start(nil)
	wait.For(t, entered, "the function")
	require.NoError(t, c.Close(wait.Soon(t)))
	require.NoError(t, queued.Err())
	require.Len(t, returned, 1)
	require.ErrorIs(t, <-returned, mqtt.ErrClosed)
}

// A connection that is accepted after Close runs no function.
func TestOnConnect_CloseBeforeConnackSendsTheQueue(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	ran := make(chan bool, 1)
	c := dial(t, p.Port, mqtt.WithBackgroundConnect(), onConnect(func(ctx context.Context, _ *mqtt.Client) error {
		ran <- true
		<-ctx.Done()
		return nil
	}))
	queued := c.PublishAsync(context.Background(), "queued", nil)
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	closed := inBackground(func() error { return c.Close(wait.Soon(t)) })
	wait.Until(t, "Close", func() bool {
		return errors.Is(c.PublishAsync(context.Background(), "refused", nil, mqtt.WithOnlineOnly()).Err(), mqtt.ErrClosed)
	})
	conn.Send(fakebroker.V311.Connack(false, 0))
	conn.Send(fakebroker.V311.Puback(packet{Packet: conn.Expect(fakebroker.PUBLISH)}.mid()))
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, closed, "Close"))
	require.NoError(t, queued.Err())
	wait.None(t, ran, "call of the function")
}

// No function starts after Close: the subscription is granted later.
func TestOnConnect_CloseBeforeTheFunctionSendsTheQueue(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	ran := make(chan bool, 1)
	c := dial(t, p.Port, mqtt.WithBackgroundConnect(), mqtt.WithSubscription("a", 1, ignore), onConnect(func(context.Context, *mqtt.Client) error {
		ran <- true
		return nil
	}))
	queued := c.PublishAsync(context.Background(), "queued", nil)
	conn := p.AcceptConnect()
	subscribe := conn.Expect(fakebroker.SUBSCRIBE)
	requirePending(t, queued)
	closed := inBackground(func() error { return c.Close(wait.Soon(t)) })
	publish := conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.V311.Suback(subscribe.MID(), []byte{1}))
	conn.Send(fakebroker.V311.Puback(packet{Packet: publish}.mid()))
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	require.NoError(t, wait.For(t, closed, "Close"))
	wait.None(t, ran, "call of the function")
}

// Calls that would wait for the end of the function return an error at once.
func TestOnConnect_CallsThatWaitForTheFunctionFail(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 3)
	c := dial(t, startFakeBroker(t, nil).port, onConnect(func(ctx context.Context, c *mqtt.Client) error {
		failed <- c.AwaitConnected(ctx)
		failed <- c.Reconnect(ctx)
		failed <- c.Close(ctx)
		return nil
	}))
	for range 3 {
		err := wait.For(t, failed, "the call")
		require.ErrorIs(t, err, mqtt.ErrInCallback)
		require.ErrorContains(t, err, "waits for the function of WithOnConnect that calls it: use another goroutine and another context")
	}
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// With another context the function may close the client.
func TestOnConnect_MayCloseTheClientWithAnotherContext(t *testing.T) {
	t.Parallel()
	closed := make(chan error, 1)
	c, start := lateBroker(t, onConnect(func(_ context.Context, c *mqtt.Client) error {
		closed <- c.Close(context.Background())
		return nil
	}))
	start(nil)
	require.NoError(t, wait.For(t, closed, "Close"))
	require.ErrorIs(t, c.Err(), mqtt.ErrClosed)
}

// The context of Dial ends while the function runs: the context of the function ends too.
func TestOnConnect_EndOfDialEndsTheContext(t *testing.T) {
	t.Parallel()
	returned := make(chan error, 1)
	dialing, end := context.WithCancel(context.Background())
	defer end()
	_, err := mqtt.Dial(dialing, []string{url(startFakeBroker(t, nil).port)}, onConnect(func(ctx context.Context, _ *mqtt.Client) error {
		end()
		<-ctx.Done()
		returned <- ctx.Err()
		return nil
	}))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, wait.For(t, returned, "the function"), context.Canceled)
}

// Reconnect in another goroutine ends the call of the connection.
func TestOnConnect_ReconnectEndsTheContext(t *testing.T) {
	t.Parallel()
	entered, returned := make(chan bool, 10), make(chan error, 10)
	b := startFakeBroker(t, nil)
	c := dial(t, b.port, mqtt.WithBackgroundConnect(), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		entered <- true
		if b.connections() == 1 {
			<-ctx.Done()
		}
		returned <- ctx.Err()
		return nil
	}))
	wait.For(t, entered, "the function")
	require.NoError(t, c.Reconnect(wait.Soon(t)))
	require.ErrorIs(t, wait.For(t, returned, "the first call"), context.Canceled)
	require.NoError(t, wait.For(t, returned, "the second call"))
	require.Equal(t, 2, b.connections())
}

// The mark of the context is good for the running functions of its own client only.
func TestOnConnect_ContextMarksMessagesOfItsClientOnly(t *testing.T) {
	t.Parallel()
	marked := make(chan context.Context, 1)
	dial(t, startFakeBroker(t, nil).port, onConnect(func(ctx context.Context, _ *mqtt.Client) error {
		marked <- context.WithoutCancel(ctx)
		return nil
	}))
	ctx := wait.For(t, marked, "the context")
	other, start := lateBroker(t, onConnect(publishBirths))
	queued := other.PublishAsync(ctx, "queued", []byte("x"))
	b := start(nil)
	require.NoError(t, queued.Wait(wait.Soon(t)))
	require.Equal(t, append(slices.Clone(births), "queued x"), sentOn(b, 1))
}

func TestOnConnect_ExpiredAndCancelledMessagesLeaveTheQueue(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, acknowledgesNothing)
	failed := make(chan error, 2)
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithInflight(1), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		c.PublishAsync(ctx, "first", nil)
		expiring := c.PublishAsync(ctx, "expiring", nil, mqtt.WithMessageExpiry(time.Second))
		brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		failed <- c.Publish(brief, "cancelled", nil)
		failed <- expiring.Wait(ctx)
		return nil
	}))
	require.ErrorIs(t, wait.For(t, failed, "the cancelled message"), context.DeadlineExceeded)
	require.ErrorIs(t, wait.For(t, failed, "the expired message"), mqtt.ErrMessageExpired)
	require.Equal(t, 1, c.Stats().Queued)
}

// A broker closes the connection for a birth message of QoS 1: the message fails, and the
// messages that were queued are sent.
func TestOnConnect_RefusedBirthMessageFails(t *testing.T) {
	t.Parallel()
	bad := errors.New("not called")
	tokens := make(chan *mqtt.Token, 100)
	c, start := lateBroker(t, mqtt.WithDeliveryAttempts(3), onConnect(func(ctx context.Context, c *mqtt.Client) error {
		if bad != nil {
			bad = nil
			tokens <- c.PublishAsync(ctx, "good", []byte("0"))
			tokens <- c.PublishAsync(ctx, "bad", nil)
			tokens <- c.PublishAsync(ctx, "good", []byte("1"))
		}
		return nil
	}))
	for n := range 3 {
		tokens <- c.PublishAsync(context.Background(), "queued", fmt.Append(nil, n))
	}
	b := start(func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.PUBLISH && p.topic() == "bad" && c.number > 1 {
			c.Close()
		}
		return p.Type() == fakebroker.PUBLISH && (p.topic() == "bad" || c.number == 1)
	})
	wait.Until(t, "the first messages", func() bool { return len(sentOn(b, 1)) == 6 })
	b.conn().Close()
	var failure *mqtt.DeliveryError
	for range 6 {
		if err := wait.For(t, tokens, "a token").Wait(wait.Soon(t)); err != nil {
			require.Nil(t, failure, "%v and %v", failure, err)
			require.ErrorAs(t, err, &failure)
			require.Equal(t, "bad", failure.Topic)
		}
	}
	require.NotNil(t, failure)
}

func TestOnConnect_PanicCrashesTheProgram(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dial(t, startFakeBroker(t, nil).port, onConnect(func(context.Context, *mqtt.Client) error { panic("birth defect") }))
		return
	}
	output, err := runInChild(t)
	require.Error(t, err)
	require.Contains(t, output, "panic: birth defect")
}

// The connection is lost again and again. Each connection sends its own birth message first.
func TestOnConnect_BirthsAreFirstOnEveryConnection(t *testing.T) {
	t.Parallel()
	const connections = 30
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.PUBLISH && p.topic() == "queued" && c.number < connections {
			c.Close()
			return true
		}
		return false
	})
	c := dial(t, b.port, onConnect(func(ctx context.Context, c *mqtt.Client) error {
		return c.Publish(ctx, "birth", nil)
	}))
	wait.Until(t, "the connections", func() bool {
		c.PublishAsync(context.Background(), "queued", nil, mqtt.WithQoS(0)) // the library does not send it again
		return b.connections() >= connections
	})
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.NoError(t, c.Close(wait.Soon(t)))
	born := map[int]bool{}
	for _, p := range b.received(fakebroker.PUBLISH) {
		if p.topic() == "birth" {
			born[p.connection] = true
		} else {
			require.True(t, born[p.connection], "a message of the queue precedes the birth message of connection %d", p.connection)
		}
	}
	require.Greater(t, len(born), connections/2)
}
