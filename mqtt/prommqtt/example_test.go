package prommqtt_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/prommqtt"
	"github.com/prometheus/client_golang/prometheus"
)

// No broker listens at this address, so the message stays queued.
func Example() {
	metrics := prommqtt.New(prommqtt.WithName("meter"))
	client, err := mqtt.Dial(context.Background(), []string{"mqtt://127.0.0.1:1"},
		mqtt.WithBackgroundConnect(), mqtt.WithHooks(metrics.Hooks()))
	if err != nil {
		log.Fatal(err)
	}
	metrics.Watch(client)
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)

	client.PublishAsync(context.Background(), "a", nil)
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "mqtt_queued_messages" {
			fmt.Println(family.Metric[0].Label[0].GetValue(), family.Metric[0].GetGauge().GetValue())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	client.Close(ctx)
	// Output:
	// meter 1
}
