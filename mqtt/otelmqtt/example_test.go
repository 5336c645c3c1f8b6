package otelmqtt_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/otelmqtt"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// The names of the spans contain topic templates. No broker listens at this address, so
// the span's status is an error.
func Example() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	template := func(topic string) string {
		parts := strings.Split(topic, "/")
		if len(parts) == 3 && parts[0] == "sensors" {
			return "sensors/{id}/" + parts[2]
		}
		return ""
	}
	hooks := otelmqtt.Hooks(otelmqtt.WithTracerProvider(provider), otelmqtt.WithTemplate(template))
	client, err := mqtt.Dial(context.Background(), []string{"mqtt://127.0.0.1:1"},
		mqtt.WithBackgroundConnect(), mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(hooks))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(client.Publish(ctx, "sensors/7/temperature", []byte("20.5")))
	client.Close(ctx)
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.Name, span.Status.Code)
	}
	// Output:
	// mqtt: publish to "sensors/7/temperature": not sent: context canceled
	// publish sensors/{id}/temperature Error
}
