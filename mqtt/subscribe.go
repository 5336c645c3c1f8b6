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

// SubscribeOption says more about a subscription.
type SubscribeOption func(*desire)

// The first four need MQTT 5: with MQTT 3 Subscribe returns [ErrNotSupported].

// NoLocal keeps the client's own messages away.
func NoLocal() SubscribeOption {
	return func(d *desire) { d.options |= mosquitto.SubNoLocal }
}

// RetainAsPublished leaves the retain flag of messages as the publisher set it.
func RetainAsPublished() SubscribeOption {
	return func(d *desire) { d.options |= mosquitto.SubRetainAsPublished }
}

// RetainedIfNew makes the broker send retained messages only if the subscription
// did not exist.
func RetainedIfNew() SubscribeOption {
	return func(d *desire) { d.options |= mosquitto.SubSendRetainNew }
}

// NoRetained makes the broker send no retained messages.
func NoRetained() SubscribeOption {
	return func(d *desire) { d.options |= mosquitto.SubSendRetainNever }
}

// GrantedQoS stores the QoS that the broker granted, which may be less than was
// asked for, before Subscribe returns.
func GrantedQoS(granted *QoSLevel) SubscribeOption {
	return func(d *desire) { d.granted = granted }
}

// desire is a subscription that the program asks for.
type desire struct {
	filter  string
	qos     QoSLevel
	options mosquitto.SubscribeOptions
	granted *QoSLevel
	target  *target
}

func newDesire(filter string, qos QoSLevel, h Handler, options []SubscribeOption) (desire, error) {
	if h == nil {
		return desire{}, badArgument("handler", "nil")
	}
	return desireFor(&target{handler: h}, filter, qos, options)
}

func desireFor(t *target, filter string, qos QoSLevel, options []SubscribeOption) (desire, error) {
	d := desire{filter: filter, qos: qos, target: t}
	for _, option := range options {
		option(&d)
	}
	return d, d.check()
}

func (d *desire) check() error {
	const both = mosquitto.SubSendRetainNew | mosquitto.SubSendRetainNever
	switch {
	case d.qos > 2:
		return badArgument("qos", "%d is not 0, 1 or 2", d.qos)
	case mosquitto.SubTopicCheck(d.filter) != nil || mosquitto.ValidateUTF8([]byte(d.filter)) != nil:
		return badArgument("filter", "%.100q is not one to subscribe to", d.filter)
	case d.options&both == both:
		return badArgument("options", "RetainedIfNew and NoRetained exclude each other")
	}
	if levels := strings.SplitN(d.filter, "/", 3); levels[0] == "$share" {
		switch {
		case len(levels) < 3 || levels[1] == "" || levels[2] == "" || strings.ContainsAny(levels[1], "+#"):
			return badArgument("filter", "%.100q is not $share/GROUP/FILTER", d.filter)
		case d.options&mosquitto.SubNoLocal != 0:
			return badArgument("options", "NoLocal is not for shared subscriptions")
		}
	}
	return nil
}

// checkDesire refuses what the protocol or the connection's broker cannot do.
func (c *Client) checkDesire(d *desire) error {
	if d.options != 0 && c.protocolNow() != V5 {
		return fmt.Errorf("mqtt: subscribe to %q: NoLocal, RetainAsPublished, RetainedIfNew and NoRetained need MQTT 5: %w", d.filter, ErrNotSupported)
	}
	if l := c.brokerLimits.Load(); l != nil {
		if code := l.refusesFilter(d.filter); code != 0 {
			return &SubscribeError{Filter: d.filter, Code: code, Text: "the broker has said so when it accepted the connection"}
		}
	}
	return nil
}

// Subscription is one of several for [Client.SubscribeMultiple].
type Subscription struct {
	Filter  string
	QoS     QoSLevel
	Handler Handler
	Options []SubscribeOption
}

// Subscribe subscribes and waits until the broker has granted it, or ctx ends:
// then it is taken back. h is called with the messages that match from then on,
// and after every reconnect; a message that matches several filters is handed to
// each handler once. With MQTT 3 some brokers send a copy for each of them,
// mosquitto since 2.1 among them, which nothing tells apart: the handlers get every
// copy. Subscribing to a filter again replaces its handler. A refusal is a
// [*SubscribeError]. Without a connection it waits for one. It ends with
// [ErrOvertaken] when Unsubscribe is called for the filter meanwhile. Inside an
// inline handler it returns [ErrInCallback].
//
// A shared subscription, "$share/GROUP/FILTER", spreads the messages over the
// clients of the group, where the broker can do that (MQTT 5, and mosquitto with
// any version). What a client was given and had not acknowledged when it died is
// lost, unless its session is kept ([WithSession]): mosquitto then holds its share
// until it is back. Beside other filters that overlap it needs MQTT 5: with MQTT 3
// its handler would get their messages too.
func (c *Client) Subscribe(ctx context.Context, filter string, qos QoSLevel, h Handler, options ...SubscribeOption) error {
	d, err := newDesire(filter, qos, h, options)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, []desire{d})
}

// SubscribeMultiple is [Client.Subscribe] for several filters at once. If the broker
// refuses some, the others stand: the error joins a [*SubscribeError] for each.
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
	return c.subscribeAll(ctx, all)
}

func (c *Client) subscribeAll(ctx context.Context, all []desire) error {
	if err := ctx.Err(); err != nil {
		return err
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
	err := c.requestChanges(ctx, len(all), func(i int) *waiter { return c.addSubscription(all[i]) })
	return joinErrors(append(unsupported, err)...)
}

// ask lets the loop note n changes of what the program wants, and waits for the
// broker's answers.
func (c *Client) requestChanges(ctx context.Context, n int, change func(i int) *waiter) error {
	if c.inInlineHandler() {
		return ErrInCallback
	}
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
	return c.awaitChanges(ctx, waiters)
}

// awaitChanges waits until the loop has noted a change, and then for the answers. If ctx
// ends before the loop comes to it, the change is undone when it does.
func (c *Client) awaitChanges(ctx context.Context, waiters <-chan []*waiter) error {
	full := c.flow.enter()
	defer c.flow.leave()
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
	return err
}

// Unsubscribe removes subscriptions and waits for the broker's answer. Their handlers
// are not called any more from the moment of the call, and they are not restored,
// whatever the error; their iterators end. Filters that the client has not subscribed to
// are unsubscribed all the same: a kept session may have them. It returns
// [ErrOvertaken] if a later call subscribes to one of them meanwhile, and an error if ctx
// ends before the answer.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) error {
	for _, filter := range filters {
		d := desire{filter: filter}
		if err := d.check(); err != nil {
			return err
		}
	}
	if len(filters) == 0 {
		return badArgument("filters", "none")
	}
	return c.requestChanges(ctx, len(filters), func(i int) *waiter { return c.removeSubscription(filters[i]) })
}

// identifier is the subscription identifier of a filter: the same in every
// process, since a kept session remembers it.
func identifier(filter string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(filter))
	const maxIdentifier = 268_435_455
	return h.Sum32()%maxIdentifier + 1
}
