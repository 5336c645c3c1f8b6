//go:build cgo

package mqtt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mosquitto-go/mosquitto"
)

// responses are the subscriptions for the responses to requests. The first Request with a
// topic makes its subscription. The loop owns the pending requests. Shared: it has its own
// mutex.
type responses struct {
	last atomic.Uint64 // correlation data of the last request

	mu          sync.Mutex
	topics      map[string]*responseTopic
	name        string  // the last level of the topics that the client makes
	current     string  // the topic that the client has made last
	information *string // the response information of the last CONNACK; nil before the first
}

// responseTopic is the subscription to a topic for responses.
type responseTopic struct {
	topic      string
	target     *target
	ready      chan struct{} // closed when subscribing has ended
	subscribed bool          // guarded by the mutex of responses
}

// responseError is the name of the user property in which [Client.Respond] sends an
// error.
const responseError = "error"

// RequestError is the error that a responder returned instead of a result.
type RequestError struct {
	Text string // the text of the responder's error
}

func (e *RequestError) Error() string { return "mqtt: request: " + e.Text }

// Request publishes a request and blocks until the response arrives, ctx ends or the
// client ends. It sets a response topic and correlation data. A response is any message on
// this topic with the same correlation data, such as the responses of [Client.Respond].
// Request needs MQTT 5. Inside an inline handler it returns [ErrInCallback].
//
// By default the response topic is "responses/" and a random name of this client.
// [WithResponsePrefix] and [WithResponseInformation] change its beginning. With
// [WithResponseTopic] among options, Request uses that topic. The client subscribes to a
// response topic once and stays subscribed, so use few of them. If several clients use the
// same topic, each client receives all responses on it. It may mistake a response for its
// own, because the correlation data are unique only within a client.
func (c *Client) Request(ctx context.Context, topic string, payload []byte, options ...PublishOption) (Message, error) {
	if err := c.mayBlock("request", insteadOfBlock); err != nil {
		return Message{}, err
	}
	if c.protocolNow() != V5 {
		return Message{}, fmt.Errorf("mqtt: requests need MQTT 5: %w", ErrNotSupported)
	}
	full := c.flow.beginWait()
	defer c.flow.endWait()
	options, err := c.prepareRequest(ctx, options)
	if err != nil {
		return Message{}, err
	}
	id, response := c.responses.last.Add(1), make(chan Message, 1)
	c.do(func() {
		if c.requests == nil {
			c.requests = map[uint64]chan Message{}
		}
		c.requests[id] = response
	})
	defer c.do(func() { delete(c.requests, id) })
	options = append(options, WithCorrelationData(binary.BigEndian.AppendUint64(nil, id)))
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
		return Message{}, c.requestErr(topic, ErrHandlerQueueFull)
	case <-ctx.Done():
		return Message{}, c.requestErr(topic, ctx.Err())
	case <-c.connectCtx.Done(): // not done, which is closed after the worker's end: the worker may be waiting here
		return Message{}, c.closedErr()
	}
}

// requestErr returns the error of a request that waits for its response no longer.
func (c *Client) requestErr(topic string, cause error) error {
	return &waitError{"request to", topic, c.waitsFor("waits for the response"), cause}
}

// prepareRequest subscribes to the response topic of a request. It returns options with
// this topic.
func (c *Client) prepareRequest(ctx context.Context, options []PublishOption) ([]PublishOption, error) {
	var p Publication
	p.Apply(options...)
	if _, given := p.Properties.Binary(PropCorrelationData); given {
		return nil, badArgument("WithCorrelationData", "Request sets the correlation data")
	}
	if topic, given := p.Properties.Text(PropResponseTopic); given {
		if fault := responseTopicFault(topic); fault != "" {
			return nil, badArgument("WithResponseTopic", "%s", fault)
		}
		return slices.Clip(options), c.subscribeToResponses(ctx, topic)
	}
	topic, err := c.ownResponseTopic(ctx)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(options), WithResponseTopic(topic)), c.subscribeToResponses(ctx, topic)
}

// responseTopicFault returns why a client cannot both subscribe to a topic and publish on
// it, or "".
func responseTopicFault(topic string) string {
	if strings.HasPrefix(topic, "$share/") {
		return fmt.Sprintf("%.100q is a shared subscription", topic)
	}
	return topicFault(topic)
}

// ownResponseTopic returns the response topic that the client makes. If its beginning has
// changed with the response information, the client unsubscribes from the topic before.
func (c *Client) ownResponseTopic(ctx context.Context) (string, error) {
	start := "responses/"
	if c.opts.responsePrefix != "" {
		start = c.opts.responsePrefix
	}
	if c.opts.responseInformation {
		information, err := c.responseInformation(ctx)
		if err != nil {
			return "", err
		}
		if information != "" {
			start = strings.TrimSuffix(information, "/") + "/"
		}
	}
	topic, before := c.responses.make(start)
	if fault := responseTopicFault(topic); fault != "" {
		return "", badArgument("request", "the broker's response information cannot begin a topic: %s", fault)
	}
	if before != nil {
		c.unsubscribeResponses(before)
	}
	return topic, nil
}

// responseInformation returns the response information of the last CONNACK. It waits for
// the first connection.
func (c *Client) responseInformation(ctx context.Context) (string, error) {
	for {
		if information := c.responses.knownInformation(); information != nil {
			return *information, nil
		}
		if err := c.AwaitConnected(ctx); err != nil {
			return "", err
		}
	}
}

func (r *responses) knownInformation() *string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.information
}

// accepted stores the response information of a CONNACK.
func (r *responses) accepted(information string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.information = &information
}

// make returns the response topic with this beginning. The client must end before, the
// subscription to the topic that it replaces, unless before is nil.
func (r *responses) make(start string) (topic string, before *responseTopic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.name == "" {
		r.name = randomName()
	}
	topic = start + r.name
	if topic == r.current {
		return topic, nil
	}
	if before = r.topics[r.current]; before != nil && before.subscribed {
		delete(r.topics, r.current)
	} else {
		before = nil // a request is subscribing to it
	}
	r.current = topic
	return topic, before
}

// subscribeToResponses subscribes to a response topic once. Other requests wait until the
// first request has subscribed.
func (c *Client) subscribeToResponses(ctx context.Context, topic string) error {
	for {
		s, first := c.responses.begin(topic, c.onResponse)
		if first {
			err := c.subscribeResponseTopic(ctx, topic, s.target)
			c.responses.end(s, err == nil)
			return err
		}
		select {
		case <-s.ready:
			if c.responses.isSubscribed(s) {
				return nil
			}
		case <-ctx.Done():
			return &waitError{subscribeTo, topic, "waits for another request, which subscribes", ctx.Err()}
		}
	}
}

// begin returns the subscription to a topic. If first is true, the caller must subscribe.
func (r *responses) begin(topic string, receive func(Message)) (s *responseTopic, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s = r.topics[topic]
	if s != nil && !s.target.ended.Load() { // the program may have unsubscribed the topic
		return s, false
	}
	if r.topics == nil {
		r.topics = map[string]*responseTopic{}
	}
	s = &responseTopic{topic: topic, target: &target{direct: receive}, ready: make(chan struct{})}
	r.topics[topic] = s
	return s, true
}

// end stores the result of subscribing. After a failure the next request subscribes again.
func (r *responses) end(s *responseTopic, subscribed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.subscribed = subscribed
	if !subscribed && r.topics[s.topic] == s {
		delete(r.topics, s.topic)
	}
	close(s.ready)
}

func (r *responses) isSubscribed(s *responseTopic) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.subscribed
}

func randomName() string {
	name := make([]byte, 12)
	rand.Read(name)
	return hex.EncodeToString(name)
}

// subscribeResponseTopic subscribes with a target on the loop, so that responses do not
// wait behind messages of the worker.
func (c *Client) subscribeResponseTopic(ctx context.Context, topic string, t *target) error {
	d, err := desireFor(t, topic, 1, nil)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, "request", []desire{d})
}

// unsubscribeResponses removes the subscription to a response topic. It does not block.
func (c *Client) unsubscribeResponses(s *responseTopic) {
	c.do(func() {
		if sub := c.subs.byFilter[s.topic]; sub != nil {
			c.removeTarget(sub, s.target)
			c.reconcile()
		}
	})
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
