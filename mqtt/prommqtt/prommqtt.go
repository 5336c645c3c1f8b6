// Package prommqtt exports the counters of a client of package mqtt to Prometheus. It also
// exports histograms of the time that publishing and handling messages take.
//
// # Use
//
// [New] returns a collector for one client. The collector needs the client's hooks for the
// histograms, and the client for the counters.
//
//	metrics := prommqtt.New()
//	client, err := mqtt.Dial(ctx, servers, mqtt.WithHooks(metrics.Hooks()))
//	if err != nil { ... }
//	metrics.Watch(client)
//	prometheus.MustRegister(metrics)
//
// # Metrics
//
// The names of the metrics begin with mqtt_. There are counters for connections and for
// messages and bytes in both directions, gauges for queued messages and messages in flight,
// and the histograms mqtt_publish_duration_seconds and mqtt_handle_duration_seconds.
//
// A process with several clients needs [WithName]. The metrics contain no topics, unless
// [WithTopic] adds them.
package prommqtt

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is a [prometheus.Collector] for one client.
type Metrics struct {
	client  atomic.Pointer[mqtt.Client]
	topic   func(string) string
	labels  prometheus.Labels
	buckets []float64

	stats   []stat
	publish *prometheus.HistogramVec
	handle  *prometheus.HistogramVec
}

// stat is a metric that is read from [mqtt.Stats].
type stat struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(mqtt.Stats) float64
}

// Option is a setting of [New].
type Option func(*Metrics)

// WithName adds the label "client" with this name to all metrics. A process with several
// clients needs it.
func WithName(name string) Option {
	return func(m *Metrics) { m.labels = prometheus.Labels{"client": name} }
}

// WithTopic adds the label "topic" to the histograms. Its value is the result of f, for
// example "sensors/{id}". Each different value uses memory in this process and in the
// Prometheus server, so there must be few. Without this option there is no such label.
func WithTopic(f func(topic string) string) Option {
	return func(m *Metrics) { m.topic = f }
}

// WithBuckets sets the upper bounds of the histograms' buckets in seconds. By default
// there are 16 buckets with bounds from 100 µs to 10 s.
func WithBuckets(bounds ...float64) Option {
	return func(m *Metrics) { m.buckets = bounds }
}

// New returns the metrics for one client. Call [Metrics.Watch] after the client is
// created.
func New(options ...Option) *Metrics {
	m := &Metrics{buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}
	for _, option := range options {
		option(m)
	}
	count, now := prometheus.CounterValue, prometheus.GaugeValue
	m.add("connects_total", "Connections that a broker has accepted.", count, func(s mqtt.Stats) float64 { return float64(s.Connects) })
	m.add("published_messages_total", "Published messages that were acknowledged; with QoS 0, sent.", count, func(s mqtt.Stats) float64 { return float64(s.Published) })
	m.add("published_bytes_total", "Size of the payloads of published messages.", count, func(s mqtt.Stats) float64 { return float64(s.BytesOut) })
	m.add("failed_messages_total", "Published messages that were refused, lost, cancelled or dropped.", count, func(s mqtt.Stats) float64 { return float64(s.Failed) })
	m.add("received_messages_total", "Received messages.", count, func(s mqtt.Stats) float64 { return float64(s.Received) })
	m.add("received_bytes_total", "Size of the payloads of received messages.", count, func(s mqtt.Stats) float64 { return float64(s.BytesIn) })
	m.add("unhandled_messages_total", "Received messages without a handler.", count, func(s mqtt.Stats) float64 { return float64(s.Unhandled) })
	m.add("dropped_messages_total", "Received messages that were dropped because a queue was full.", count, func(s mqtt.Stats) float64 { return float64(s.Dropped) })
	m.add("queued_messages", "Messages to publish that are not acknowledged yet.", now, func(s mqtt.Stats) float64 { return float64(s.Queued) })
	m.add("queued_bytes", "Size of the messages to publish that are not acknowledged yet.", now, func(s mqtt.Stats) float64 { return float64(s.QueuedBytes) })
	m.add("inflight_messages", "Messages to publish that are in flight.", now, func(s mqtt.Stats) float64 { return float64(s.InFlight) })
	m.add("waiting_messages", "Received messages that are queued for the worker.", now, func(s mqtt.Stats) float64 { return float64(s.Handling) })
	m.publish = m.histogram("publish_duration_seconds", "Time from Publish to the acknowledgement, by outcome.", "qos", "outcome")
	m.handle = m.histogram("handle_duration_seconds", "Time from the receipt of a message to the end of its handlers.", "qos")
	return m
}

func (m *Metrics) add(name, help string, kind prometheus.ValueType, value func(mqtt.Stats) float64) {
	m.stats = append(m.stats, stat{prometheus.NewDesc("mqtt_"+name, help, nil, m.labels), kind, value})
}

func (m *Metrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	if m.topic != nil {
		labels = append(labels, "topic")
	}
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "mqtt_" + name, Help: help, ConstLabels: m.labels, Buckets: m.buckets,
	}, labels)
}

// Watch sets the client whose counters are collected.
func (m *Metrics) Watch(c *mqtt.Client) { m.client.Store(c) }

// Hooks returns the hooks that fill the histograms, for [mqtt.WithHooks].
func (m *Metrics) Hooks() mqtt.Hooks {
	return mqtt.Hooks{
		Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
			start, labels := time.Now(), m.values(p.Topic, qos(p.QoS), "")
			return func(err error) {
				labels[1] = outcome(err)
				m.publish.WithLabelValues(labels...).Observe(time.Since(start).Seconds())
			}
		},
		Receive: func(ctx context.Context, received *mqtt.Message) (context.Context, func()) {
			start, labels := time.Now(), m.values(received.Topic, qos(received.QoS))
			return ctx, func() { m.handle.WithLabelValues(labels...).Observe(time.Since(start).Seconds()) }
		},
	}
}

func (m *Metrics) values(topic string, labels ...string) []string {
	if m.topic != nil {
		labels = append(labels, m.topic(topic))
	}
	return labels
}

func qos(n mqtt.QoS) string { return strconv.Itoa(int(n)) }

func outcome(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, s := range m.stats {
		descs <- s.desc
	}
	m.publish.Describe(descs)
	m.handle.Describe(descs)
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	if c := m.client.Load(); c != nil {
		now := c.Stats()
		for _, s := range m.stats {
			metrics <- prometheus.MustNewConstMetric(s.desc, s.kind, s.value(now))
		}
	}
	m.publish.Collect(metrics)
	m.handle.Collect(metrics)
}
