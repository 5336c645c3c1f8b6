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

// PublishOption says how a message is published.
type PublishOption func(*Publication)

var (
	qosOptions = [3]PublishOption{
		func(p *Publication) { p.QoS = 0 }, func(p *Publication) { p.QoS = 1 }, func(p *Publication) { p.QoS = 2 },
	}
	badQoS = func(p *Publication) { p.QoS = math.MaxUint8 }
)

// QoS sets the quality of service: 0, 1 (default) or 2. With 2 the broker has to keep
// the session ([WithSession]): one that has forgotten it confirms what it has not
// delivered.
func QoS(qos QoSLevel) PublishOption {
	if qos > 2 {
		return badQoS
	}
	return qosOptions[qos]
}

// Retain makes the broker keep the message for later subscribers of its topic.
func Retain() PublishOption { return retain }

func retain(p *Publication) { p.Retain = true }

func with(q mosquitto.Property) PublishOption {
	return func(p *Publication) { p.Properties = append(p.Properties, q) }
}

// The properties of a message, for MQTT 5.

// ContentType says what the payload is, for example "application/json".
func ContentType(value string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropContentType, Text: value})
}

// PayloadIsUTF8 says that the payload is text.
func PayloadIsUTF8() PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropPayloadFormatIndicator, Number: 1})
}

// MessageExpiry makes the broker drop the message when it could not deliver it
// for so long: whole seconds, rounded up.
func MessageExpiry(after time.Duration) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropMessageExpiryInterval, Number: seconds(after)})
}

// ResponseTopic says where an answer is awaited.
func ResponseTopic(topic string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropResponseTopic, Text: topic})
}

// CorrelationData comes back with the answer.
func CorrelationData(data []byte) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropCorrelationData, Data: slices.Clone(data)})
}

// UserProperty adds a name and a value; it may be repeated.
func UserProperty(name, value string) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropUserProperty, Name: name, Text: value})
}

// TopicAlias sends a number with the topic, which may be empty when the alias is
// known on this connection. It does not survive a reconnect: for QoS 0 only.
func TopicAlias(alias uint16) PublishOption {
	return with(mosquitto.Property{ID: mosquitto.PropTopicAlias, Number: uint32(alias)})
}

// WithProperties adds properties. It may be given those of a message that came in,
// to send it on: the subscription identifiers, which are for its receiver alone and
// which brokers end a connection for, are left out.
func WithProperties(props Properties) PublishOption {
	return func(p *Publication) {
		for _, q := range props {
			if q.ID != mosquitto.PropSubscriptionIdentifier {
				p.Properties = append(p.Properties, q)
			}
		}
	}
}

// seconds is a duration for an MQTT packet: rounded up, within four bytes.
func seconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Second-1)/time.Second, 0), math.MaxUint32))
}

// Publish publishes a message and waits until the broker has acknowledged it as
// its QoS demands (1 unless an option says otherwise), or ctx ends: see the
// package documentation for what an error means. Topic and payload are copied
// before it returns. Without a connection the message waits for one. Inside an
// inline handler it publishes nothing and returns [ErrInCallback].
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, options ...PublishOption) error {
	if c.inInlineHandler() {
		return ErrInCallback
	}
	full := c.flow.enter()
	defer c.flow.leave()
	t := tokens.Get().(*Token)
	t.prepare(c, topic, payload, options)
	err := c.accept(ctx, t)
	if err == nil {
		err = t.wait(ctx, full)
	}
	t.recycle(err)
	return err
}

// tokens are those of Publish, which nobody else sees: they are used again.
var tokens = sync.Pool{New: func() any { return &Token{wake: make(chan struct{}, 1)} }}

// maxKept is the largest payload whose memory a token of Publish keeps.
const maxKept = 4096

// recycle keeps a token for the next Publish, unless the loop or a hook may still come
// back to it.
func (t *Token) recycle(err error) {
	if err != nil || t.outcome != nil {
		return
	}
	kept := t.pub.Payload[:0]
	if cap(kept) > maxKept {
		kept = nil
	}
	*t = Token{wake: t.wake, pub: Publication{Payload: kept}}
	tokens.Put(t)
}

// PublishAsync queues a message and returns its token: [Client.Publish] without the
// wait for the broker. It blocks only while the queue has no room, until ctx ends, and
// in an outbox. An error is the token's. Any handler may call it.
func (c *Client) PublishAsync(ctx context.Context, topic string, payload []byte, options ...PublishOption) *Token {
	t := &Token{ended: make(chan struct{})}
	t.prepare(c, topic, payload, options)
	if err := c.accept(ctx, t); err != nil {
		t.phase, t.err, t.pub.Payload = completed, err, nil
		close(t.ended)
	}
	return t
}

// prepare makes the message of a token, with a copy of the payload.
func (t *Token) prepare(c *Client, topic string, payload []byte, options []PublishOption) {
	kept := t.pub.Payload
	t.client = c
	t.pub = Publication{Topic: topic, Payload: payload, QoS: 1, Protocol: c.protocolNow()}
	for _, option := range options {
		option(&t.pub)
	}
	if payload != nil {
		payload = append(kept[:0], payload...)
	}
	t.pub.Payload = payload
}

// accept takes a message into the queue. If it returns an error, it did not, and the
// hooks have been told.
func (c *Client) accept(ctx context.Context, t *Token) error {
	t.outcome = c.opts.publishing(ctx, &t.pub)
	err := c.enqueue(ctx, t)
	if err != nil && t.outcome != nil {
		t.outcome(err)
	}
	return err
}

func (c *Client) enqueue(ctx context.Context, t *Token) error {
	if err := c.checkPublication(&t.pub); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.isClosing() {
		return c.closedErr()
	}
	t.size = t.pub.size()
	if err := c.reserve(ctx, t.size); err != nil {
		return err
	}
	if err := c.store(t); err != nil {
		return err
	}
	if !c.queue.add(t) {
		return t.closedErr(c.closedErr())
	}
	c.wake()
	return nil
}

// reserve takes room in the queue, as its policy says.
func (c *Client) reserve(ctx context.Context, size int) error {
	dropped, wait, err := c.queue.tryReserve(size, !c.inInlineHandler())
	for _, t := range dropped {
		c.reportEnd(t)
	}
	if wait == nil {
		return err
	}
	if err := c.awaitCapacity(ctx, wait); err != nil {
		if errors.Is(err, ErrClosed) {
			return c.closedErr()
		}
		return err
	}
	return nil
}

// store puts a message into the outbox, if there is one.
func (c *Client) store(t *Token) error {
	if c.opts.outbox == nil || t.pub.QoS == 0 {
		return nil
	}
	key, err := c.opts.outbox.Put(&t.pub)
	if err != nil {
		c.queue.releaseUnused(t.size)
		return err
	}
	t.key, t.stored = key, true
	return nil
}

// checkPublication refuses what the library or the broker would not take, before
// anything waits for a connection.
func (c *Client) checkPublication(p *Publication) error {
	if p.QoS > 2 {
		return badArgument("QoS", "not 0, 1 or 2")
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
	return mosquitto.PropertyCheckAll(mosquitto.CmdPublish, p.Properties)
}

// checkTopic refuses what is no topic. Plain ones are looked at in Go.
func checkTopic(topic string) error {
	plain := topic != "" && len(topic) <= math.MaxUint16
	for i := 0; plain && i < len(topic); i++ {
		b := topic[i]
		plain = b >= ' ' && b < 0x7f && b != '+' && b != '#'
	}
	if plain || mosquitto.PubTopicCheck(topic) == nil && mosquitto.ValidateUTF8([]byte(topic)) == nil {
		return nil
	}
	return badArgument("topic", "%.100q is not one to publish on", topic)
}
