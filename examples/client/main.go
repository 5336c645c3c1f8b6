// Client subscribes to a topic, publishes a message to it, and prints the messages that
// it receives. After SIGINT or SIGTERM it shuts down gracefully. The arguments are the
// addresses of one or more brokers. The client connects to the first broker that
// accepts it, and reconnects after every connection loss.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("client: ")
	topic := flag.String("t", "example/client", "`topic` to use")
	message := flag.String("m", "hello world", "`text` to publish")
	flag.Parse()
	servers := flag.Args()
	if len(servers) == 0 {
		servers = []string{"mqtt://127.0.0.1:1883"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	client, err := mqtt.Dial(ctx, servers, mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) {
		log.Print(s.Server, " ", s.State)
	}))
	check(err)
	check(client.Subscribe(ctx, *topic, 1, func(_ context.Context, m mqtt.Message) {
		fmt.Printf("%s: %s\n", m.Topic, m.Payload)
	}))
	check(client.Publish(ctx, *topic, []byte(*message)))

	select {
	case <-ctx.Done():
		stop() // a second signal ends the program at once
		check(client.Close(context.Background()))
	case <-client.Done():
		check(client.Err())
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
