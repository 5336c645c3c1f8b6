package prommqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/prommqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
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

// gathered returns the values of all metrics. The value of a histogram is its number of
// observations.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += fmt.Sprintf(" %s=%s", label.GetName(), label.GetValue())
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetrics_ReportCounters(t *testing.T) {
	b := mqtttest.StartBroker(t)
	metrics := prommqtt.New()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	require.Empty(t, gathered(t, registry), "there must be no values before Watch")

	c := dial(t, b, mqtt.WithHooks(metrics.Hooks()))
	metrics.Watch(c)
	passed := make(chan struct{}, 10)
	require.NoError(t, c.Subscribe(wait.Soon(t), "a/+", 2, func(context.Context, mqtt.Message) { passed <- struct{}{} }))
	for i := range 5 {
		require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprint("a/", i), []byte("12345")))
		wait.For(t, passed, "the message")
	}
	require.NoError(t, c.Publish(wait.Soon(t), "b", []byte("1"), mqtt.WithQoS(2)))
	require.Error(t, c.Publish(wait.Soon(t), "not/+/a topic", nil))
	wait.Until(t, "the last outcome", func() bool {
		return gathered(t, registry)["mqtt_publish_duration_seconds outcome=ok qos=2"] == 1
	})
	require.Equal(t, map[string]float64{
		"mqtt_connects_total": 1, "mqtt_published_messages_total": 6, "mqtt_published_bytes_total": 26,
		"mqtt_failed_messages_total": 0, "mqtt_received_messages_total": 5, "mqtt_received_bytes_total": 25,
		"mqtt_unhandled_messages_total": 0, "mqtt_dropped_messages_total": 0,
		"mqtt_queued_messages": 0, "mqtt_queued_bytes": 0, "mqtt_inflight_messages": 0, "mqtt_waiting_messages": 0,
		"mqtt_publish_duration_seconds outcome=ok qos=1": 5, "mqtt_publish_duration_seconds outcome=ok qos=2": 1,
		"mqtt_publish_duration_seconds outcome=error qos=1": 1, "mqtt_handle_duration_seconds qos=1": 5,
	}, gathered(t, registry))

	b.Stop()
	wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
	token := c.PublishAsync(wait.Soon(t), "b", []byte("waits"))
	values := gathered(t, registry)
	require.Equal(t, []float64{1, 6}, []float64{values["mqtt_queued_messages"], values["mqtt_queued_bytes"]})
	b.Start()
	require.NoError(t, token.Wait(wait.Soon(t)))
	values = gathered(t, registry)
	require.Equal(t, 2.0, values["mqtt_connects_total"])
	require.Equal(t, 7.0, values["mqtt_published_messages_total"])
	require.Equal(t, 0.0, values["mqtt_queued_messages"])

	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestWithTopic_AddsLabelToHistograms(t *testing.T) {
	b := mqtttest.StartBroker(t)
	class := func(topic string) string {
		head, _, _ := strings.Cut(topic, "/")
		return head
	}
	metrics := prommqtt.New(prommqtt.WithName("meter"), prommqtt.WithTopic(class), prommqtt.WithBuckets(1, 2))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	passed := make(chan struct{}, 10)
	c := dial(t, b, mqtt.WithHooks(metrics.Hooks()), mqtt.WithHandlerMode(mqtt.Worker(10, mqtt.Block)))
	metrics.Watch(c)
	require.NoError(t, c.Subscribe(wait.Soon(t), "#", 1, func(context.Context, mqtt.Message) { passed <- struct{}{} }))
	for i := range 3 {
		require.NoError(t, c.Publish(wait.Soon(t), fmt.Sprint("sensors/", i), nil))
		wait.For(t, passed, "the message")
	}
	wait.Until(t, "the last message", func() bool {
		return gathered(t, registry)["mqtt_handle_duration_seconds client=meter qos=1 topic=sensors"] == 3
	})
	wait.Until(t, "the last outcome", func() bool {
		return gathered(t, registry)["mqtt_publish_duration_seconds client=meter outcome=ok qos=1 topic=sensors"] == 3
	})
	values := gathered(t, registry)
	require.Equal(t, 3.0, values["mqtt_published_messages_total client=meter"])
}
