//go:build cgo

package mqtt

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// SubscribeOption says more about a subscription.
type SubscribeOption func(*wish)

// The first four need MQTT 5, and are ignored by brokers of MQTT 3.

// NoLocal keeps the client's own messages away.
func NoLocal() SubscribeOption {
	return func(w *wish) { w.options |= mosquitto.SubNoLocal }
}

// RetainAsPublished leaves the retain flag of messages as the publisher set it.
func RetainAsPublished() SubscribeOption {
	return func(w *wish) { w.options |= mosquitto.SubRetainAsPublished }
}

// RetainedIfNew makes the broker send retained messages only if the subscription
// did not exist.
func RetainedIfNew() SubscribeOption {
	return func(w *wish) { w.options |= mosquitto.SubSendRetainNew }
}

// NoRetained makes the broker send no retained messages.
func NoRetained() SubscribeOption {
	return func(w *wish) { w.options |= mosquitto.SubSendRetainNever }
}

// GrantedQoS stores the QoS that the broker granted, which may be less than was
// asked for, before Subscribe returns.
func GrantedQoS(granted *QoSLevel) SubscribeOption {
	return func(w *wish) { w.granted = granted }
}

// wish is a subscription as the program wants it.
type wish struct {
	filter  string
	qos     QoSLevel
	options mosquitto.SubscribeOptions
	granted *QoSLevel
	target  *target
}

func newWish(filter string, qos QoSLevel, h Handler, options []SubscribeOption) (wish, error) {
	if h == nil {
		return wish{}, badArgument("handler", "nil")
	}
	return wishFor(&target{handler: h}, filter, qos, options)
}

func wishFor(t *target, filter string, qos QoSLevel, options []SubscribeOption) (wish, error) {
	w := wish{filter: filter, qos: qos, target: t}
	for _, option := range options {
		option(&w)
	}
	return w, w.check()
}

func (w *wish) check() error {
	const both = mosquitto.SubSendRetainNew | mosquitto.SubSendRetainNever
	switch {
	case w.qos > 2:
		return badArgument("qos", "%d is not 0, 1 or 2", w.qos)
	case mosquitto.SubTopicCheck(w.filter) != nil || mosquitto.ValidateUTF8([]byte(w.filter)) != nil:
		return badArgument("filter", "%.100q is not one to subscribe to", w.filter)
	case w.options&both == both:
		return badArgument("options", "RetainedIfNew and NoRetained exclude each other")
	}
	if levels := strings.SplitN(w.filter, "/", 3); levels[0] == "$share" {
		switch {
		case len(levels) < 3 || levels[1] == "" || levels[2] == "" || strings.ContainsAny(levels[1], "+#"):
			return badArgument("filter", "%.100q is not $share/GROUP/FILTER", w.filter)
		case w.options&mosquitto.SubNoLocal != 0:
			return badArgument("options", "NoLocal is not for shared subscriptions")
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
	w, err := newWish(filter, qos, h, options)
	if err != nil {
		return err
	}
	return c.subscribeAll(ctx, []wish{w})
}

// SubscribeMultiple is [Client.Subscribe] for several filters at once. If some
// are refused, the others stand: the error joins a [*SubscribeError] for each.
func (c *Client) SubscribeMultiple(ctx context.Context, subscriptions ...Subscription) error {
	wishes := make([]wish, 0, len(subscriptions))
	for _, s := range subscriptions {
		w, err := newWish(s.Filter, s.QoS, s.Handler, s.Options)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(wishes, func(o wish) bool { return o.filter == w.filter }) {
			return badArgument("subscriptions", "filter %q twice", w.filter)
		}
		wishes = append(wishes, w)
	}
	return c.subscribeAll(ctx, wishes)
}

func (c *Client) subscribeAll(ctx context.Context, wishes []wish) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.ask(ctx, len(wishes), func(i int) *waiter { return c.subs.want(c, wishes[i]) })
}

// ask notes n changes of what the program wants, sends them and waits for the
// answers.
func (c *Client) ask(ctx context.Context, n int, note func(i int) *waiter) error {
	ctx, restore, err := c.mayWait(ctx)
	if err != nil {
		return err
	}
	defer restore()
	c.mu.Lock()
	if c.isClosing() {
		defer c.mu.Unlock()
		return c.closedErr()
	}
	waits := make([]*waiter, n)
	for i := range waits {
		waits[i] = note(i)
	}
	c.reconcile()
	c.unlock()
	return c.await(ctx, waits)
}

// Unsubscribe takes subscriptions back and waits for the broker's answer, or
// for the end of ctx. Their handlers are not called any more from the moment of
// the call, and they are not restored, whatever the error; iterators end. Filters
// that were not subscribed to are unsubscribed all the same: a kept session may
// know them. It ends with [ErrOvertaken] when one of them is subscribed to
// meanwhile.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) error {
	for _, filter := range filters {
		w := wish{filter: filter}
		if err := w.check(); err != nil {
			return err
		}
	}
	if len(filters) == 0 {
		return badArgument("filters", "none")
	}
	return c.ask(ctx, len(filters), func(i int) *waiter { return c.subs.unwant(c, filters[i]) })
}

// identifier is the subscription identifier of a filter: the same in every
// process, since a kept session remembers it.
func identifier(filter string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(filter))
	const most = 268_435_455
	return h.Sum32()%most + 1
}
