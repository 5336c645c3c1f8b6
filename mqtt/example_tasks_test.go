//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// Dial returns at once, and the client connects in the background.
func ExampleWithBackgroundConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithBackgroundConnect())
	if err != nil {
		log.Fatal(err) // an invalid option
	}
	defer client.Close(context.Background())
	token := client.PublishAsync(ctx, "started", nil) // queued until the client is connected
	if err := client.AwaitConnected(ctx); err != nil {
		log.Print(err)
		return
	}
	fmt.Println(client.State(), token.Wait(ctx))
	// Output: connected <nil>
}

// The path of a unix socket as the server.
func ExampleDial_unixSocket() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, unixServers()) // "unix:/run/mosquitto.sock"
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// A SOCKS5 proxy resolves the name of the broker.
func ExampleWithProxy() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, []string{"mqtt://broker.example"}, mqtt.WithProxy("proxy.example", 1080, "user", string(secret("proxy"))))
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close(ctx)
}

// A broker of MQTT 5 may replace topics with aliases, which are shorter. This needs
// libmosquitto 2.1.
func ExampleWithTopicAliasMaximum() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithTopicAliasMaximum(100))
	if errors.Is(err, mqtt.ErrNotSupported) {
		log.Print("the installed libmosquitto has no topic aliases")
		return
	}
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close(ctx)
}

// The broker keeps the messages of a session while the program does not run. The handler of
// WithSubscription is set before the first of them can arrive.
func ExampleWithSession() {
	ctx := context.Background()
	messages := make(chan string, 10)
	start := func() *mqtt.Client {
		client, err := mqtt.Dial(ctx, servers(), mqtt.WithClientID("printer"), mqtt.WithSession(time.Hour),
			mqtt.WithSubscription("printer/jobs", 1, func(_ context.Context, m mqtt.Message) { messages <- string(m.Payload) }))
		if err != nil {
			log.Fatal(err)
		}
		return client
	}
	start().Close(ctx)
	office, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer office.Close(ctx)
	if err := office.Publish(ctx, "printer/jobs", []byte("job 1")); err != nil {
		log.Fatal(err)
	}
	printer := start()
	defer printer.Close(ctx)
	fmt.Println(<-messages)
	// Output: job 1
}

// Handlers of a filter are not called after Unsubscribe.
func ExampleClient_Unsubscribe() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	err = client.Subscribe(ctx, "news/#", 1, func(_ context.Context, m mqtt.Message) { fmt.Println("news:", m.Topic) })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Unsubscribe(ctx, "news/#"))
	// Output: <nil>
}

// An inline handler must not wait for the broker: it uses PublishAsync. Its context has the
// client.
func ExampleClient_PublishAsync_inHandler() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	tokens := make(chan *mqtt.Token, 1)
	err = client.Subscribe(ctx, "in/temperature", 1, func(ctx context.Context, m mqtt.Message) {
		err := client.Publish(ctx, "out/temperature", m.Payload)
		fmt.Println("Publish refuses:", errors.Is(err, mqtt.ErrInCallback))
		tokens <- client.PublishAsync(ctx, "out/temperature", m.Payload)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Publish(ctx, "in/temperature", []byte("20.5")); err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-tokens).Wait(ctx))
	// Output:
	// Publish refuses: true
	// <nil>
}

// The responder of a request may return an error, which the requester gets as a RequestError.
func ExampleClient_Respond() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	err = client.Respond(ctx, "stock", 1, func(_ context.Context, request mqtt.Message) ([]byte, error) {
		if string(request.Payload) != "lamp" {
			return nil, errors.New("no such article")
		}
		return []byte("12"), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	response, err := client.Request(ctx, "stock", []byte("lamp"))
	fmt.Println(string(response.Payload), err)
	_, err = client.Request(ctx, "stock", []byte("lamb"))
	var failed *mqtt.RequestError
	if errors.As(err, &failed) {
		fmt.Println(failed.Text)
	}
	// Output:
	// 12 <nil>
	// no such article
}

// Stats returns the counters of the client, for example for metrics.
func ExampleClient_Stats() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	for range 3 {
		if err := client.Publish(ctx, "counted", []byte("12345")); err != nil {
			log.Fatal(err)
		}
	}
	stats := client.Stats()
	fmt.Println(stats.Connects, stats.Published, stats.BytesOut, stats.Queued)
	// Output: 1 3 15 0
}
