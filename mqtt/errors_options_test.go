//go:build cgo

package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// wrongProperties are no properties of CONNECT, DISCONNECT and wills.
func wrongProperties() mqtt.Properties {
	return mqtt.Properties{{ID: mqtt.PropTopicAlias, Number: 1}}
}

// The error of an option with a bad argument names the option and the argument.
func TestOptionErrors_NameTheOption(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 65536)
	will := func(w mqtt.Will) []mqtt.Option { return []mqtt.Option{mqtt.WithWill(w)} }
	sub := func(filter string, qos mqtt.QoS, options ...mqtt.SubscribeOption) []mqtt.Option {
		return []mqtt.Option{mqtt.WithSubscription(filter, qos, ignore, options...)}
	}
	one := func(o mqtt.Option) []mqtt.Option { return []mqtt.Option{o} }
	refuses := func(*mosquitto.Client) error { return errors.New("mqtt: no") }
	for says, options := range map[string][]mqtt.Option{
		`WithWill: topic: "a/#" contains the wildcard #`:                                  will(mqtt.Will{Topic: "a/#"}),
		"WithWill: topic: empty":                                                          will(mqtt.Will{}),
		"WithWill: qos: 3 is more than 2":                                                 will(mqtt.Will{Topic: "a", QoS: 3}),
		"WithWill: payload: 65536 bytes, more than 65535":                                 will(mqtt.Will{Topic: "a", Payload: []byte(long)}),
		"WithWill: properties: topic-alias is not a property of a will":                   will(mqtt.Will{Topic: "a", Properties: wrongProperties()}),
		`WithSubscription: filter: "a/#/b" has # in level 2, which is not the last level`: sub("a/#/b", 1),
		`WithSubscription: filter: "$share/a" is not $share/GROUP/FILTER`:                 sub("$share/a", 1),
		"WithSubscription: qos: 3 is more than 2":                                         sub("a", 3),
		"WithSubscription: WithRetainHandling: 9 is not one of its values":                sub("a", 1, mqtt.WithRetainHandling(9)),
		"WithSubscription: options: WithNoLocal is not for shared subscriptions":          sub("$share/g/a", 1, mqtt.WithNoLocal()),
		"WithSubscription: handler: nil":                                                  one(mqtt.WithSubscription("a", 1, nil)),
		"WithConnectProperties: properties: topic-alias is not a property of CONNECT":     one(mqtt.WithConnectProperties(wrongProperties())),
		"WithClientID: clientID: contains a NUL byte":                                     one(mqtt.WithClientID("a\x00")),
		"WithClientID: clientID: 65536 bytes, more than 65535":                            one(mqtt.WithClientID(long)),
		"WithCredentials: username: contains a NUL byte":                                  one(mqtt.WithCredentials("a\x00", "b")),
		"WithCredentials: password: 65536 bytes, more than 65535":                         one(mqtt.WithCredentials("a", long)),
		`WithBindAddress: "a\x00" contains a NUL byte`:                                    one(mqtt.WithBindAddress("a\x00")),
		"WithProxy: host: empty":                                                          one(mqtt.WithProxy("", 1, "", "")),
		"WithProxy: port: 70000 is not between 1 and 65535":                               one(mqtt.WithProxy("a", 70000, "", "")),
		`WithResponsePrefix: "a/#" cannot begin a topic: `:                                one(mqtt.WithResponsePrefix("a/#")),
		"WithResponsePrefix: empty":                                                       one(mqtt.WithResponsePrefix("")),
		"WithLibrarySetup: no":                                                            one(mqtt.WithLibrarySetup(refuses)),
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1"}, append(options, mqtt.WithProtocol(mqtt.V5))...)
		requireOneLine(t, err)
		require.True(t, strings.HasPrefix(err.Error(), "mqtt: "+says), err.Error())
	}
}

// The errors are still those of the library.
func TestOptionErrors_WrapTheirCauses(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		option mqtt.Option
		cause  error
	}{
		{mqtt.WithWill(mqtt.Will{Topic: "a", QoS: 3}), mosquitto.ErrInval},
		{mqtt.WithWill(mqtt.Will{Topic: "a", Payload: make([]byte, 65536)}), mosquitto.ErrPayloadSize},
		{mqtt.WithWill(mqtt.Will{Topic: "a", Properties: wrongProperties()}), mosquitto.ErrProtocol},
		{mqtt.WithConnectProperties(wrongProperties()), mosquitto.ErrProtocol},
		{mqtt.WithSubscription("a/#/b", 1, ignore), mosquitto.ErrInval},
		{mqtt.WithClientID("a\x00"), mosquitto.ErrInval},
		{mqtt.WithClientID("a\xff"), mosquitto.ErrMalformedUTF8},
		{mqtt.WithCredentials("a\xff", ""), mosquitto.ErrMalformedUTF8},
		{mqtt.WithProxy("", 1, "", ""), mosquitto.ErrInval},
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1"}, x.option, mqtt.WithProtocol(mqtt.V5))
		require.ErrorIs(t, err, x.cause)
	}
}

// Arguments that a function or a server's URL supplies are named with it.
func TestOptionErrors_NameTheSourceOfAnAttempt(t *testing.T) {
	t.Parallel()
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://127.0.0.1:1"}, mqtt.WithCredentialsFunc(func(context.Context) (string, string, error) {
		return "a\x00", "", nil
	}))
	require.EqualError(t, err, "mqtt: connect mqtt://127.0.0.1:1: credentials: username: contains a NUL byte")
	_, err = mqtt.Dial(wait.Soon(t), []string{"a", "mqtt://b:0"})
	require.ErrorContains(t, err, "mqtt: servers[1]: port 0 is not between 1 and 65535: ")
}
