// Package otelmqtt makes OpenTelemetry spans of the messages of a client, by the
// semantic conventions for messaging, and lets traces continue from a publisher
// to the handlers of its subscribers.
//
//	client, err := mqtt.Dial(ctx, servers, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(otelmqtt.Hooks()))
//
// The span of a publication lasts until the broker has acknowledged it, that of a
// message that came in until its handlers have returned; they find it in their
// context. The trace context travels in user properties ("traceparent"), for which
// both sides need MQTT 5; with MQTT 3 there are spans all the same, in traces of
// their own.
package otelmqtt

import (
	"context"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// Option is a setting of [Hooks].
type Option func(*tracing)

// WithTracerProvider sets who makes the spans: otel.GetTracerProvider unless said
// otherwise.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(t *tracing) { t.provider = p }
}

// WithPropagator sets how the trace context is written: as W3C has it unless said
// otherwise.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(t *tracing) { t.propagator = p }
}

// WithTemplate names spans after a topic with its variable parts replaced, such as
// "sensors/{id}/temperature". Names of spans should be few: without this option they
// are "publish" and "process".
func WithTemplate(template func(topic string) string) Option {
	return func(t *tracing) { t.template = template }
}

// WithTopic changes the topic that a span has as its messaging.destination.name:
// where topics hold what traces must not. With "" there is none.
func WithTopic(topic func(topic string) string) Option {
	return func(t *tracing) { t.topic = topic }
}

// Hooks are for [mqtt.WithHooks].
func Hooks(options ...Option) mqtt.Hooks {
	t := &tracing{
		propagator: propagation.TraceContext{},
		template:   func(string) string { return "" },
		topic:      func(topic string) string { return topic },
	}
	for _, option := range options {
		option(t)
	}
	if t.provider == nil {
		t.provider = otel.GetTracerProvider()
	}
	t.tracer = t.provider.Tracer("github.com/mosquitto-go/mosquitto/examples/observe/otelmqtt")
	return mqtt.Hooks{Publish: t.publish, Receive: t.receive}
}

type tracing struct {
	provider   trace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	template   func(string) string
	topic      func(string) string
}

// publish is a hook.
func (t *tracing) publish(ctx context.Context, p *mqtt.Publication) func(error) {
	ctx, span := t.start(ctx, trace.SpanKindProducer, "publish", p.Topic,
		semconv.MessagingOperationTypeSend, semconv.MessagingMessageBodySize(len(p.Payload)), qos(p.QoS), retained(p.Retain))
	if p.Protocol == mqtt.V5 {
		t.propagator.Inject(ctx, (*carrier)(&p.Properties))
	}
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
			span.SetAttributes(semconv.ErrorType(err))
		}
		span.End()
	}
}

// receive is a hook.
func (t *tracing) receive(ctx context.Context, m *mqtt.Message) (context.Context, func()) {
	ctx = t.propagator.Extract(ctx, (*carrier)(&m.Properties))
	ctx, span := t.start(ctx, trace.SpanKindConsumer, "process", m.Topic,
		semconv.MessagingOperationTypeProcess, semconv.MessagingMessageBodySize(len(m.Payload)), qos(m.QoS), retained(m.Retain))
	return ctx, func() { span.End() }
}

func (t *tracing) start(ctx context.Context, kind trace.SpanKind, operation, topic string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	name := operation
	attributes = append(attributes, semconv.MessagingSystemKey.String("mqtt"), semconv.MessagingOperationName(operation))
	if template := t.template(topic); template != "" {
		name += " " + template
		attributes = append(attributes, semconv.MessagingDestinationTemplate(template))
	}
	if destination := t.topic(topic); destination != "" {
		attributes = append(attributes, semconv.MessagingDestinationName(destination))
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// The conventions have no names for these.
func qos(n mqtt.QoS) attribute.KeyValue   { return attribute.Int("messaging.mqtt.qos", int(n)) }
func retained(on bool) attribute.KeyValue { return attribute.Bool("messaging.mqtt.retained", on) }

// carrier lets the trace context travel in user properties.
type carrier mqtt.Properties

// Get returns the value under a name.
func (c *carrier) Get(name string) string {
	value, _ := mqtt.Properties(*c).UserProperty(name)
	return value
}

// Set replaces the value under a name: a message that is sent on has one already.
func (c *carrier) Set(name, value string) {
	kept := make(carrier, 0, len(*c)+1)
	for _, q := range *c {
		if q.ID != mosquitto.PropUserProperty || q.Name != name {
			kept = append(kept, q)
		}
	}
	kept = append(kept, mosquitto.Property{ID: mosquitto.PropUserProperty, Name: name, Text: value})
	*c = kept
}

// Keys are the names that there are.
func (c *carrier) Keys() (names []string) {
	for _, q := range *c {
		if q.ID == mosquitto.PropUserProperty {
			names = append(names, q.Name)
		}
	}
	return names
}
