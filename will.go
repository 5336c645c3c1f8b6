//go:build cgo

package mosquitto

// Will is a message that the broker publishes when the connection ends without a
// DISCONNECT. It is struct libmosquitto_will of the one-shot helpers.
type Will struct {
	Topic      string     // the topic that the broker publishes on
	Payload    []byte     // at most 65,535 bytes
	QoS        QoS        // the quality of service of the message
	Retain     bool       // whether the broker keeps the message for later subscribers
	Properties Properties // of MQTT 5, for example PropWillDelayInterval
}

// maxWill is the largest value of the length field of a will. With a longer payload the
// library would send a corrupt CONNECT.
const maxWill = 65535

// WillSet wraps mosquitto_will_set: it sets the will of the next connections. It copies
// the payload, and returns [ErrPayloadSize] for more than 65,535 bytes. It returns
// [ErrBusy] while a loop runs.
func (c *Client) WillSet(topic string, payload []byte, qos QoS, retain bool) error {
	const op = "will_set"
	if err := checkWill(op, topic, payload, qos); err != nil {
		return err
	}
	return c.configure(op, func() result { return cWillSet(c.c, topic, payload, qos, retain) })
}

// WillSetV5 wraps mosquitto_will_set_v5: it is [Client.WillSet] with properties.
// Properties need MQTT 5: with MQTT 3 WillSetV5 returns [ErrNotSupported] for them.
func (c *Client) WillSetV5(topic string, payload []byte, qos QoS, retain bool, props Properties) error {
	const op = "will_set_v5"
	if err := checkWill(op, topic, payload, qos); err != nil {
		return err
	}
	encoded, err := encodeProperties(op, props, false)
	if err != nil {
		return err
	}
	return c.configure(op, func() result { return cWillSetV5(c.c, topic, payload, qos, retain, encoded) })
}

// WillClear wraps mosquitto_will_clear: it removes the will of the next connections.
func (c *Client) WillClear() error {
	return c.configure("will_clear", func() result { return cWillClear(c.c) })
}

func checkWill(op, topic string, payload []byte, qos QoS) error {
	if err := checkName(op, "topic", topic); err != nil {
		return err
	}
	if err := checkMQTTText(op, "topic", topic); err != nil {
		return err
	}
	if cPubTopicCheck(topic) != cSuccess {
		return badArgument(op, ErrInval, "topic: not one to publish on")
	}
	if len(payload) > maxWill {
		return badArgument(op, ErrPayloadSize, "payload: %d bytes, more than %d", len(payload), maxWill)
	}
	return checkQoS(op, qos)
}

func checkQoS(op string, qos QoS) error {
	if qos > 2 {
		return badArgument(op, ErrInval, "qos: %d is more than 2", qos)
	}
	return nil
}
