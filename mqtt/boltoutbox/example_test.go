package boltoutbox_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
)

// A message that was accepted without a broker is still stored for the next process.
func Example() {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "outbox")

	outbox, err := boltoutbox.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	client, err := mqtt.Dial(context.Background(), []string{"mqtt://127.0.0.1:1"}, // no broker listens here
		mqtt.WithBackgroundConnect(), mqtt.WithOutbox(outbox))
	if err != nil {
		log.Fatal(err)
	}
	token := client.PublishAsync(context.Background(), "meter/7", []byte("42.5"))
	fmt.Println("accepted:", token.Err() == nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	fmt.Println(client.Close(ctx))
	if err := outbox.Close(); err != nil {
		log.Fatal(err)
	}

	outbox, err = boltoutbox.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer outbox.Close()
	n, err := outbox.Len()
	fmt.Println(n, err)
	// Output:
	// accepted: true
	// mqtt: closed with 1 messages not acknowledged: "meter/7"
	// 1 <nil>
}
