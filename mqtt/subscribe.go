//go:build cgo

package mqtt

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// SubscribeOption is a setting for [Client.Subscribe] and [Client.Messages]. The zero
// value changes nothing.
type SubscribeOption struct{ apply func(*desire) }

// WithNoLocal makes the broker send no messages that this client has published. It needs
// MQTT 5: with MQTT 3 Subscribe returns [ErrNotSupported].
func WithNoLocal() SubscribeOption {
	return SubscribeOption{func(d *desire) { d.options |= mosquitto.SubNoLocal }}
}

// WithRetainAsPublished makes the broker forward the retain flag that the publisher has set.
// It needs MQTT 5: with MQTT 3 Subscribe returns [ErrNotSupported].
func WithRetainAsPublished() SubscribeOption {
	return SubscribeOption{func(d *desire) { d.options |= mosquitto.SubRetainAsPublished }}
}

// RetainHandling selects when the broker sends retained messages for a subscription.
type RetainHandling int

// The values of RetainHandling.
const (
	RetainSendAlways RetainHandling = iota // at each subscribe: the default
	RetainSendIfNew                        // if the subscription did not exist
	RetainSendNever
)

// WithRetainHandling sets when the broker sends retained messages. It needs MQTT 5: with
// MQTT 3 Subscribe returns [ErrNotSupported], except for RetainSendAlways.
func WithRetainHandling(handling RetainHandling) SubscribeOption {
	return SubscribeOption{func(d *desire) { d.retain = handling }}
}

// WithGrantedQoS stores the QoS that the broker has granted in granted, before Subscribe
// returns. The broker may grant a lower QoS than the call asked for.
func WithGrantedQoS(granted *QoS) SubscribeOption {
	return SubscribeOption{func(d *desire) { d.granted = granted }}
}

// Parts of errors of calls whose contexts have ended.
const (
	subscribeTo  = "subscribe to"
	notSent      = "not sent"
	waitsForLoop = "waits for the event loop, for example until a handler returns"
)

// desire is a subscription that the program asks for.
type desire struct {
	filter  string
	qos     QoS
	options mosquitto.SubscribeOptions
	retain  RetainHandling
	granted *QoS
	target  *target
}

func newDesire(filter string, qos QoS, h Handler, options []SubscribeOption) (desire, error) {
	if h == nil {
		return desire{}, badArgument("handler", "nil")
	}
	return desireFor(&target{handler: h}, filter, qos, options)
}

func desireFor(t *target, filter string, qos QoS, options []SubscribeOption) (desire, error) {
	d := desire{filter: filter, qos: qos, target: t}
	for _, option := range options {
		if option.apply != nil {
			option.apply(&d)
		}
	}
	return d, d.check()
}

func (d *desire) check() error {
	switch d.retain {
	case RetainSendAlways:
	case RetainSendIfNew:
		d.options |= mosquitto.SubSendRetainNew
	case RetainSendNever:
		d.options |= mosquitto.SubSendRetainNever
	default:
		return badArgument("WithRetainHandling", "%d is not one of its values", int(d.retain))
	}
	if err := checkQoS(d.qos); err != nil {
		return err
	}
	if fault := filterFault(d.filter); fault != "" {
		return badArgument("filter", "%s", fault)
	}
	if levels := strings.SplitN(d.filter, "/", 3); levels[0] == "$share" {
		switch {
		case len(levels) < 3 || levels[1] == "" || levels[2] == "" || strings.ContainsAny(levels[1], "+#"):
			return badArgument("filter", "%.100q is not $share/GROUP/FILTER", d.filter)
		case d.options&mosquitto.SubNoLocal != 0:
			return badArgument("options", "WithNoLocal is not for shared subscriptions")
		}
	}
	return nil
}

// checkDesire returns an error for a subscription that the protocol version or the
// connection's broker does not support.
func (c *Client) checkDesire(d *desire) error {
	if d.options != 0 && c.protocolNow() != V5 {
		return fmt.Errorf("mqtt: subscribe to %q: WithNoLocal, WithRetainAsPublished and WithRetainHandling need MQTT 5: %w", d.filter, ErrNotSupported)
	}
	if k := c.connack.Load(); k != nil {
		if code := k.refusesFilter(d.filter); code != 0 {
			return &SubscribeError{Filter: d.filter, Code: code, Text: "the broker announced this when it accepted the connection"}
		}
	}
	return nil
}

// Subscription is an argument of [Client.SubscribeMultiple].
type Subscription struct {
	Filter  string            // the topic filter
	QoS     QoS               // the highest QoS of its messages
	Handler Handler           // called with each message
	Options []SubscribeOption // options such as [WithNoLocal]
}

// Subscribe subscribes to a filter and blocks until the broker has granted the
// subscription. If ctx ends first, the subscription is cancelled. While the client is
// offline, Subscribe waits for the connection. The client restores the subscription
// after every reconnect.
//
// The client calls h for each message that matches the filter. Subscribing to a filter
// again replaces its handler. If a message matches several filters, each handler gets it
// once. With MQTT 3 some brokers, such as mosquitto since 2.1, send a copy for each
// filter. The client cannot recognise these copies, so each handler gets every copy.
//
// If the broker refuses, Subscribe returns a [*SubscribeError]. If Unsubscribe is called
// for the filter before the broker has replied, Subscribe returns [ErrSuperseded]. Inside
// an inline handler it returns [ErrInCallback].
//
// A shared subscription, "$share/GROUP/FILTER", distributes the messages over the
// clients of a group. It needs a broker that supports it: MQTT 5 brokers, and mosquitto
// with any version. If a client dies, its unacknowledged messages are lost, unless its
// session is kept ([WithSession]). Mosquitto then holds them until the client
// reconnects. If a shared subscription overlaps other filters of the client, use MQTT 5.
// With MQTT 3 its handler also gets the messages of the other filters.
func (c *Client) Subscribe(ctx context.Context, filter string, qos QoS, h Handler, options ...SubscribeOption) error {
	d, err := newDesire(filter, qos, h, options)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, "subscribe", []desire{d})
}

// SubscribeMultiple is [Client.Subscribe] for several filters. If the broker refuses
// some of the filters, the other subscriptions remain. The error joins a
// [*SubscribeError] for each refused filter.
func (c *Client) SubscribeMultiple(ctx context.Context, subscriptions ...Subscription) error {
	all := make([]desire, 0, len(subscriptions))
	for _, s := range subscriptions {
		d, err := newDesire(s.Filter, s.QoS, s.Handler, s.Options)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o desire) bool { return o.filter == d.filter }) {
			return badArgument("subscriptions", "filter %q twice", d.filter)
		}
		all = append(all, d)
	}
	return c.subscribeAll(ctx, "subscribe", all)
}

// subscribeAll makes subscriptions, and waits for the broker's replies. op is the call.
func (c *Client) subscribeAll(ctx context.Context, op string, all []desire) error {
	if err := c.mayBlock(op, insteadOfBlock); err != nil {
		return err
	}
	if len(all) == 0 {
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return &waitError{subscribeTo, all[0].filter, notSent, err}
	}
	var unsupported []error
	all = slices.DeleteFunc(slices.Clone(all), func(d desire) bool {
		err := c.checkDesire(&d)
		unsupported = append(unsupported, err)
		return err != nil
	})
	if len(all) == 0 {
		return joinErrors(unsupported...)
	}
	err := c.requestChanges(ctx, op, len(all), func(i int) *waiter { return c.addSubscription(all[i]) })
	return joinErrors(append(unsupported, err)...)
}

// requestChanges asks the loop to make n changes to the subscriptions, and waits for the
// broker's replies. op is the call; change runs on the loop.
func (c *Client) requestChanges(ctx context.Context, op string, n int, change func(i int) *waiter) error {
	if c.isClosing() {
		return c.closedErr()
	}
	waiters := make(chan []*waiter, 1)
	accepted := c.do(func() {
		all := make([]*waiter, n)
		for i := range all {
			all[i] = change(i)
		}
		waiters <- all
		c.reconcile()
	})
	if !accepted {
		return c.closedErr()
	}
	return c.awaitChanges(ctx, op, waiters)
}

// awaitChanges blocks until the loop has made the changes, and then waits for the
// broker's replies. If ctx ends first, the changes are undone after the loop has made
// them.
func (c *Client) awaitChanges(ctx context.Context, op string, waiters <-chan []*waiter) error {
	full := c.flow.beginWait()
	defer c.flow.endWait()
	var err error
	select {
	case all := <-waiters:
		return c.await(ctx, all)
	case <-full:
		err = ErrHandlerQueueFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.do(func() {
		for _, w := range <-waiters {
			if w.decided.CompareAndSwap(false, true) {
				c.cancelWaiter(w)
			}
		}
	})
	return &waitError{op, "", waitsForLoop, err}
}

// Unsubscribe removes subscriptions and blocks until the broker has acknowledged the
// removal. From the call on their handlers are not called, and their iterators end. The
// subscriptions are not restored, even if Unsubscribe returns an error.
//
// The client also sends filters to which it has not subscribed, because a kept session
// may contain them. Unsubscribe returns [ErrSuperseded] if a later call subscribes to one
// of the filters before the broker has replied. It returns an error if ctx ends before
// the reply. Inside an inline handler it changes nothing and returns [ErrInCallback].
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) error {
	const op = "unsubscribe"
	if err := c.mayBlock(op, insteadOfBlock); err != nil {
		return err
	}
	for _, filter := range filters {
		d := desire{filter: filter}
		if err := d.check(); err != nil {
			return err
		}
	}
	if len(filters) == 0 {
		return badArgument("filters", "none")
	}
	return c.requestChanges(ctx, op, len(filters), func(i int) *waiter { return c.removeSubscription(filters[i]) })
}

// identifier returns the subscription identifier of a filter. It must be the same in
// every process, because a kept session stores it.
func identifier(filter string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(filter))
	const maxIdentifier = 268_435_455
	return h.Sum32()%maxIdentifier + 1
}
