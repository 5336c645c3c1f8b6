//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// waits makes every blocking call, and returns the error of each.
func waits(ctx context.Context, c *mqtt.Client) map[string]error {
	_, request := c.Request(ctx, "w", nil)
	var iterator error
	for _, iterator = range c.Messages(ctx, "w", 1) {
		break
	}
	return map[string]error{
		"Publish":           c.Publish(ctx, "w", nil),
		"Wait":              c.PublishAsync(ctx, "w", nil).Wait(ctx),
		"Subscribe":         c.Subscribe(ctx, "w", 1, ignore),
		"SubscribeMultiple": c.SubscribeMultiple(ctx, mqtt.Subscription{Filter: "w", Handler: ignore}),
		"Unsubscribe":       c.Unsubscribe(ctx, "w"),
		"Request":           request,
		"Messages":          iterator,
		"AwaitConnected":    c.AwaitConnected(ctx),
		"Respond":           c.Respond(ctx, "w", 1, func(context.Context, mqtt.Message) ([]byte, error) { return nil, nil }),
		"Close":             c.Close(ctx),
	}
}

func TestWaits_InAnInlineHandlerReturnErrInCallback(t *testing.T) {
	t.Parallel()
	b := plain(t)
	results := make(chan map[string]error, 10)
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	h := func(ctx context.Context, _ mqtt.Message) { results <- waits(context.WithoutCancel(ctx), c) }
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, h))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	for call, err := range wait.For(t, results, "the handler") {
		require.ErrorIs(t, err, mqtt.ErrInCallback, call)
	}
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil), "the client still works")
}

// In the hooks that the loop calls.
func TestWaits_InAHookReturnErrInCallback(t *testing.T) {
	t.Parallel()
	b := plain(t)
	results := make(chan map[string]error, 10)
	var c *mqtt.Client
	once, ready := sync.Once{}, make(chan struct{})
	hook := func(ctx context.Context, p *mqtt.Publication) func(error) {
		if p.Topic != "a" {
			return nil
		}
		return func(error) {
			once.Do(func() {
				<-ready
				results <- waits(context.WithoutCancel(ctx), c)
			})
		}
	}
	c = dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(mqtt.Hooks{Publish: hook}))
	close(ready)
	token := c.PublishAsync(wait.Soon(t), "a", nil)
	for call, err := range wait.For(t, results, "the hook") {
		require.ErrorIs(t, err, mqtt.ErrInCallback, call)
	}
	require.NoError(t, token.Wait(wait.Soon(t)))
}

// On a worker and in the loop of an iterator every call except Close may block.
func TestWaits_OnAWorkerSucceed(t *testing.T) {
	t.Parallel()
	b := plain(t)
	other := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, other.Respond(wait.Soon(t), "ask", 1, func(context.Context, mqtt.Message) ([]byte, error) { return []byte("answer"), nil }))
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)))
	ended := make(chan error, 100)
	ask := func(ctx context.Context) error {
		m, err := c.Request(ctx, "ask", nil)
		if err == nil && string(m.Payload) != "answer" {
			err = errors.New("unexpected response")
		}
		return errors.Join(err, c.Publish(ctx, "w", nil), c.Subscribe(ctx, "w", 1, ignore), c.Unsubscribe(ctx, "w"), c.AwaitConnected(ctx))
	}
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(ctx context.Context, _ mqtt.Message) { ended <- ask(ctx) }))
	const n = 20 // exceeds the capacity of the worker's queue
	for range n {
		require.NoError(t, other.Publish(wait.Soon(t), "a", nil))
	}
	for range n {
		require.NoError(t, wait.For(t, ended, "the worker"))
	}
	go func() { ended <- other.Publish(wait.Soon(t), "i", nil) }()
	for _, err := range c.Messages(wait.Soon(t), "i", 1, mqtt.WithNoLocal()) {
		require.NoError(t, err)
		require.NoError(t, ask(wait.Soon(t)))
		break
	}
	require.NoError(t, wait.For(t, ended, "the message for the iterator"))
	require.NoError(t, c.Subscribe(wait.Soon(t), "close", 1, func(ctx context.Context, _ mqtt.Message) { ended <- c.Close(ctx) }))
	require.NoError(t, other.Publish(wait.Soon(t), "close", nil))
	require.ErrorIs(t, wait.For(t, ended, "Close in a handler"), mqtt.ErrInCallback)
}

// The program holds a mutex during its calls, and in its handlers, state handler and logger.
// The client holds no lock while it calls them, so there is no deadlock.
func TestWaits_MutexOfTheProgramCannotDeadlock(t *testing.T) {
	t.Parallel()
	_, proxy := startProxiedBroker(t)
	var mu sync.Mutex
	var c *mqtt.Client
	sent := map[*mqtt.Token]bool{}
	handled := make(chan struct{}, 100_000)
	use := func() {
		mu.Lock()
		defer mu.Unlock()
		if c != nil {
			c.Stats()
			c.State()
			sent[c.PublishAsync(context.Background(), "from/callback", nil, mqtt.WithQoS(0))] = true
		}
	}
	mu.Lock()
	c = dial(t, proxy.Port, mqtt.WithBackgroundConnect(), mqtt.WithStateHandler(func(*mqtt.Client, mqtt.StateChange) { use() }),
		mqtt.WithSubscription("a", 1, func(context.Context, mqtt.Message) { use(); handled <- struct{}{} }))
	mu.Unlock()
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for range 100 {
				mu.Lock()
				sent[c.PublishAsync(context.Background(), "a", nil)] = true
				mu.Unlock()
			}
		}()
	}
	wait.For(t, handled, "a message")
	proxy.Cut()
	publishers.Wait()
	for range 300 {
		wait.For(t, handled, "the messages")
	}
	mu.Lock()
	tokens := sent
	sent = map[*mqtt.Token]bool{}
	mu.Unlock()
	for token := range tokens {
		if err := token.Wait(wait.Soon(t)); err != nil {
			require.ErrorIs(t, err, mqtt.ErrConnectionLost)
		}
	}
}

// The message stays in flight until the broker acknowledges it on the next connection.
func TestWaits_LossDoesNotEndQoS1And2(t *testing.T) {
	t.Parallel()
	for _, qos := range []mqtt.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			p := fakebroker.Listen(t)
			c, conn := dialScriptedBroker(t, p)
			token := c.PublishAsync(wait.Soon(t), "a", []byte("x"), mqtt.WithQoS(qos))
			waited := inBackground(func() error { return token.Wait(wait.Soon(t)) })
			conn.Dialog().Expect(fakebroker.V311.Publish(byte(qos)<<1, "a", 1, "x"))
			for range 2 {
				conn.Close()
				conn = p.AcceptConnect()
				dup := byte(8)
				if qos == 2 { // without a session the broker does not know the message: it is sent as a new message
					dup = 0
				}
				conn.Dialog().Expect(fakebroker.V311.Publish(dup|byte(qos)<<1, "a", 1, "x"))
				requirePending(t, token)
				wait.None(t, waited, "end of Wait")
			}
			if qos == 2 {
				conn.Send(fakebroker.V311.Pubrec(1))
				conn.Dialog().Expect(fakebroker.V311.Pubrel(1))
				requirePending(t, token)
				conn.Send(fakebroker.V311.Pubcomp(1))
			} else {
				conn.Send(fakebroker.V311.Puback(1))
			}
			require.NoError(t, wait.For(t, waited, "Wait"))
			require.NoError(t, token.Err())
		})
	}
}

// A QoS 0 message whose token ended with nil was written before the connection loss.
func TestWaits_UnwrittenQoS0Fails(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	tokens := make([]*mqtt.Token, 200)
	for i := range tokens {
		tokens[i] = c.PublishAsync(wait.Soon(t), "a", make([]byte, 100_000), mqtt.WithQoS(0))
	}
	stuck := func() bool { return c.Stats().Published > 0 }
	wait.Until(t, "the first to be written", stuck)
	requirePending(t, tokens[len(tokens)-1]) // the socket buffer of the kernel is full
	conn.Reset()
	conn = p.AcceptConnect()
	lost, waiting := 0, 0
	for _, token := range tokens {
		select {
		case <-token.Done():
			if token.Err() != nil {
				require.ErrorIs(t, token.Err(), mqtt.ErrConnectionLost)
				lost++
			}
		default:
			waiting++ // not submitted to the library yet: the next connection sends it
		}
	}
	require.Positive(t, lost)
	require.Positive(t, waiting)
	go func() {
		for {
			if _, err := conn.Next(); err != nil {
				return
			}
		}
	}()
	for _, token := range tokens {
		if err := token.Wait(wait.Soon(t)); err != nil {
			require.ErrorIs(t, err, mqtt.ErrConnectionLost)
			lost--
		}
	}
	require.Zero(t, lost)
}

// With MQTT 5 a PUBACK can have a reason code that refuses the message.
func TestWaits_RefusalIsAnError(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(mqtt.V5))
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	conn.Expect(fakebroker.PUBLISH)
	conn.Send(fakebroker.V5.Answer(fakebroker.PUBACK, 1, 0x97, fakebroker.ReasonString("no more today")))
	err := wait.For(t, ended, "Publish")
	var refused *mqtt.PublishError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, &mqtt.PublishError{Topic: "a", Code: mosquitto.RCQuotaExceeded, Text: "no more today"}, refused)
	require.ErrorIs(t, err, mosquitto.ReasonError{Code: mosquitto.RCQuotaExceeded})
}

// A token ends with the acknowledgement, with the loss of a QoS 0 message, or with Close.
func TestWaits_EveryTokenEnds(t *testing.T) {
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

// The library drops SUBSCRIBE and UNSUBSCRIBE when the connection is lost. The client sends
// them again.
func TestWaits_LostSubscribeIsSentAgain(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p, mqtt.WithClientID("x"), mqtt.WithSession(-1))
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	for range 2 {
		conn.Expect(fakebroker.SUBSCRIBE)
		conn.Close()
		conn = p.AcceptConnect()
		wait.None(t, ended, "end of Subscribe")
	}
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	ended = inBackground(func() error { return c.Unsubscribe(wait.Soon(t), "a") })
	conn.Expect(fakebroker.UNSUBSCRIBE)
	wait.None(t, ended, "end of Unsubscribe")
	conn.Close()
	conn = p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(true, 0)) // the session is kept, so the client sends UNSUBSCRIBE again
	conn.Send(fakebroker.V311.Unsuback(conn.Expect(fakebroker.UNSUBSCRIBE).MID(), nil))
	require.NoError(t, wait.For(t, ended, "Unsubscribe"))
}
