//go:build cgo

package mqtt_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// Dial retries until its context ends, for example while the broker starts.
func ExampleWithConnectRetry() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := mqtt.Dial(ctx, stoppedServers(), mqtt.WithConnectRetry(), mqtt.WithBackoff(time.Millisecond, time.Second, 0.5))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// The program opens the connections itself, here with TCP keepalive.
func ExampleWithDialer() {
	ctx := context.Background()
	dialer := net.Dialer{KeepAlive: 10 * time.Second}
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithDialer(dialer.DialContext))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// TLS with crypto/tls instead of OpenSSL.
func ExampleWithTLSConfig() {
	ctx := context.Background()
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(secret("ca"))
	client, err := mqtt.Dial(ctx, tlsServers(), mqtt.WithTLSConfig(&tls.Config{RootCAs: authorities}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}

// A broker of MQTT 5 reports in CONNACK what it supports.
func ExampleClient_Connack() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	connack, connected := client.Connack()
	fmt.Println(connected, connack.SessionPresent, connack.MaximumQoS, connack.Retain, connack.SharedSubscriptions)
	// Output: true false 2 true true
}

// Reconnect disconnects and connects again. The function of WithCredentialsFunc then
// returns the new token.
func ExampleClient_Reconnect() {
	ctx := context.Background()
	tokens := make(chan string, 2)
	tokens <- "token-1"
	tokens <- "token-2"
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithCredentialsFunc(func(context.Context) (username, password string, err error) {
		token := <-tokens
		fmt.Println("connect with", token)
		return "device-7", token, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	if err := client.Reconnect(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// connect with token-1
	// connect with token-2
}

// An expired measurement is not sent when the client connects. WithOnlineOnly refuses it
// at once if there is no connection.
func ExampleWithMessageExpiry() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, stoppedServers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	err = client.Publish(ctx, "sensors/1/temperature", []byte("20.5"), mqtt.WithMessageExpiry(50*time.Millisecond))
	fmt.Println(errors.Is(err, mqtt.ErrMessageExpired))
	err = client.Publish(ctx, "sensors/1/temperature", []byte("20.5"), mqtt.WithOnlineOnly())
	fmt.Println(errors.Is(err, mqtt.ErrNotConnected))
	// Output:
	// true
	// true
}

// The broker publishes the will although the client sends DISCONNECT.
func ExampleWithDisconnectReason() {
	ctx := context.Background()
	watcher, err := mqtt.Dial(ctx, servers())
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close(ctx)
	news := make(chan string, 1)
	err = watcher.Subscribe(ctx, "pumps/1/online", 1, func(_ context.Context, m mqtt.Message) { news <- string(m.Payload) })
	if err != nil {
		log.Fatal(err)
	}
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5),
		mqtt.WithWill(mqtt.Will{Topic: "pumps/1/online", Payload: []byte("no"), QoS: 1}))
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Close(ctx, mqtt.WithDisconnectReason(mqtt.RCDisconnectWithWillMsg)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-news)
	// Output: no
}

// The second message has a topic alias of two bytes instead of the long topic.
func ExampleWithAutomaticTopicAliases() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithAutomaticTopicAliases())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	const topic = "sites/helsinki/buildings/7/floors/3/rooms/312/temperature"
	for n := range 2 {
		if err := client.Publish(ctx, topic, fmt.Append(nil, n), mqtt.WithQoS(0)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(client.Stats().Published)
	// Output: 2
}

// FromContext returns the client to a handler that may run before Dial has returned.
func ExampleFromContext() {
	ctx := context.Background()
	results := make(chan *mqtt.Token, 10)
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithSubscription("requests", 1, func(ctx context.Context, m mqtt.Message) {
		results <- mqtt.FromContext(ctx).PublishAsync(ctx, "results", m.Payload)
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	if err := client.Publish(ctx, "requests", []byte("request 1")); err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-results).Wait(ctx))
	// Output: <nil>
}

// A broker of MQTT 5 that is about to be stopped names another server. The client connects
// to that server.
func ExampleWithRedirect() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5), mqtt.WithRedirect())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	fmt.Println(client.State())
	// Output: connected
}
