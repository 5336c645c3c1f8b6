//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
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
		"Reconnect":         c.Reconnect(ctx),
	}
}

// requireInCallback requires ErrInCallback, with a text that names the call and the way out.
func requireInCallback(t *testing.T, call string, err error) {
	t.Helper()
	require.ErrorIs(t, err, mqtt.ErrInCallback, call)
	const why = ": waits for the broker, which an inline handler or a hook must not do: use "
	says, found := map[string]string{
		"Publish": "publish" + why + "PublishAsync, another goroutine or WithHandlerMode(mqtt.Worker(...))",
		"Wait":    "wait for a message" + why + "Done in another goroutine, or WithHandlerMode(mqtt.Worker(...))",
		"Close":   "close" + why + "another goroutine and another context",
	}[call]
	if !found {
		op := map[string]string{
			"Subscribe": "subscribe", "SubscribeMultiple": "subscribe", "Respond": "subscribe", "Unsubscribe": "unsubscribe",
			"Request": "request", "Messages": "messages", "AwaitConnected": "await connected", "Reconnect": "reconnect",
		}[call]
		says = op + why + "another goroutine or WithHandlerMode(mqtt.Worker(...))"
	}
	require.EqualError(t, err, "mqtt: "+says)
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
		requireInCallback(t, call, err)
	}
	require.NoError(t, c.Publish(wait.Soon(t), "b", nil), "the client still works")
}

// Calls that wait return ErrInCallback inside the hooks that the loop calls.
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
		requireInCallback(t, call, err)
	}
	require.NoError(t, token.Wait(wait.Soon(t)))
}

// On a worker, and in the loop of an iterator, every call except Close may block.
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
	err := wait.For(t, ended, "Close in a handler")
	require.ErrorIs(t, err, mqtt.ErrInCallback)
	require.EqualError(t, err, "mqtt: close: waits for the handler that calls it: use another goroutine and another context")
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

// Calls end after Close and after a permanent refusal. After a refusal their error contains
// the error of the refusal.
func TestWaits_EndWithTheClient(t *testing.T) {
	t.Parallel()
	c, _, _ := unreachable(t)
	ended := inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	subscribing := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
	wait.Until(t, "the message", func() bool { return c.Stats().Queued == 1 })
	closeNow(t, c)
	require.ErrorIs(t, wait.For(t, ended, "Publish"), mqtt.ErrClosed)
	require.ErrorIs(t, wait.For(t, subscribing, "Subscribe"), mqtt.ErrClosed)

	p := fakebroker.Listen(t)
	c = dial(t, p.Port, mqtt.WithBackgroundConnect())
	ended = inBackground(func() error { return c.Publish(wait.Soon(t), "a", nil) })
	wait.Until(t, "the message", func() bool { return c.Stats().Queued == 1 })
	conn := p.Accept()
	conn.Expect(fakebroker.CONNECT)
	conn.Send(fakebroker.V311.Connack(false, 5))
	wait.For(t, c.Done(), "the end of the client")
	for _, err := range []error{wait.For(t, ended, "Publish"), c.Publish(wait.Soon(t), "a", nil), c.Err()} {
		require.ErrorIs(t, err, mqtt.ErrClosed)
		var refusal mosquitto.ConnackError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, mosquitto.ConnackRefusedNotAuthorized, refusal.Code)
	}
}

// A handler on the worker blocks in a call of the client. Close ends the call.
func TestWaits_OnAWorkerEndWithTheClient(t *testing.T) {
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
func TestWaits_EndDuringFaults(t *testing.T) {
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
