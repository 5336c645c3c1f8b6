//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// PublishOption is a setting for [Client.Publish] and [Client.PublishAsync]. The zero
// value changes nothing.
type PublishOption struct{ apply func(*Publication) }

var (
	qosOptions = [3]PublishOption{
		{func(p *Publication) { p.QoS = 0 }}, {func(p *Publication) { p.QoS = 1 }}, {func(p *Publication) { p.QoS = 2 }},
	}
	retainOptions = map[bool]PublishOption{
		false: {func(p *Publication) { p.Retain = false }}, true: {func(p *Publication) { p.Retain = true }},
	}
)

// WithQoS sets the quality of service: 0, 1 (default) or 2. Use QoS 2 only with a kept
// session ([WithSession]). A broker that has lost the session acknowledges messages that
// it has not delivered.
func WithQoS(qos QoS) PublishOption {
	if qos > 2 {
		return PublishOption{func(p *Publication) { p.QoS = qos }}
	}
	return qosOptions[qos]
}

// WithRetain sets the retain flag: the broker stores the message for later subscribers of
// its topic. The default is false.
func WithRetain(on bool) PublishOption { return retainOptions[on] }

func with(q mosquitto.Property) PublishOption {
	return PublishOption{func(p *Publication) { p.Properties = append(p.Properties, q) }}
}

// WithContentType describes the payload, for example "application/json". It needs MQTT 5.
func WithContentType(value string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropContentType, Text: value})
}

// WithPayloadFormatUTF8 marks the payload as UTF-8 text. It needs MQTT 5.
func WithPayloadFormatUTF8() PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropPayloadFormatIndicator, Number: 1})
}

// WithMessageExpiry limits the life of the message, in whole seconds, rounded up. It
// counts from the call. A message that is still queued after this time ends with
// [ErrMessageExpired]. Other messages are sent with the remaining time. When it is
// over, the broker discards undelivered copies. It needs MQTT 5.
func WithMessageExpiry(after time.Duration) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropMessageExpiryInterval, Number: seconds(after)})
}

// WithOnlineOnly makes the publish fail at once with [ErrNotConnected] while there is no
// connection. A message that is queued when the connection is lost fails in the same way.
func WithOnlineOnly() PublishOption {
	return PublishOption{func(p *Publication) { p.onlineOnly = true }}
}

// WithResponseTopic sets the topic for responses to the message. It must not contain
// wildcards. [Client.Request] subscribes to it. It needs MQTT 5.
func WithResponseTopic(topic string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropResponseTopic, Text: topic})
}

// WithCorrelationData sets data that a response must repeat. It copies data. It needs MQTT
// 5.
func WithCorrelationData(data []byte) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropCorrelationData, Data: slices.Clone(data)})
}

// WithUserProperty adds a name and a value. It may be used repeatedly. It needs MQTT 5.
func WithUserProperty(name, value string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropUserProperty, Name: name, Text: value})
}

// WithTopicAlias sends a number that stands for the topic. The topic may be empty if an
// earlier message on this connection has set the alias. An alias is valid only on one
// connection, so an empty topic needs QoS 0. It needs MQTT 5. With
// [WithAutomaticTopicAliases] the client assigns aliases itself.
func WithTopicAlias(alias uint16) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropTopicAlias, Number: uint32(alias)})
}

// Apply applies options to the message. A [Publisher] in a test can use it to read them.
func (p *Publication) Apply(options ...PublishOption) {
	for _, option := range options {
		if option.apply != nil {
			option.apply(p)
		}
	}
}

// WithProperties adds properties. They may be the properties of a received message that
// is forwarded: subscription identifiers are omitted, because brokers close the
// connection for them.
func WithProperties(props Properties) PublishOption {
	return PublishOption{func(p *Publication) {
		for _, q := range props {
			if q.ID != mosquitto.PropSubscriptionIdentifier {
				p.Properties = append(p.Properties, q)
			}
		}
	}}
}

// seconds converts d to whole seconds for an MQTT packet, rounded up, at most four
// bytes.
func seconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Second-1)/time.Second, 0), math.MaxUint32))
}

// Publish publishes a message and blocks until the broker has acknowledged it, or until
// ctx ends. The default is QoS 1. The package documentation lists the errors. Topic and
// payload belong to the caller again when Publish returns. While the client is offline,
// the message is queued. Inside an inline handler Publish sends nothing and returns
// [ErrInCallback].
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, options ...PublishOption) error {
	if err := c.mayBlock("publish", insteadOfPublish); err != nil {
		return err
	}
	full := c.flow.beginWait()
	defer c.flow.endWait()
	t := tokens.Get().(*Token)
	t.prepare(c, topic, payload, options)
	err := c.accept(ctx, t)
	if err == nil {
		err = t.wait(ctx, t.wake, full)
	}
	t.recycle(err)
	return err
}

// tokens are the tokens of Publish. The program never sees them, so they can be reused.
var tokens = sync.Pool{New: func() any { return &Token{wake: make(chan struct{}, 1)} }}

// maxKept is the capacity in bytes of the largest payload buffer that is reused.
const maxKept = 4096

// recycle makes the token available for the next Publish. After an error, or with a
// Publish hook, the loop or the hook may still use the token or its payload.
func (t *Token) recycle(err error) {
	if err != nil || t.client.hasPublishHooks() || t.expiry != nil {
		return
	}
	kept := t.pub.Payload[:0]
	if cap(kept) > maxKept {
		kept = nil
	}
	*t = Token{wake: t.wake, pub: Publication{Payload: kept}}
	tokens.Put(t)
}

// PublishAsync queues a message and returns its token. It does not wait for the broker.
// It blocks only while the queue is full, until ctx ends, and while an outbox stores the
// message. [Token.Err] and [Token.Wait] return any error. PublishAsync copies topic and
// payload. Any handler may call it. Inside an inline handler it does not wait for the
// queue.
func (c *Client) PublishAsync(ctx context.Context, topic string, payload []byte, options ...PublishOption) *Token {
	if err := c.check("publish"); err != nil {
		return CompletedToken(err)
	}
	t := &Token{}
	if len(payload) <= len(t.short) && !c.hasPublishHooks() {
		t.short = newShortPayload()
		t.pub.Payload = t.short[:0]
	}
	t.prepare(c, topic, payload, options)
	if err := c.accept(ctx, t); err != nil {
		t.phase, t.err = completed, err
		t.releasePayload()
		t.ended.Store(true)
	}
	return t
}

// shortPayload is memory for the copy of a payload. Most payloads are short. A client with
// Publish hooks does not use it: a hook may keep the payload, or set another one.
type shortPayload [128]byte

var shortPayloads sync.Pool

// newShortPayload returns memory that is not used. If there is none, it allocates memory for
// several payloads: a program that publishes faster than the loop sends fills the queue
// first, and a garbage collection empties the pool.
func newShortPayload() *shortPayload {
	if p, ok := shortPayloads.Get().(*shortPayload); ok {
		return p
	}
	block := new([64]shortPayload)
	for i := range block[1:] {
		shortPayloads.Put(&block[1+i])
	}
	return &block[0]
}

// releasePayload releases the copy of the payload, at the end of the message.
func (t *Token) releasePayload() {
	t.pub.Payload = nil
	if t.short != nil {
		shortPayloads.Put(t.short)
	}
	t.short = nil
}

// hasPublishHooks reports whether functions of the program receive outgoing messages.
func (c *Client) hasPublishHooks() bool {
	return slices.ContainsFunc(c.opts.hooks, func(h Hooks) bool { return h.Publish != nil })
}

// prepare sets the message of a token, with a copy of the payload.
func (t *Token) prepare(c *Client, topic string, payload []byte, options []PublishOption) {
	kept := t.pub.Payload
	t.client = c
	t.pub = Publication{Topic: topic, Payload: payload, QoS: 1, Protocol: c.protocolNow()}
	t.pub.Apply(options...)
	if payload != nil {
		payload = append(kept[:0], payload...)
	}
	t.pub.Payload = payload
}

// accept runs the hooks and queues a message. If it returns an error, the message is not
// queued, and the hooks have received the error.
func (c *Client) accept(ctx context.Context, t *Token) error {
	t.outcome = c.opts.publishing(ctx, &t.pub)
	err := c.enqueue(ctx, t)
	if err != nil && t.outcome != nil {
		t.outcome(err)
	}
	return err
}

// enqueue checks, stores and queues a message.
func (c *Client) enqueue(ctx context.Context, t *Token) error {
	if err := c.checkPublication(&t.pub); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return &waitError{publishTo, t.pub.Topic, notSent, err}
	}
	if c.isClosing() {
		return c.closedErr()
	}
	if t.pub.onlineOnly && c.connack.Load() == nil {
		return ErrNotConnected
	}
	t.size, t.call = t.pub.size(), c.onConnectCall(ctx)
	t.startExpiry()
	if err := c.reserve(ctx, t); err != nil {
		return err
	}
	if err := c.store(t); err != nil {
		return err
	}
	if !c.queue.add(t) {
		return t.closedErr(c.closedErr())
	}
	c.watchExpiry(t)
	c.wake()
	return nil
}

// reserve reserves capacity in the queue, as its policy requires.
func (c *Client) reserve(ctx context.Context, t *Token) error {
	dropped, wait, err := c.queue.tryReserve(t.size, t.call, !c.inInlineHandler())
	for _, t := range dropped {
		c.reportEnd(t)
	}
	if wait.granted == nil {
		return err
	}
	if err := c.awaitCapacity(ctx, wait); err != nil {
		if errors.Is(err, ErrClosed) {
			return c.closedErr()
		}
		return &waitError{publishTo, t.pub.Topic, "waits for capacity in the queue", err}
	}
	return nil
}

// store puts a message of QoS 1 or 2 into the outbox, if there is one. It does not store
// the messages of WithOnConnect functions: the function of the next process publishes
// them.
func (c *Client) store(t *Token) error {
	if c.opts.outbox == nil || t.pub.QoS == 0 || t.call != nil {
		return nil
	}
	defer func() {
		if !t.stored { // also after a panic of Put that the program recovers from
			c.queue.releaseUnused(t.size)
		}
	}()
	key, err := c.opts.outbox.Put(&t.pub)
	if err != nil {
		return err
	}
	t.key, t.stored = key, true
	return nil
}

// checkPublication returns an error for a message that the library or the broker would
// refuse.
func (c *Client) checkPublication(p *Publication) error {
	if err := checkQoS(p.QoS); err != nil {
		return err
	}
	if len(p.Payload) > mosquitto.MaxPayload {
		return badArgument("payload", "%d bytes, more than %d", len(p.Payload), mosquitto.MaxPayload)
	}
	_, alias := p.Properties.Int16(mosquitto.PropTopicAlias)
	if p.Topic == "" && alias && p.QoS > 0 {
		return badArgument("topic", "empty with an alias: a message of QoS %d may go to a connection that does not know it", p.QoS)
	}
	if p.Topic != "" || !alias {
		if err := checkTopic(p.Topic); err != nil {
			return err
		}
	}
	if err := c.checkForBroker(p); err != nil || len(p.Properties) == 0 {
		return err
	}
	if c.protocolNow() != V5 {
		return errPropertiesNeedV5
	}
	if topic, given := p.Properties.Text(PropResponseTopic); given {
		if fault := topicFault(topic); fault != "" {
			return badArgument("WithResponseTopic", "%s", fault)
		}
	}
	return checkProperties(mosquitto.CmdPublish, "PUBLISH", p.Properties)
}
