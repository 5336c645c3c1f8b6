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

// A first program: it connects, subscribes, publishes and closes the client. servers returns
// the addresses of brokers, such as "mqtt://127.0.0.1:1883".
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

// The context limits only the first connection. The client runs until Close.
func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mqtt.Dial(ctx, servers(),
		mqtt.WithClientID("till-1"),
		mqtt.WithSession(24*time.Hour), // the broker keeps the session for a day
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

// The client connects to the first server that accepts it, also after every connection loss.
// The servers of a cluster share the session of the client, which they know by its client id.
func ExampleDial_severalServers() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, cluster(), mqtt.WithBackoff(100*time.Millisecond, 5*time.Second, 0.5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State(), "although the first server is stopped")
	// Output: connected although the first server is stopped
}

// The error says why the client could not connect.
func ExampleDial_failure() {
	stopped := []string{"mqtt://127.0.0.1:1"}
	_, err := mqtt.Dial(context.Background(), stopped)
	var failed *mqtt.ConnectError
	var refused mosquitto.ConnackError
	switch {
	case errors.As(err, &refused):
		fmt.Println("the broker refused the client:", refused.Code)
	case errors.As(err, &failed):
		fmt.Println("no connection to", failed.Server)
	}
	// Output: no connection to mqtt://127.0.0.1:1
}

// Publish returns when the broker has acknowledged the message. The default is QoS 1.
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
		fmt.Println("acknowledged")
	case errors.As(err, &refused):
		fmt.Println("refused by the broker:", refused.Code)
	case errors.Is(err, mqtt.ErrAbandoned):
		fmt.Println("not acknowledged in time; the message may still be delivered")
	default:
		fmt.Println("not sent:", err)
	}
	// Output: acknowledged
}

// PublishAsync publishes many messages without waiting. Each message has a token, which
// reports its acknowledgement.
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

// Done returns a channel for select.
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
		fmt.Println("still in flight")
	}
	// Output: acknowledged: true
}

// The client calls the handler of each filter that matches a message, in the order of
// arrival. If the broker refuses a filter, the error names the filter.
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

// The members of a group share messages: the broker sends each message to one member.
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

// SubscribeMultiple subscribes to several filters. Each filter has its own handler.
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

// Messages is an iterator over the messages of a filter. The body of the loop may block and
// may call the client.
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
		if err := client.Publish(ctx, "greeting", nil, mqtt.WithRetain(true)); err != nil { // deletes the retained message
			log.Print(err)
		}
		break
	}
	// Output: hello true
}

// Request publishes a request and waits for the response. It needs MQTT 5.
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

// A slow responder sends its response later, with Reply.
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

// TLS with certificates from memory. The client writes none of them to a disk.
func ExampleWithTLS() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, tlsServers(), mqtt.WithTLS(mqtt.TLS{
		CA:         secret("ca"), // PEM; set Cert and Key too if the broker requires a client certificate
		MinVersion: "tlsv1.2",
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// The client calls the function before each attempt to connect, so a program can use renewed
// certificates without a restart.
func ExampleWithTLSFunc() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, tlsServers(), mqtt.WithTLSFunc(func(ctx context.Context) (mqtt.TLS, error) {
		return mqtt.TLS{CA: secret("ca")}, ctx.Err() // set Certificate too if a vault issues client certificates
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// TLS with a pre-shared key. The key is written in hex digits.
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

// The client calls the function before each attempt to connect, so the token is never expired.
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

// A handler on a worker may block, for example on a database or on a call of the client.
func ExampleWorker() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithHandlerMode(mqtt.Worker(100, mqtt.Block)))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	done := make(chan error, 1)
	err = client.Subscribe(ctx, "jobs", 1, func(ctx context.Context, m mqtt.Message) {
		done <- client.Publish(ctx, "results", m.Payload) // in an inline handler Publish would return ErrInCallback
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

// The client reports each change of its state, with the reason of a connection loss.
func ExampleWithStateHandler() {
	ctx := context.Background()
	changes := make(chan mqtt.StateChange, 100)
	client, err := mqtt.Dial(ctx, unreliableServers(), mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { changes <- s }))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-changes).State)
	loseNetwork()
	lost := <-changes
	fmt.Println(lost.State, lost.Err != nil)
	restoreNetwork()
	if err := client.AwaitConnected(ctx); err != nil {
		log.Fatal(err)
	}
	client.Close(ctx)
	// Output:
	// connected
	// disconnected true
}

// WithQueue limits the messages that are queued while there is no connection, and decides
// what happens when the queue is full.
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

	err = client.Publish(ctx, "alarm", []byte("water")) // the queue has no more QoS 0 message to drop
	fmt.Println(errors.Is(err, mqtt.ErrQueueFull))
	now, cancel := context.WithCancel(ctx)
	cancel()
	client.Close(now)
	// Output:
	// true
	// true
}

// The broker publishes the will when it loses the connection without a DISCONNECT.
func ExampleWithWill() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, unreliableServers(),
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
	restoreNetwork()
	// Output: online: no
}

// Close sends all queued messages. If its context ends before, the error lists the messages
// that were not acknowledged.
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

// The client calls the hooks for every message that it publishes or receives. Use them for
// metrics, or to put traces into the properties of messages.
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

// The client logs its events with log/slog.
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

// recorder is a [mqtt.Publisher] for tests. It records the topics of published messages.
type recorder struct{ topics []string }

func (r *recorder) Publish(_ context.Context, topic string, _ []byte, _ ...mqtt.PublishOption) error {
	r.topics = append(r.topics, topic)
	return nil
}

func (r *recorder) PublishAsync(ctx context.Context, topic string, payload []byte, options ...mqtt.PublishOption) *mqtt.Token {
	return mqtt.CompletedToken(r.Publish(ctx, topic, payload, options...))
}

// Test code that publishes without a broker: pass it another implementation of Publisher.
func ExamplePublisher() {
	ring := func(ctx context.Context, p mqtt.Publisher) error { return p.Publish(ctx, "doors/bell", nil) }
	r := &recorder{}
	fmt.Println(ring(context.Background(), r), r.topics)
	// Output: <nil> [doors/bell]
}
