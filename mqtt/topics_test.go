//go:build cgo

package mqtt_test

import (
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// The error of a bad topic says what is wrong with it.
func TestTopics_ErrorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	long := strings.Repeat("a", 65536)
	invalid := ": " + mosquitto.ErrInval.Error()
	for topic, says := range map[string]string{
		"":        "empty",
		"a/#":     `"a/#" contains the wildcard #`,
		"a+/b":    `"a+/b" contains the wildcard +`,
		"a\x00":   `"a\x00" contains a NUL byte`,
		"a\xff":   `"a\xff" is not valid UTF-8`,
		"a\u0001": `"a\x01" contains a control character or a non-character`,
		"a\ufffe": `"a\ufffe" contains a control character or a non-character`,
		long:      "65536 bytes, more than 65535",
	} {
		err := c.Publish(wait.Soon(t), topic, nil)
		require.EqualError(t, err, "mqtt: topic: "+says+invalid)
		require.ErrorIs(t, err, mosquitto.ErrInval)
		if topic == "" {
			continue
		}
		require.EqualError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithResponseTopic(topic)), "mqtt: WithResponseTopic: "+says+invalid)
		_, err = c.Request(wait.Soon(t), "a", nil, mqtt.WithResponseTopic(topic))
		require.EqualError(t, err, "mqtt: WithResponseTopic: "+says+invalid)
	}
}

// The error of a bad filter says what is wrong with it.
func TestTopics_ErrorOfAFilterSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port)
	for filter, says := range map[string]string{
		"":                         "empty",
		"a/#/b":                    `"a/#/b" has # in level 2, which is not the last level`,
		"#/":                       `"#/" has # in level 1, which is not the last level`,
		"a/b#":                     `"a/b#" has # beside other characters in level 2`,
		"a+/b":                     `"a+/b" has + beside other characters in level 1`,
		"a/++":                     `"a/++" has + beside other characters in level 2`,
		"a\x00":                    `"a\x00" contains a NUL byte`,
		"a\xff":                    `"a\xff" is not valid UTF-8`,
		"a\u0001":                  `"a\x01" contains a control character or a non-character`,
		strings.Repeat("a", 65536): "65536 bytes, more than 65535",
	} {
		for _, err := range []error{c.Subscribe(wait.Soon(t), filter, 1, ignore), c.Unsubscribe(wait.Soon(t), filter)} {
			require.EqualError(t, err, "mqtt: filter: "+says+": "+mosquitto.ErrInval.Error())
			require.ErrorIs(t, err, mosquitto.ErrInval)
		}
	}
	for _, filter := range []string{"#", "+", "/", "+/+", "/#", "a/+/#", "$share/g/+/#", "a//b"} {
		require.NoError(t, c.Subscribe(wait.Soon(t), filter, 1, ignore), filter)
	}
}

func TestTopics_ErrorOfAQoSGivesTheValue(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	says := "mqtt: qos: 3 is more than 2: " + mosquitto.ErrInval.Error()
	require.EqualError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(3)), says)
	require.EqualError(t, c.Subscribe(wait.Soon(t), "a", 3, ignore), says)
}

func TestTopics_ErrorNamesAPropertyThatThePacketCannotHave(t *testing.T) {
	t.Parallel()
	c := dial(t, plain(t).Port, mqtt.WithProtocol(mqtt.V5))
	err := c.Publish(wait.Soon(t), "a", nil, mqtt.WithProperties(mqtt.Properties{{ID: mqtt.PropReceiveMaximum, Number: 1}}))
	require.EqualError(t, err, "mqtt: properties: receive-maximum is not a property of PUBLISH")
	require.ErrorIs(t, err, mosquitto.ErrProtocol)
	require.EqualError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithUserProperty("a\x00", "")), "mqtt: properties: user-property: contains a NUL byte")
	err = c.Close(wait.Soon(t), mqtt.WithDisconnectProperties(mqtt.Properties{{ID: mqtt.PropTopicAlias, Number: 1}}))
	require.EqualError(t, err, "mqtt: WithDisconnectProperties: properties: topic-alias is not a property of DISCONNECT")
}
