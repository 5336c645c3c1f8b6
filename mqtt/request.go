//go:build cgo

package mqtt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// responses is the subscription for the responses to requests. The first Request makes
// it. The loop owns the pending requests. Shared: it has its own mutex.
type responses struct {
	last atomic.Uint64 // correlation data of the last request

	mu         sync.Mutex
	topic      string
	ready      chan struct{} // closed when subscribing has ended; nil before the first attempt
	subscribed bool
}

// responseError is the name of the user property in which [Client.Respond] sends an
// error.
const responseError = "error"

// RequestError is the error that a responder returned instead of a result.
type RequestError struct{ Text string }

func (e *RequestError) Error() string { return "mqtt: request: " + e.Text }

// Request publishes a request and blocks until the response arrives, ctx ends or the
// client ends. It sets a response topic of this client and correlation data. A response
// is any message on this topic with the same correlation data, such as the responses of
// [Client.Respond]. Request needs MQTT 5. Inside an inline handler it returns
// [ErrInCallback].
func (c *Client) Request(ctx context.Context, topic string, payload []byte, options ...PublishOption) (Message, error) {
	if c.protocolNow() != V5 {
		return Message{}, fmt.Errorf("mqtt: requests need MQTT 5: %w", ErrNotSupported)
	}
	if c.inInlineHandler() {
		return Message{}, errInCallback
	}
	full := c.flow.beginWait()
	defer c.flow.endWait()
	responseTopic, err := c.subscribeToResponses(ctx)
	if err != nil {
		return Message{}, err
	}
	id, response := c.responses.last.Add(1), make(chan Message, 1)
	c.do(func() { c.requests[id] = response })
	defer c.do(func() { delete(c.requests, id) })
	options = append(slices.Clip(options), WithResponseTopic(responseTopic), WithCorrelationData(binary.BigEndian.AppendUint64(nil, id)))
	if err := c.Publish(ctx, topic, payload, options...); err != nil {
		return Message{}, err
	}
	select {
	case m := <-response:
		if text, failed := m.Properties.UserProperty(responseError); failed {
			return m, &RequestError{text}
		}
		return m, nil
	case <-full:
		return Message{}, ErrHandlerQueueFull
	case <-ctx.Done():
		return Message{}, ctx.Err()
	case <-c.connectCtx.Done(): // not done, which is closed after the worker's end: the worker may be waiting here
		return Message{}, c.closedErr()
	}
}

// subscribeToResponses subscribes once to a topic that only this client uses. Other
// requests wait until the first request has subscribed.
func (c *Client) subscribeToResponses(ctx context.Context) (topic string, err error) {
	for {
		topic, ready, first := c.responses.begin()
		if first {
			err := c.subscribeResponseTopic(ctx, topic)
			c.responses.end(err == nil)
			close(ready)
			return topic, err
		}
		select {
		case <-ready:
			if c.responses.isSubscribed() {
				return topic, nil
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// begin returns the response topic. If first is true, the caller must subscribe to it.
func (r *responses) begin() (topic string, ready chan struct{}, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil {
		r.ready, first = make(chan struct{}), true
		if r.topic == "" { // the same for all attempts
			r.topic = "responses/" + randomName()
		}
	}
	return r.topic, r.ready, first
}

// end stores the result of subscribing.
func (r *responses) end(subscribed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribed = subscribed; !subscribed {
		r.ready = nil // the next request subscribes again
	}
}

func (r *responses) isSubscribed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subscribed
}

func randomName() string {
	name := make([]byte, 12)
	rand.Read(name)
	return hex.EncodeToString(name)
}

// subscribeResponseTopic subscribes with a target on the loop, so that responses do not
// wait behind messages of the worker.
func (c *Client) subscribeResponseTopic(ctx context.Context, topic string) error {
	d, err := desireFor(&target{direct: c.onResponse}, topic, 1, nil)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, []desire{d})
}

// onResponse passes a response to its request. Only the loop calls it.
func (c *Client) onResponse(m Message) {
	data, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
	if len(data) != 8 {
		return
	}
	select {
	case c.requests[binary.BigEndian.Uint64(data)] <- m: // a nil channel if no request waits: never ready
	default:
	}
}

// Respond subscribes to filter and responds to every request with the result of f. It
// sends the response to the request's response topic, with its correlation data. If f
// returns an error, the response has the user property "error", and [Client.Request]
// returns a [*RequestError]. f is also called for messages without a response topic;
// they get no response. Respond needs MQTT 5. It blocks and fails as [Client.Subscribe]
// does.
func (c *Client) Respond(ctx context.Context, filter string, qos QoS, f func(ctx context.Context, request Message) ([]byte, error), options ...SubscribeOption) error {
	if f == nil {
		return badArgument("f", "nil")
	}
	return c.Subscribe(ctx, filter, qos, func(ctx context.Context, request Message) {
		payload, err := f(ctx, request)
		var options []PublishOption
		if err != nil {
			options = append(options, WithUserProperty(responseError, err.Error()))
		}
		c.Reply(ctx, request, payload, options...)
	}, options...)
}

// Reply publishes the response to a request, with the request's QoS, as
// [Client.PublishAsync] does. If the request has no response topic, the token fails.
func (c *Client) Reply(ctx context.Context, request Message, payload []byte, options ...PublishOption) *Token {
	topic, _ := request.Properties.Text(mosquitto.PropResponseTopic)
	all := []PublishOption{WithQoS(request.QoS)}
	if data, ok := request.Properties.Binary(mosquitto.PropCorrelationData); ok {
		all = append(all, WithCorrelationData(data))
	}
	return c.PublishAsync(ctx, topic, payload, append(all, options...)...)
}
