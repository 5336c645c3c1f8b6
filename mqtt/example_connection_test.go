//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log"
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
