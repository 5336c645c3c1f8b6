//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// Each connection has a will of its own, here with the time at which it began.
func ExampleWithWillFunc() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithWillFunc(func(context.Context) (mqtt.Will, error) {
		since := time.Now().Format(time.RFC3339)
		return mqtt.Will{Topic: "devices/7/lost", Payload: []byte("connected since " + since), QoS: 1, Retain: true}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// At every connection the client publishes first that it is online. Its will says that it is
// offline.
func ExampleWithOnConnect() {
	ctx := context.Background()
	const topic = "machines/8/online"
	client, err := mqtt.Dial(ctx, servers(),
		mqtt.WithWill(mqtt.Will{Topic: topic, Payload: []byte("no"), QoS: 1, Retain: true}),
		mqtt.WithOnConnect(func(ctx context.Context, c *mqtt.Client, _ mqtt.Connack) error {
			return c.Publish(ctx, topic, []byte("yes"), mqtt.WithRetain(true)) // with this ctx it is sent before all queued messages
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	for m, err := range client.Messages(ctx, topic, 1) {
		fmt.Println(string(m.Payload), err)
		break
	}
	// Output: yes <nil>
}

// The broker keeps the subscriptions of a program that is restarted, so retained messages
// arrive at the first start only.
func ExampleWithTrustedSession() {
	ctx := context.Background()
	for _, start := range []string{"first", "second"} {
		messages := make(chan string, 10)
		client, err := mqtt.Dial(ctx, servers(), mqtt.WithClientID("display"), mqtt.WithSession(time.Hour), mqtt.WithTrustedSession(),
			mqtt.WithSubscription("weather/#", 1, func(_ context.Context, m mqtt.Message) { messages <- string(m.Payload) }))
		if err != nil {
			log.Fatal(err)
		}
		if start == "first" {
			err = client.Publish(ctx, "weather/today", []byte("sunny"), mqtt.WithRetain(true))
		} else {
			err = client.Publish(ctx, "weather/tomorrow", []byte("rain"))
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(start, <-messages)
		client.Close(ctx)
	}
	// Output:
	// first sunny
	// second rain
}

// The responses arrive below a topic that the broker's access list allows.
func ExampleWithResponsePrefix() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithResponsePrefix("myapp/replies/"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	err = client.Respond(ctx, "myapp/double", 1, func(_ context.Context, m mqtt.Message) ([]byte, error) {
		return append(m.Payload, m.Payload...), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	m, err := client.Request(ctx, "myapp/double", []byte("ab"))
	fmt.Println(string(m.Payload), strings.HasPrefix(m.Topic, "myapp/replies/"), err)
	m, err = client.Request(ctx, "myapp/double", []byte("ab"), mqtt.WithResponseTopic("myapp/desk/7"))
	fmt.Println(string(m.Payload), m.Topic, err)
	// Output:
	// abab true <nil>
	// abab myapp/desk/7 <nil>
}
