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

// answers is the subscription by which answers come in: made at the first request.
// Shared: it has its own mutex. The requests themselves are the loop's.
type responses struct {
	last atomic.Uint64 // correlation data

	mu         sync.Mutex
	topic      string
	ready      chan struct{} // closed when the topic is subscribed to; nil before anybody has tried
	subscribed bool
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
	if c.inInlineHandler() {
		return Message{}, ErrInCallback
	}
	full := c.flow.enter()
	defer c.flow.leave()
	responseTopic, err := c.subscribeToResponses(ctx)
	if err != nil {
		return Message{}, err
	}
	id, response := c.responses.last.Add(1), make(chan Message, 1)
	c.do(func() { c.requests[id] = response })
	defer c.do(func() { delete(c.requests, id) })
	options = append(slices.Clip(options), ResponseTopic(responseTopic), CorrelationData(binary.BigEndian.AppendUint64(nil, id)))
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
	case <-c.connectCtx.Done(): // done follows the worker, which may be waiting here
		return Message{}, c.closedErr()
	}
}

// subscribeToResponses subscribes once to a topic that nobody else uses. The first
// request does it, the others wait for that.
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

// begin returns the topic of the answers. first asks the caller to subscribe to it.
func (r *responses) begin() (topic string, ready chan struct{}, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil {
		r.ready, r.topic, first = make(chan struct{}), "responses/"+randomName(), true
	}
	return r.topic, r.ready, first
}

func (r *responses) end(subscribed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribed = subscribed; !subscribed {
		r.ready = nil // the next request tries again
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

// subscribeResponseTopic subscribes past the worker: an answer goes to its request at
// once.
func (c *Client) subscribeResponseTopic(ctx context.Context, topic string) error {
	d, err := desireFor(&target{direct: c.onResponse}, topic, 1, nil)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, []desire{d})
}

// onResponse is called by the loop with each message on the topic of the answers.
func (c *Client) onResponse(m Message) {
	data, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
	if len(data) != 8 {
		return
	}
	select {
	case c.requests[binary.BigEndian.Uint64(data)] <- m: // nil, and never ready, if nobody waits any more
	default:
	}
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
