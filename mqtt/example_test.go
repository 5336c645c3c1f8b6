//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
)

// The first program: connect, subscribe, publish, close. servers are the addresses
// of brokers, such as "mqtt://127.0.0.1:1883".
func Example() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	done := make(chan struct{})
	err = client.Subscribe(ctx, "sensors/+/temperature", 1, func(_ context.Context, m mqtt.Message) {
		fmt.Println(m.Topic, string(m.Payload))
		close(done)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Publish(ctx, "sensors/1/temperature", []byte("20.5")); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output: sensors/1/temperature 20.5
}

// The context bounds the first connection; the client lives until Close.
func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mqtt.Dial(ctx, servers(),
		mqtt.WithClientID("till-1"),
		mqtt.WithSession(24*time.Hour), // the broker keeps subscriptions and messages for a day
		mqtt.WithProtocol(mqtt.V5, mqtt.V311),
		mqtt.WithKeepAlive(30*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.State())
	fmt.Println(client.Close(context.Background()))
	fmt.Println(client.State())
	// Output:
	// connected
	// <nil>
	// closed
}

// From one server to several: the first that accepts is taken, now and after every
// loss. With the same client id a kept session goes on where a cluster shares it.
func ExampleDial_severalServers() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, cluster(), mqtt.WithBackoff(100*time.Millisecond, 5*time.Second, 0.5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State(), "although the first does not answer")
	// Output: connected although the first does not answer
}

// What keeps a client from connecting is in the error.
func ExampleDial_failure() {
	nobody := []string{"mqtt://127.0.0.1:1"}
	_, err := mqtt.Dial(context.Background(), nobody)
	var failed *mqtt.ConnectError
	var refused mosquitto.ConnackError
	switch {
	case errors.As(err, &refused):
		fmt.Println("the broker will not have us:", refused.Code)
	case errors.As(err, &failed):
		fmt.Println("no connection to", failed.Server)
	}
	// Output: no connection to mqtt://127.0.0.1:1
}

// Publish returns when the broker has acknowledged. QoS 1 is the default.
func ExampleClient_Publish() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
	err = client.Publish(ctx, "orders/7", []byte(`{"item": "lamp"}`),
		mqtt.WithQoS(2), mqtt.WithContentType("application/json"), mqtt.WithMessageExpiry(time.Hour), mqtt.WithUserProperty("shop", "corner"))
	var refused *mqtt.PublishError
	switch {
	case err == nil:
		fmt.Println("the broker has it")
	case errors.As(err, &refused):
		fmt.Println("the broker does not want it:", refused.Code)
	case errors.Is(err, mqtt.ErrAbandoned):
		fmt.Println("no answer in time; it may still arrive")
	default:
		fmt.Println("it was not sent:", err)
	}
	// Output: the broker has it
}

// Many messages at once: each has a token, on which somebody may wait.
func ExampleClient_PublishAsync() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	var tokens []*mqtt.Token
	for i := range 100 {
		tokens = append(tokens, client.PublishAsync(ctx, "numbers", fmt.Append(nil, i)))
	}
	for _, token := range tokens {
		if err := token.Wait(ctx); err != nil {
			log.Print(err)
			return
		}
	}
	fmt.Println(client.Stats().Published, "messages acknowledged")
	// Output: 100 messages acknowledged
}

// A token for select.
func ExampleToken_Done() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	token := client.PublishAsync(ctx, "a/b", []byte("hello"))
	select {
	case <-token.Done():
		fmt.Println("acknowledged:", token.Err() == nil)
	case <-time.After(10 * time.Second):
		fmt.Println("still on its way")
	}
	// Output: acknowledged: true
}

// A message goes to the handlers of all filters that it matches, in the order of
// arrival. A refusal names the filter.
func ExampleClient_Subscribe() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	done := make(chan struct{})
	var granted mqtt.QoS
	err = client.Subscribe(ctx, "house/#", 2, func(_ context.Context, m mqtt.Message) {
		fmt.Println("house:", m.Topic)
		if m.Topic == "house/door" {
			close(done)
		}
	}, mqtt.WithGrantedQoS(&granted))
	var refused *mqtt.SubscribeError
	if errors.As(err, &refused) {
		log.Fatal(refused.Filter, ": ", refused.Code)
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, topic := range []string{"house/lamp", "garden/lamp", "house/door"} {
		if err := client.Publish(ctx, topic, []byte("on")); err != nil {
			log.Fatal(err)
		}
	}
	<-done
	fmt.Println("granted QoS", granted)
	// Output:
	// house: house/lamp
	// house: house/door
	// granted QoS 2
}

// The members of a group share its messages: each goes to one of them.
func ExampleClient_Subscribe_shared() {
	ctx := context.Background()
	done := make(chan struct{}, 10)
	for range 3 {
		worker, err := mqtt.Dial(ctx, servers())
		if err != nil {
			log.Fatal(err)
		}
		defer worker.Close(ctx)
		err = worker.Subscribe(ctx, "$share/packers/orders/#", 1, func(context.Context, mqtt.Message) {
			done <- struct{}{}
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	for i := range 6 {
		if err := client.Publish(ctx, fmt.Sprint("orders/", i), nil); err != nil {
			log.Fatal(err)
		}
		<-done
	}
	fmt.Println("6 orders, each packed once:", len(done) == 0)
	// Output: 6 orders, each packed once: true
}

// Several filters in one call, each with its handler.
func ExampleClient_SubscribeMultiple() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	show := func(_ context.Context, m mqtt.Message) { fmt.Println(m.Topic) }
	err = client.SubscribeMultiple(ctx,
		mqtt.Subscription{Filter: "lamps/+", QoS: 1, Handler: show},
		mqtt.Subscription{Filter: "doors/+", QoS: 0, Handler: show, Options: []mqtt.SubscribeOption{mqtt.WithRetainHandling(mqtt.RetainSendNever)}},
	)
	fmt.Println(err)
	// Output: <nil>
}

// Messages as a loop. It may wait for anything, also for the client.
func ExampleClient_Messages() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
	if err := client.Publish(ctx, "greeting", []byte("hello"), mqtt.WithRetain(true)); err != nil {
		log.Fatal(err)
	}
	for m, err := range client.Messages(ctx, "greeting", 1) {
		if err != nil {
			log.Print(err) // and the loop ends
			continue
		}
		fmt.Println(string(m.Payload), m.Retain)
		if err := client.Publish(ctx, "greeting", nil, mqtt.WithRetain(true)); err != nil { // the broker forgets it
			log.Print(err)
		}
		break
	}
	// Output: hello true
}

// A question and its answer, with MQTT 5.
func ExampleClient_Request() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close(context.Background())
	err = server.Respond(ctx, "greeter", 1, func(_ context.Context, request mqtt.Message) ([]byte, error) {
		if len(request.Payload) == 0 {
			return nil, errors.New("whom?")
		}
		return append([]byte("hello "), request.Payload...), nil
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
	answer, err := client.Request(ctx, "greeter", []byte("world"))
	fmt.Println(string(answer.Payload), err)
	_, err = client.Request(ctx, "greeter", nil)
	fmt.Println(err)
	// Output:
	// hello world <nil>
	// mqtt: request: whom?
}

// A responder that takes its time answers later, with Reply.
func ExampleClient_Reply() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
	err = client.Subscribe(ctx, "slow/greeter", 1, func(ctx context.Context, request mqtt.Message) {
		go client.Reply(ctx, request, []byte("good evening"))
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.Request(ctx, "slow/greeter", nil)
	fmt.Println(string(answer.Payload), err)
	// Output: good evening <nil>
}

// TLS with certificates from memory. Nothing of them is written to a disk.
func ExampleWithTLS() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, tlsServers(), mqtt.WithTLS(mqtt.TLS{
		CA:         secret("ca"), // PEM; Cert and Key are the client's own, if the broker wants one
		MinVersion: "tlsv1.2",
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// Certificates that are renewed while the program runs: the function is called before
// each attempt to connect.
func ExampleWithTLSFunc() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, tlsServers(), mqtt.WithTLSFunc(func(ctx context.Context) (mqtt.TLS, error) {
		return mqtt.TLS{CA: secret("ca")}, ctx.Err() // or with the Certificate that a vault has issued
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// TLS with a key that both sides know, in hex digits.
func ExampleWithTLS_psk() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, pskServers(), mqtt.WithTLS(mqtt.TLS{PSK: "6d6f7371756974746f", PSKIdentity: "sensor-7"}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// A token that expires is fetched anew for each attempt to connect.
func ExampleWithCredentialsFunc() {
	ctx := context.Background()
	fetch := func(context.Context) (string, error) { return "token-1", nil }
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithCredentialsFunc(func(ctx context.Context) (username, password string, err error) {
		token, err := fetch(ctx)
		return "device-7", token, err
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// Handlers on a worker may wait, for a database or for the broker.
func ExampleWorker() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithHandlerMode(mqtt.Worker(100, mqtt.Block)))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	done := make(chan error, 1)
	err = client.Subscribe(ctx, "jobs", 1, func(ctx context.Context, m mqtt.Message) {
		done <- client.Publish(ctx, "results", m.Payload) // inline it would return ErrInCallback
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Publish(ctx, "jobs", []byte("job 1")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-done)
	// Output: <nil>
}

// What becomes of the connection.
func ExampleWithStateHandler() {
	ctx := context.Background()
	changes := make(chan mqtt.StateChange, 100)
	client, err := mqtt.Dial(ctx, shaky(), mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { changes <- s }))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-changes).State)
	loseNetwork()
	lost := <-changes
	fmt.Println(lost.State, lost.Err != nil)
	regainNetwork()
	if err := client.AwaitConnected(ctx); err != nil {
		log.Fatal(err)
	}
	client.Close(ctx)
	// Output:
	// connected
	// disconnected true
}

// A bound for what waits while there is no connection, and what to do beyond it.
func ExampleWithQueue() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, []string{"mqtt://127.0.0.1:1"}, mqtt.WithBackgroundConnect(), mqtt.WithQueue(2, 1<<20, mqtt.DropOldestQoS0))
	if err != nil {
		log.Fatal(err)
	}
	first := client.PublishAsync(ctx, "temperature", []byte("20.5"), mqtt.WithQoS(0))
	client.PublishAsync(ctx, "alarm", []byte("fire"))
	client.PublishAsync(ctx, "alarm", []byte("smoke"))
	fmt.Println(errors.Is(first.Err(), mqtt.ErrDropped))

	err = client.Publish(ctx, "alarm", []byte("water")) // no QoS 0 is left to drop
	fmt.Println(errors.Is(err, mqtt.ErrQueueFull))
	now, cancel := context.WithCancel(ctx)
	cancel()
	client.Close(now)
	// Output:
	// true
	// true
}

// The will is published by the broker when the client is gone without a goodbye.
func ExampleWithWill() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, shaky(),
		mqtt.WithWill(mqtt.Will{Topic: "devices/7/online", Payload: []byte("no"), QoS: 1, Retain: true}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	watcher, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close(ctx)
	news := make(chan string, 10)
	err = watcher.Subscribe(ctx, "devices/+/online", 1, func(_ context.Context, m mqtt.Message) { news <- string(m.Payload) })
	if err != nil {
		log.Fatal(err)
	}
	loseNetwork()
	fmt.Println("online:", <-news)
	regainNetwork()
	// Output: online: no
}

// Close sends what is left, and says what it could not.
func ExampleClient_Close() {
	client, err := mqtt.Dial(context.Background(), servers())
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		client.PublishAsync(context.Background(), "numbers", fmt.Append(nil, i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = client.Close(ctx)
	var left *mqtt.CloseError
	if errors.As(err, &left) {
		for _, u := range left.Unsent {
			log.Print(u.Topic, " was not acknowledged")
		}
	}
	fmt.Println(err, client.Stats().Published)
	fmt.Println(errors.Is(client.Publish(ctx, "numbers", nil), mqtt.ErrClosed))
	// Output:
	// <nil> 1000
	// true
}

// Hooks see every message, in both directions: for metrics, or for traces in its
// properties.
func ExampleWithHooks() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithHooks(mqtt.Hooks{
		Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
			start := time.Now()
			return func(err error) {
				fmt.Println("published on", p.Topic, "in good time:", time.Since(start) < time.Minute, err)
			}
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	if err := client.Publish(ctx, "a/b", nil); err != nil {
		log.Print(err)
	}
	// Output: published on a/b in good time: true <nil>
}

// Everything that the client does, in log/slog.
func ExampleWithLogger() {
	ctx := context.Background()
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "server" {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime}))
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithLogger(logger))
	if err != nil {
		log.Fatal(err)
	}
	client.Close(ctx)
	// Output:
	// level=INFO msg="mqtt: connected" session_kept=false protocol="MQTT 3.1.1"
	// level=INFO msg="mqtt: closed"
}

// recorder is a [mqtt.Publisher] of a test's: it keeps what was published.
type recorder struct{ topics []string }

func (r *recorder) Publish(_ context.Context, topic string, _ []byte, _ ...mqtt.PublishOption) error {
	r.topics = append(r.topics, topic)
	return nil
}

func (r *recorder) PublishAsync(ctx context.Context, topic string, payload []byte, options ...mqtt.PublishOption) *mqtt.Token {
	return mqtt.CompletedToken(r.Publish(ctx, topic, payload, options...))
}

// Code that publishes is tested without a broker.
func ExamplePublisher() {
	ring := func(ctx context.Context, p mqtt.Publisher) error { return p.Publish(ctx, "doors/bell", nil) }
	r := &recorder{}
	fmt.Println(ring(context.Background(), r), r.topics)
	// Output: <nil> [doors/bell]
}
