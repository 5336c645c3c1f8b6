//go:build cgo

package mosquitto

// Publishing.

// Publish wraps mosquitto_publish: it queues a message. A nil error means only
// that. OnPublish reports when the message mid was sent (QoS 0) or acknowledged.
// The library copies topic and payload. A nil payload is empty; the limit is
// 268,435,455 bytes. Publish may be called from any goroutine and inside
// callbacks.
//
// Without a connection it returns an error that wraps [ErrNoConn]. A QoS 0
// message is then lost. A QoS 1 or 2 message is queued and will be sent after
// the next connect: Publish returns its mid beside the error, so do not publish
// it again. Before the first connect of a client the library drops the retain
// flag.
//
// Message ids wrap after 65,535. The library reuses an id even if a message with
// that id is still in flight. Beside Run, Publish of a QoS 0
// message blocks for at most about 10 ms while Run is behind: with 8,192 messages in a
// write, or with the OnPublish callbacks of messages that it has written.
func (c *Client) Publish(topic string, payload []byte, qos QoS, retain bool) (mid int, err error) {
	const op = "publish"
	if err := checkPublish(op, topic, payload, qos); err != nil {
		return 0, err
	}
	if topic == "" {
		return 0, badArgument(op, ErrInval, "topic: empty")
	}
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	c.awaitFloodEnd(qos)
	return c.published(op, qos, cPublish(c.c, topic, payload, qos, retain))
}

// PublishV5 wraps mosquitto_publish_v5: it is [Client.Publish] with properties,
// which need MQTT 5 ([ErrNotSupported]). The topic may be empty if the properties
// have a topic alias.
func (c *Client) PublishV5(topic string, payload []byte, qos QoS, retain bool, props Properties) (mid int, err error) {
	const op = "publish_v5"
	if err := checkPublish(op, topic, payload, qos); err != nil {
		return 0, err
	}
	if _, alias := props.Int16(PropTopicAlias); topic == "" && !alias {
		return 0, badArgument(op, ErrInval, "topic: empty, without a topic alias")
	}
	encoded, err := encodeProperties(op, props, qos > 0)
	if err != nil {
		return 0, err
	}
	if err := c.begin(op); err != nil {
		return 0, err
	}
	defer c.end()
	c.awaitFloodEnd(qos)
	return c.published(op, qos, cPublishV5(c.c, topic, payload, qos, retain, encoded))
}

func checkPublish(op, topic string, payload []byte, qos QoS) error {
	if err := checkText(op, "topic", topic); err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return badArgument(op, ErrPayloadSize, "payload: %d bytes, more than %d", len(payload), MaxPayload)
	}
	return checkQoS(op, qos)
}

// published returns the mid of a message that the library has queued, although it
// may report ErrNoConn.
func (c *Client) published(op string, qos QoS, r result) (mid int, err error) {
	c.wakeRun()
	err = c.finish(op, r)
	switch {
	case err == nil, Error(r.rc) == ErrNoConn && qos > 0:
		return r.mid, err
	case Error(r.rc) == ErrInval:
		return 0, badArgument(op, ErrInval, "topic: not valid to publish to")
	case Error(r.rc) == ErrMalformedUTF8:
		return 0, badArgument(op, ErrMalformedUTF8, "topic: %s", discouragedFault)
	}
	return 0, err
}
