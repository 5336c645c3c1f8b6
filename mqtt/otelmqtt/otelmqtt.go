// Package otelmqtt creates OpenTelemetry spans for the messages of a client of package
// mqtt. The spans follow the semantic conventions for messaging. A trace continues from the
// publisher to the handlers of the subscribers.
//
// # Use
//
// [Hooks] returns the hooks for the option WithHooks of package mqtt.
//
//	client, err := mqtt.Dial(ctx, servers, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(otelmqtt.Hooks()))
//
// By default the spans go to the global tracer provider, and their names contain no topic:
// see [WithTracerProvider] and [WithTemplate].
//
// # Spans
//
// The span of a published message lasts until the broker has acknowledged it. The span of
// a received message lasts until its handlers have returned; the context of the handlers
// contains the span. The status of a message that was not acknowledged is an error.
//
// The trace context is sent in user properties ("traceparent"), so both sides need MQTT 5.
// With MQTT 3 the publisher and the subscriber have separate traces.
//
// The spans contain topics, but no payloads. [WithTopic] hides topics.
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

// WithTracerProvider sets the provider that creates the spans. The default is
// otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(t *tracing) { t.provider = p }
}

// WithPropagator sets the encoding of the trace context. The default is the W3C format.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(t *tracing) { t.propagator = p }
}

// WithTemplate adds a topic template to the names of the spans. The function template
// returns the topic with its variable parts replaced, for example
// "sensors/{id}/temperature", or "" for no template. The number of different names should
// be small. Without this option the names are "publish" and "process".
func WithTemplate(template func(topic string) string) Option {
	return func(t *tracing) { t.template = template }
}

// WithTopic changes the topic in the attribute messaging.destination.name, for topics
// with data that traces must not contain. If the function returns "", the span has no
// such attribute.
func WithTopic(topic func(topic string) string) Option {
	return func(t *tracing) { t.topic = topic }
}

// Hooks returns the hooks that create the spans, for [mqtt.WithHooks].
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
	t.tracer = t.provider.Tracer("github.com/mosquitto-go/mosquitto/mqtt/otelmqtt")
	return mqtt.Hooks{Publish: t.publish, Receive: t.receive}
}

type tracing struct {
	provider   trace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	template   func(string) string
	topic      func(string) string
}

// publish is the Publish hook.
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

// receive is the Receive hook.
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

// The semantic conventions define no attributes for the QoS and the retain flag.
func qos(n mqtt.QoS) attribute.KeyValue   { return attribute.Int("messaging.mqtt.qos", int(n)) }
func retained(on bool) attribute.KeyValue { return attribute.Bool("messaging.mqtt.retained", on) }

// carrier stores the trace context in user properties. It implements
// propagation.TextMapCarrier.
type carrier mqtt.Properties

// Get returns the value of a user property.
func (c *carrier) Get(name string) string {
	value, _ := mqtt.Properties(*c).UserProperty(name)
	return value
}

// Set replaces the value of a user property. A forwarded message may already have the
// property.
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

// Keys returns the names of all user properties.
func (c *carrier) Keys() (names []string) {
	for _, q := range *c {
		if q.ID == mosquitto.PropUserProperty {
			names = append(names, q.Name)
		}
	}
	return names
}
