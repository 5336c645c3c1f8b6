package otelmqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/otelmqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestMain(m *testing.M) { leak.Main(m) }

// dial connects a client. It is closed when the test ends.
func dial(t *testing.T, broker *mqtttest.Broker, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	options = append([]mqtt.Option{mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0)}, options...)
	c, err := mqtt.Dial(wait.Soon(t), []string{broker.URL()}, options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(wait.Soon(t)) })
	return c
}

// tracing returns a provider, and an exporter that has the provider's ended spans.
func tracing(t *testing.T) (*sdk.TracerProvider, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return provider, exporter
}

// span waits for the span with this name.
func span(t *testing.T, exporter *tracetest.InMemoryExporter, name string) (found tracetest.SpanStub) {
	t.Helper()
	wait.Until(t, "the span "+name, func() bool {
		for _, s := range exporter.GetSpans() {
			if s.Name == name {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func attributes(s tracetest.SpanStub) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

// withoutNumbers is a topic template: it replaces each digit by N.
func withoutNumbers(topic string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'N'
		}
		return r
	}, topic)
}

func TestHooks_TraceContinuesInHandlers(t *testing.T) {
	b := mqtttest.StartBroker(t)
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(10, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			provider, exporter := tracing(t)
			hooks := mqtt.WithHooks(otelmqtt.Hooks(otelmqtt.WithTracerProvider(provider), otelmqtt.WithTemplate(withoutNumbers)))
			tracer := provider.Tracer("test")
			subscriber := dial(t, b, mqtt.WithProtocol(mqtt.V5), hooks, mqtt.WithHandlerMode(mode))
			seen := make(chan mqtt.Message, 1)
			require.NoError(t, subscriber.Subscribe(wait.Soon(t), name+"/+", 1, func(ctx context.Context, m mqtt.Message) {
				_, work := tracer.Start(ctx, "work")
				work.End()
				seen <- m
			}))
			publisher := dial(t, b, mqtt.WithProtocol(mqtt.V5), hooks)
			ctx, root := tracer.Start(wait.Soon(t), "root")
			require.NoError(t, publisher.Publish(ctx, name+"/7", []byte("42.5"), mqtt.WithUserProperty("unit", "kWh"), mqtt.WithRetain(true)))
			root.End()
			m := wait.For(t, seen, "the message")
			unit, _ := m.Properties.UserProperty("unit")
			require.Equal(t, "kWh", unit)

			publish, process, work := span(t, exporter, "publish "+name+"/N"), span(t, exporter, "process "+name+"/N"), span(t, exporter, "work")
			require.Equal(t, root.SpanContext().SpanID(), publish.Parent.SpanID())
			require.Equal(t, publish.SpanContext.SpanID(), process.Parent.SpanID())
			require.True(t, process.Parent.IsRemote())
			require.Equal(t, process.SpanContext.SpanID(), work.Parent.SpanID())
			for _, s := range []tracetest.SpanStub{publish, process, work} {
				require.Equal(t, root.SpanContext().TraceID(), s.SpanContext.TraceID())
			}
			require.False(t, process.EndTime.Before(work.EndTime), "the span must last until the handler has returned")
			require.Equal(t, trace.SpanKindProducer, publish.SpanKind)
			require.Equal(t, trace.SpanKindConsumer, process.SpanKind)
			require.Equal(t, map[string]any{
				"messaging.system": "mqtt", "messaging.operation.name": "publish", "messaging.operation.type": "send",
				"messaging.destination.name": name + "/7", "messaging.destination.template": name + "/N",
				"messaging.message.body.size": int64(4), "messaging.mqtt.qos": int64(1), "messaging.mqtt.retained": true,
			}, attributes(publish))
			require.Equal(t, map[string]any{
				"messaging.system": "mqtt", "messaging.operation.name": "process", "messaging.operation.type": "process",
				"messaging.destination.name": name + "/7", "messaging.destination.template": name + "/N",
				"messaging.message.body.size": int64(4), "messaging.mqtt.qos": int64(1), "messaging.mqtt.retained": false,
			}, attributes(process))
		})
	}
}

// A forwarded message has only the trace context of the client that forwards it.
func TestHooks_ForwardedMessageHasOneTraceContext(t *testing.T) {
	b := mqtttest.StartBroker(t)
	provider, exporter := tracing(t)
	c := dial(t, b, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(otelmqtt.Hooks(otelmqtt.WithTracerProvider(provider), otelmqtt.WithTemplate(withoutNumbers))))
	last := make(chan mqtt.Message, 1)
	require.NoError(t, c.Subscribe(wait.Soon(t), "in", 1, func(ctx context.Context, m mqtt.Message) {
		c.PublishAsync(ctx, "out", m.Payload, mqtt.WithProperties(m.Properties))
	}))
	require.NoError(t, c.Subscribe(wait.Soon(t), "out", 1, func(_ context.Context, m mqtt.Message) { last <- m }))
	require.NoError(t, c.Publish(wait.Soon(t), "in", nil))
	m := wait.For(t, last, "the message")
	var parents []string
	for _, q := range m.Properties {
		if q.Name == "traceparent" {
			parents = append(parents, q.Text)
		}
	}
	forwarded := span(t, exporter, "publish out").SpanContext
	require.Equal(t, []string{fmt.Sprintf("00-%s-%s-01", forwarded.TraceID(), forwarded.SpanID())}, parents)
	require.Equal(t, span(t, exporter, "publish in").SpanContext.TraceID(), forwarded.TraceID())
}

// MQTT 3 has no user properties, so the publisher and the subscriber have separate
// traces.
func TestHooks_MQTT3HasSeparateTraces(t *testing.T) {
	b := mqtttest.StartBroker(t)
	provider, exporter := tracing(t)
	hooks := mqtt.WithHooks(otelmqtt.Hooks(otelmqtt.WithTracerProvider(provider)))
	c := dial(t, b, mqtt.WithProtocol(mqtt.V311), hooks)
	seen := make(chan mqtt.Message, 1)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a", 1, func(_ context.Context, m mqtt.Message) { seen <- m }))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	wait.For(t, seen, "the message")
	publish, process := span(t, exporter, "publish"), span(t, exporter, "process")
	require.NotEqual(t, publish.SpanContext.TraceID(), process.SpanContext.TraceID())
}

func TestHooks_ErrorsAreRecordedAndTopicsHidden(t *testing.T) {
	b := mqtttest.StartBroker(t)
	provider, exporter := tracing(t)
	hidden := otelmqtt.WithTopic(func(string) string { return "" })
	c := dial(t, b, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(otelmqtt.Hooks(otelmqtt.WithTracerProvider(provider), hidden)))
	require.NoError(t, c.Close(wait.Soon(t)))
	require.ErrorIs(t, c.Publish(wait.Soon(t), "secret/7", nil), mqtt.ErrClosed)
	s := span(t, exporter, "publish")
	require.Equal(t, codes.Error, s.Status.Code)
	require.Contains(t, attributes(s), "error.type")
	require.NotContains(t, fmt.Sprint(s.Attributes, s.Name), "secret")
	for _, a := range s.Attributes {
		require.NotEqual(t, attribute.Key("messaging.destination.name"), a.Key)
	}
}
