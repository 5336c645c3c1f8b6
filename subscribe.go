//go:build cgo

package mosquitto

// Subscribing and unsubscribing.

// Subscribe wraps mosquitto_subscribe: it queues a SUBSCRIBE. A nil error means
// only that. OnSubscribe reports the SUBACK with this mid. Without a connection
// Subscribe queues nothing and returns an error that wraps [ErrNoConn]. It may
// be called from any goroutine and inside callbacks.
func (c *Client) Subscribe(filter string, qos QoS) (mid int, err error) {
	const op = "subscribe"
	if err := checkFilters(op, qos, filter); err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribe(c.c, filter, qos) })
}

// SubscribeOptions are the subscription options of MQTT 5. They are bits and can
// be combined.
type SubscribeOptions int

// The subscription options. Without SubSendRetainNew and SubSendRetainNever the
// broker sends retained messages at every subscribe.
const (
	SubNoLocal           SubscribeOptions = cSubNoLocal           // exclude messages that this client published
	SubRetainAsPublished SubscribeOptions = cSubRetainAsPublished // keep the retain flag
	SubSendRetainNew     SubscribeOptions = cSubSendRetainNew     // retained messages for a new subscription only
	SubSendRetainNever   SubscribeOptions = cSubSendRetainNever   // no retained messages
)

// SubscribeV5 wraps mosquitto_subscribe_v5: it is [Client.Subscribe] with the options and
// properties of MQTT 5.
func (c *Client) SubscribeV5(filter string, qos QoS, options SubscribeOptions, props Properties) (mid int, err error) {
	const op = "subscribe_v5"
	if err := checkFilters(op, qos, filter); err != nil {
		return 0, err
	}
	encoded, err := encodeSubscribe(op, options, props)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribeV5(c.c, filter, qos, int(options), encoded) })
}

// SubscribeMultiple wraps mosquitto_subscribe_multiple: it queues one SUBSCRIBE
// with several filters, which share the QoS and the options.
func (c *Client) SubscribeMultiple(filters []string, qos QoS, options SubscribeOptions, props Properties) (mid int, err error) {
	const op = "subscribe_multiple"
	if err := checkFilters(op, qos, filters...); err != nil {
		return 0, err
	}
	encoded, err := encodeSubscribe(op, options, props)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cSubscribeMultiple(c.c, filters, qos, int(options), encoded) })
}

// Unsubscribe wraps mosquitto_unsubscribe: it queues an UNSUBSCRIBE. A nil error
// means only that. OnUnsubscribe reports the UNSUBACK with this mid.
func (c *Client) Unsubscribe(filter string) (mid int, err error) {
	const op = "unsubscribe"
	if err := checkFilters(op, 0, filter); err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribe(c.c, filter) })
}

// UnsubscribeV5 wraps mosquitto_unsubscribe_v5: it is [Client.Unsubscribe] with
// properties, for MQTT 5.
func (c *Client) UnsubscribeV5(filter string, props Properties) (mid int, err error) {
	const op = "unsubscribe_v5"
	if err := checkFilters(op, 0, filter); err != nil {
		return 0, err
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribeV5(c.c, filter, encoded) })
}

// UnsubscribeMultiple wraps mosquitto_unsubscribe_multiple: it queues one
// UNSUBSCRIBE with several filters.
func (c *Client) UnsubscribeMultiple(filters []string, props Properties) (mid int, err error) {
	const op = "unsubscribe_multiple"
	if err := checkFilters(op, 0, filters...); err != nil {
		return 0, err
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return 0, err
	}
	return c.request(op, func() result { return cUnsubscribeMultiple(c.c, filters, encoded) })
}

func checkFilters(op string, qos QoS, filters ...string) error {
	if len(filters) == 0 {
		return badArgument(op, ErrInval, "filters: none")
	}
	for _, filter := range filters {
		if err := checkName(op, "filter", filter); err != nil {
			return err
		}
		if err := checkMQTTText(op, "filter", filter); err != nil {
			return err
		}
		if cSubTopicCheck(filter) != cSuccess { // the library checks for a connection first
			return badArgument(op, ErrInval, "filter: not a valid topic filter")
		}
	}
	return checkQoS(op, qos)
}

func encodeSubscribe(op string, options SubscribeOptions, props Properties) ([]byte, error) {
	const all = SubNoLocal | SubRetainAsPublished | SubSendRetainNew | SubSendRetainNever
	if options&^all != 0 || options&SubSendRetainNew != 0 && options&SubSendRetainNever != 0 {
		return nil, badArgument(op, ErrInval, "options: %#x is no combination of the subscription options", int(options))
	}
	return encodeProperties(op, props, false)
}

// request queues a SUBSCRIBE or an UNSUBSCRIBE.
func (c *Client) request(op string, call func() result) (mid int, err error) {
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	r := call()
	c.wakeRun()
	if err := c.finish(op, r); err != nil {
		if Error(r.rc) == ErrInval {
			err = badArgument(op, ErrInval, "filter: not a valid topic filter")
		}
		return 0, err
	}
	return r.mid, nil
}
