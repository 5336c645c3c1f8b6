//go:build cgo

package mqtt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// requests are the questions that wait for an answer. Guarded by the client's mu.
type requests struct {
	topic      string        // where answers come in
	ready      chan struct{} // closed when the topic is subscribed to; nil before anybody has tried
	subscribed bool
	last       uint64
	waiting    map[uint64]chan Message
}

// responseError is the user property by which [Client.Respond] reports an error.
const responseError = "error"

// RequestError is what a responder answered instead of a result.
type RequestError struct{ Text string }

func (e *RequestError) Error() string { return "mqtt: request: " + e.Text }

// Request publishes a message with a response topic of this client's and waits
// for the answer, or for the end of ctx. It needs MQTT 5. The answer is any
// message on that topic with the same correlation data; [Client.Respond] gives
// it. Inside an inline handler it returns [ErrInCallback].
func (c *Client) Request(ctx context.Context, topic string, payload []byte, options ...PublishOption) (Message, error) {
	if c.protocolNow() != V5 {
		return Message{}, fmt.Errorf("mqtt: requests need MQTT 5: %w", ErrNotSupported)
	}
	ctx, restore, err := c.mayWait(ctx)
	if err != nil {
		return Message{}, err
	}
	defer restore()
	if err := c.subscribeToAnswers(ctx); err != nil {
		return Message{}, err
	}
	id, answer := c.expectAnswer()
	defer c.forgetAnswer(id)
	options = append(slices.Clip(options), ResponseTopic(c.requests.topic), CorrelationData(binary.BigEndian.AppendUint64(nil, id)))
	if err := c.Publish(ctx, topic, payload, options...); err != nil {
		return Message{}, err
	}
	select {
	case m := <-answer:
		if text, failed := m.Properties.UserProperty(responseError); failed {
			return m, &RequestError{text}
		}
		return m, nil
	case <-ctx.Done():
		return Message{}, ctx.Err()
	case <-c.link.Done(): // done comes after the worker, which may be waiting here
		return Message{}, c.endErr()
	}
}

// subscribeToAnswers subscribes once to a topic that nobody else uses. The first
// request does it, the others wait for that.
func (c *Client) subscribeToAnswers(ctx context.Context) error {
	for {
		c.mu.Lock()
		ready, mine := c.requests.ready, false
		if ready == nil {
			ready, mine = make(chan struct{}), true
			c.requests.ready = ready
			c.requests.topic = "responses/" + randomName()
			c.requests.waiting = map[uint64]chan Message{}
		}
		topic := c.requests.topic
		c.mu.Unlock()
		if mine {
			err := c.subscribeAnswers(ctx, topic)
			c.mu.Lock()
			c.requests.subscribed = err == nil
			if err != nil {
				c.requests.ready = nil // somebody else may try
			}
			c.mu.Unlock()
			close(ready)
			return err
		}
		select {
		case <-ready:
			c.mu.Lock()
			subscribed := c.requests.subscribed
			c.mu.Unlock()
			if subscribed {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func randomName() string {
	name := make([]byte, 12)
	rand.Read(name)
	return hex.EncodeToString(name)
}

// subscribeAnswers subscribes past the worker: an answer goes to its request at
// once.
func (c *Client) subscribeAnswers(ctx context.Context, topic string) error {
	w, err := wishFor(&target{direct: c.answerCame}, topic, 1, nil)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, []wish{w})
}

// answerCame is called by the loop.
func (c *Client) answerCame(m Message) {
	data, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
	if len(data) != 8 {
		return
	}
	c.mu.Lock()
	answer := c.requests.waiting[binary.BigEndian.Uint64(data)]
	c.mu.Unlock()
	select {
	case answer <- m: // nil, and never ready, if nobody waits any more
	default:
	}
}

func (c *Client) expectAnswer() (id uint64, answer chan Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests.last++
	answer = make(chan Message, 1)
	c.requests.waiting[c.requests.last] = answer
	return c.requests.last, answer
}

func (c *Client) forgetAnswer(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.requests.waiting, id)
}

// Respond subscribes and answers every request with what f returns: to the
// request's response topic, with its correlation data. An error is answered with
// the user property "error", and [Client.Request] returns it. Messages without a
// response topic are handed to f as well, and not answered. It needs MQTT 5.
func (c *Client) Respond(ctx context.Context, filter string, qos QoSLevel, f func(ctx context.Context, request Message) ([]byte, error), options ...SubscribeOption) error {
	if f == nil {
		return badArgument("f", "nil")
	}
	return c.Subscribe(ctx, filter, qos, func(ctx context.Context, request Message) {
		payload, err := f(ctx, request)
		var options []PublishOption
		if err != nil {
			options = append(options, UserProperty(responseError, err.Error()))
		}
		c.Reply(ctx, request, payload, options...)
	}, options...)
}

// Reply publishes the answer to a request, with the request's QoS, as
// [Client.PublishAsync] does. A request without a response topic gets none: the
// token fails.
func (c *Client) Reply(ctx context.Context, request Message, payload []byte, options ...PublishOption) *Token {
	topic, _ := request.Properties.Text(mosquitto.PropResponseTopic)
	all := []PublishOption{QoS(request.QoS)}
	if data, ok := request.Properties.Binary(mosquitto.PropCorrelationData); ok {
		all = append(all, CorrelationData(data))
	}
	return c.PublishAsync(ctx, topic, payload, append(all, options...)...)
}
