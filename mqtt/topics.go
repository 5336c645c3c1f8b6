//go:build cgo

package mqtt

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/mosquitto-go/mosquitto"
)

// This file checks topics, filters and the other parts of a message.

// checkTopic returns an error for a topic that no message can be published on. It checks
// plain ASCII topics without a C call.
func checkTopic(topic string) error {
	plain := topic != "" && len(topic) <= math.MaxUint16
	for i := 0; plain && i < len(topic); i++ {
		b := topic[i]
		plain = b >= ' ' && b < 0x7f && b != '+' && b != '#'
	}
	if plain {
		return nil
	}
	if fault := topicFault(topic); fault != "" {
		return badArgument("topic", "%s", fault)
	}
	return nil
}

// topicFault returns why no message can be published on a topic, or "".
func topicFault(topic string) string {
	if fault := textFault(topic); fault != "" {
		return fault
	}
	if i := strings.IndexAny(topic, "+#"); i >= 0 {
		return fmt.Sprintf("%.100q contains the wildcard %c", topic, topic[i])
	}
	if mosquitto.PubTopicCheck(topic) != nil {
		return fmt.Sprintf("%.100q is not a valid topic", topic)
	}
	return ""
}

// filterFault returns why no client can subscribe to a filter, or "".
func filterFault(filter string) string {
	if fault := textFault(filter); fault != "" {
		return fault
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		at := strings.IndexAny(level, "+#")
		switch {
		case at < 0:
		case level != "+" && level != "#":
			return fmt.Sprintf("%.100q has %c beside other characters in level %d", filter, level[at], i+1)
		case level == "#" && i < len(levels)-1:
			return fmt.Sprintf("%.100q has # in level %d, which is not the last level", filter, i+1)
		}
	}
	if mosquitto.SubTopicCheck(filter) != nil {
		return fmt.Sprintf("%.100q is not a valid filter", filter)
	}
	return ""
}

// textFault returns why an MQTT packet cannot contain a topic or a filter, or "".
func textFault(text string) string {
	switch {
	case text == "":
		return "empty"
	case len(text) > math.MaxUint16:
		return fmt.Sprintf("%d bytes, more than %d", len(text), math.MaxUint16)
	case strings.IndexByte(text, 0) >= 0:
		return fmt.Sprintf("%.100q contains a NUL byte", text)
	case !utf8.ValidString(text):
		return fmt.Sprintf("%.100q is not valid UTF-8", text)
	case mosquitto.ValidateUTF8([]byte(text)) != nil:
		return fmt.Sprintf("%.100q contains a control character or a non-character", text)
	}
	return ""
}

// checkQoS returns an error for a QoS that MQTT does not have.
func checkQoS(qos QoS) error {
	if qos > 2 {
		return badArgument("qos", "%d is more than 2", qos)
	}
	return nil
}

// checkProperties returns an error for properties that a packet cannot have. packet is the
// name of the packet.
func checkProperties(command mosquitto.Command, packet string, props Properties) error {
	err := mosquitto.PropertyCheckAll(command, props)
	if err == nil {
		return nil
	}
	for _, q := range props {
		if mosquitto.PropertyCheckCommand(command, q.ID) != nil {
			return &argumentError{"properties: " + q.ID.String() + " is not a property of " + packet, err}
		}
	}
	return &argumentError{"properties: " + strings.TrimPrefix(withoutPrefix(err), "properties: "), err}
}
