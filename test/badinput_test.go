package test

import (
	"context"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Arguments that C would misread are refused, and the error names the argument.

// badCall is a call that must fail with this code, and with this text in the error.
type badCall struct {
	what string
	err  error
	code mosquitto.Error
	says string
}

func requireRefused(t *testing.T, bad []badCall) {
	t.Helper()
	for _, r := range bad {
		require.ErrorIs(t, r.err, r.code, r.what)
		require.ErrorContains(t, r.err, r.says, r.what)
		var e *mosquitto.OpError
		require.ErrorAs(t, r.err, &e, r.what)
		code, ok := e.Code()
		require.True(t, ok, r.what)
		require.Equal(t, r.code, code, r.what)
		require.NotEmpty(t, e.Detail, r.what)
		require.True(t, strings.HasPrefix(r.err.Error(), "mosquitto: "+e.Op+": "), r.err.Error())
	}
}

// Texts that are invalid in any text argument.
var (
	tooLong  = strings.Repeat("x", 65536)
	badTexts = []struct {
		text string
		code mosquitto.Error
		says string
	}{
		{"a\x00b", mosquitto.ErrInval, "contains a NUL byte"},
		{"a\xffb", mosquitto.ErrMalformedUTF8, "not valid UTF-8"},
		{tooLong, mosquitto.ErrInval, "65536 bytes, more than 65535"},
	}
	discouragedTexts = []string{"a\x01b", "a\x7fb", "a\u0085b", "\ufffe", "\ufdd0", "\U0001ffff"}
)

// badText calls a function with each invalid text. With mqtt, control characters and
// non-characters must be refused as well.
func badText(what, argument string, mqtt bool, call func(text string) error) (bad []badCall) {
	for _, row := range badTexts {
		bad = append(bad, badCall{what, call(row.text), row.code, argument + ": " + row.says})
	}
	if mqtt {
		for _, text := range discouragedTexts {
			bad = append(bad, badCall{what, call(text), mosquitto.ErrMalformedUTF8, argument + ": contains a control character or a non-character"})
		}
	}
	return bad
}

func second(_ int, err error) error { return err }

// untouched returns memory that is never written to. It needs no physical memory.
func untouched(t *testing.T, n int) []byte {
	t.Helper()
	memory, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(memory)) })
	return memory
}

var badProperties = []struct {
	props mosquitto.Properties
	code  mosquitto.Error
	says  string
}{
	{mosquitto.Properties{{ID: 99}}, mosquitto.ErrInval, "properties: there is no property 99"},
	{mosquitto.Properties{{ID: mosquitto.PropPayloadFormatIndicator, Number: 256}}, mosquitto.ErrInval, "properties: payload-format-indicator: 256 is more than 255"},
	{mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 65536}}, mosquitto.ErrInval, "properties: topic-alias: 65536 is more than 65535"},
	{mosquitto.Properties{{ID: mosquitto.PropSubscriptionIdentifier, Number: 1 << 28}}, mosquitto.ErrInval, "properties: subscription-identifier: 268435456 is more than"},
	{mosquitto.Properties{{ID: mosquitto.PropCorrelationData, Data: []byte(tooLong)}}, mosquitto.ErrInval, "properties: correlation-data: 65536 bytes"},
	{mosquitto.Properties{{ID: mosquitto.PropContentType, Text: "\x00"}}, mosquitto.ErrInval, "properties: content-type: contains a NUL"},
	{mosquitto.Properties{{ID: mosquitto.PropContentType, Text: "\xff"}}, mosquitto.ErrMalformedUTF8, "properties: content-type: not valid UTF-8"},
	{mosquitto.Properties{{ID: mosquitto.PropContentType, Text: "\x01"}}, mosquitto.ErrMalformedUTF8, "properties: content-type: contains a control"},
	{mosquitto.Properties{{ID: mosquitto.PropContentType, Text: tooLong}}, mosquitto.ErrInval, "properties: content-type: 65536 bytes"},
	{mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "\x00"}}, mosquitto.ErrInval, "properties: user-property: contains a NUL"},
	{mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "\x01"}}, mosquitto.ErrMalformedUTF8, "properties: user-property: contains a control"},
	{mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "a", Text: "\xff"}}, mosquitto.ErrMalformedUTF8, "properties: user-property: not valid UTF-8"},
}

func badProps(what string, call func(mosquitto.Properties) error) (bad []badCall) {
	for _, row := range badProperties {
		bad = append(bad, badCall{what, call(row.props), row.code, row.says})
	}
	return bad
}

func badFilters(what string, call func(filter string) error) []badCall {
	bad := badText(what, "filter", true, call)
	bad = append(bad, badCall{what, call(""), mosquitto.ErrInval, "filter: empty"})
	for _, filter := range []string{"a+", "+a", "a#", "a/#/b", "#/", "a/b+/c", "##"} {
		bad = append(bad, badCall{what, call(filter), mosquitto.ErrInval, "filter: "})
	}
	return bad
}

func badPublishes(t *testing.T, what string, publish func(topic string, payload []byte, qos mosquitto.QoS) error) []badCall {
	t.Helper()
	bad := badText(what, "topic", true, func(text string) error { return publish(text, nil, 1) })
	for _, topic := range []string{"", "+", "#", "a/+/b", "a/#", "a+b"} {
		bad = append(bad, badCall{what, publish(topic, nil, 1), mosquitto.ErrInval, "topic: "})
	}
	return append(bad,
		badCall{what, publish("a", nil, 3), mosquitto.ErrInval, "qos: 3 is more than 2"},
		badCall{what, publish("a", nil, 255), mosquitto.ErrInval, "qos: 255 is more than 2"},
		badCall{what, publish("a", untouched(t, mosquitto.MaxPayload+1), 0), mosquitto.ErrPayloadSize, "payload: 268435456 bytes"},
	)
}

func badWills(what string, set func(topic string, payload []byte, qos mosquitto.QoS) error) []badCall {
	bad := badText(what, "topic", true, func(text string) error { return set(text, nil, 0) })
	for _, topic := range []string{"", "+", "#", "a/+/b", "a/#"} {
		bad = append(bad, badCall{what, set(topic, nil, 0), mosquitto.ErrInval, "topic: "})
	}
	return append(bad,
		badCall{what, set("a", nil, 3), mosquitto.ErrInval, "qos: 3 is more than 2"},
		badCall{what, set("a", make([]byte, 65536), 0), mosquitto.ErrPayloadSize, "payload: 65536 bytes, more than 65535"},
	)
}

// Invalid calls on a connected client send nothing.
func TestBadInput_IsRefusedAndNotSent(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newV5(t, "", true)
	conn, _ := meet(t, c, e, p)

	requireRefused(t, badPublishes(t, "Publish", func(topic string, payload []byte, qos mosquitto.QoS) error {
		return second(c.Publish(topic, payload, qos, false))
	}))
	requireRefused(t, badPublishes(t, "PublishV5", func(topic string, payload []byte, qos mosquitto.QoS) error {
		return second(c.PublishV5(topic, payload, qos, false, nil))
	}))
	requireRefused(t, badProps("PublishV5", func(props mosquitto.Properties) error { return second(c.PublishV5("a", nil, 0, false, props)) }))
	alias := mosquitto.Properties{{ID: mosquitto.PropTopicAlias, Number: 1}}
	requireRefused(t, []badCall{{"PublishV5", second(c.PublishV5("", untouched(t, mosquitto.MaxPayload+1), 0, false, alias)), mosquitto.ErrPayloadSize, "payload: "}})

	requireRefused(t, badFilters("Subscribe", func(filter string) error { return second(c.Subscribe(filter, 0)) }))
	requireRefused(t, badFilters("SubscribeV5", func(filter string) error { return second(c.SubscribeV5(filter, 0, 0, nil)) }))
	requireRefused(t, badFilters("SubscribeMultiple", func(filter string) error {
		return second(c.SubscribeMultiple([]string{"good", filter}, 0, 0, nil))
	}))
	requireRefused(t, badFilters("Unsubscribe", func(filter string) error { return second(c.Unsubscribe(filter)) }))
	requireRefused(t, badFilters("UnsubscribeV5", func(filter string) error { return second(c.UnsubscribeV5(filter, nil)) }))
	requireRefused(t, badFilters("UnsubscribeMultiple", func(filter string) error {
		return second(c.UnsubscribeMultiple([]string{"good", filter}, nil))
	}))
	requireRefused(t, badProps("SubscribeV5", func(props mosquitto.Properties) error { return second(c.SubscribeV5("a", 0, 0, props)) }))
	requireRefused(t, badProps("SubscribeMultiple", func(props mosquitto.Properties) error {
		return second(c.SubscribeMultiple([]string{"a"}, 0, 0, props))
	}))
	requireRefused(t, badProps("UnsubscribeV5", func(props mosquitto.Properties) error { return second(c.UnsubscribeV5("a", props)) }))
	requireRefused(t, badProps("UnsubscribeMultiple", func(props mosquitto.Properties) error {
		return second(c.UnsubscribeMultiple([]string{"a"}, props))
	}))
	requireRefused(t, badProps("DisconnectV5", func(props mosquitto.Properties) error { return c.DisconnectV5(0, props) }))
	requireRefused(t, badRequests(c))

	_, err := c.Publish("good", nil, 0, false)
	require.NoError(t, err)
	require.Equal(t, "\x00\x04good\x00", string(conn.Expect(fakebroker.PUBLISH).Body), "this is the first packet")
	wait.None(t, e.disconnect, "OnDisconnect")
}

// badRequests returns the invalid calls of subscribe, unsubscribe, disconnect and
// authentication.
func badRequests(c *mosquitto.Client) []badCall {
	const inval = mosquitto.ErrInval
	bad := []badCall{
		{"Subscribe", second(c.Subscribe("a", 3)), inval, "qos: 3"},
		{"SubscribeV5", second(c.SubscribeV5("a", 3, 0, nil)), inval, "qos: 3"},
		{"SubscribeMultiple", second(c.SubscribeMultiple([]string{"a"}, 3, 0, nil)), inval, "qos: 3"},
		{"SubscribeMultiple", second(c.SubscribeMultiple(nil, 0, 0, nil)), inval, "filters: none"},
		{"UnsubscribeMultiple", second(c.UnsubscribeMultiple(nil, nil)), inval, "filters: none"},
		{"UnsubscribeMultiple", second(c.UnsubscribeMultiple([]string{}, nil)), inval, "filters: none"},
		{"DisconnectV5", c.DisconnectV5(-1, nil), inval, "reason: -1"},
		{"DisconnectV5", c.DisconnectV5(256, nil), inval, "reason: 256"},
		{"ExtAuthContinue", c.ExtAuthContinue("", nil, nil), inval, "method: empty"},
		{"ExtAuthContinue", c.ExtAuthContinue("a", make([]byte, 65536), nil), inval, "data: 65536 bytes"},
	}
	for _, options := range []mosquitto.SubscribeOptions{1, 2, 0x40, 0x80, -1, mosquitto.SubSendRetainNew | mosquitto.SubSendRetainNever} {
		bad = append(bad,
			badCall{"SubscribeV5", second(c.SubscribeV5("a", 0, options, nil)), inval, "options: "},
			badCall{"SubscribeMultiple", second(c.SubscribeMultiple([]string{"a"}, 0, options, nil)), inval, "options: "})
	}
	bad = append(bad, badText("ExtAuthContinue", "method", false, func(text string) error { return c.ExtAuthContinue(text, nil, nil) })...)
	return append(bad, badProps("ExtAuthContinue", func(props mosquitto.Properties) error { return c.ExtAuthContinue("a", nil, props) })...)
}

// After invalid settings and connects the client is unchanged, and can connect.
func TestBadInput_OfSettersAndConnectsIsRefused(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	const inval = mosquitto.ErrInval

	requireRefused(t, badWills("WillSet", func(topic string, payload []byte, qos mosquitto.QoS) error {
		return c.WillSet(topic, payload, qos, false)
	}))
	requireRefused(t, badWills("WillSetV5", func(topic string, payload []byte, qos mosquitto.QoS) error {
		return c.WillSetV5(topic, payload, qos, false, nil)
	}))
	requireRefused(t, badProps("WillSetV5", func(props mosquitto.Properties) error { return c.WillSetV5("a", nil, 0, false, props) }))

	requireRefused(t, badText("UsernamePwSet", "username", true, func(text string) error { return c.UsernamePwSet(text, "b") }))
	requireRefused(t, badText("UsernamePwSet", "password", false, func(text string) error { return c.UsernamePwSet("a", text) }))
	requireRefused(t, []badCall{{"UsernamePwSet", c.UsernamePwSet("", "b"), inval, "username: empty"}})

	requireRefused(t, badText("Socks5Set", "host", false, func(text string) error { return c.Socks5Set(text, 1, "", "") }))
	requireRefused(t, badText("Socks5Set", "username", false, func(text string) error { return c.Socks5Set("a", 1, text, "b") }))
	requireRefused(t, badText("Socks5Set", "password", false, func(text string) error { return c.Socks5Set("a", 1, "b", text) }))
	requireRefused(t, []badCall{
		{"Socks5Set", c.Socks5Set("", 1, "", ""), inval, "host: empty"},
		{"Socks5Set", c.Socks5Set(tooLong[:257], 1, "", ""), inval, "host: 257 bytes"},
		{"Socks5Set", c.Socks5Set("a", 0, "", ""), inval, "port: 0"},
		{"Socks5Set", c.Socks5Set("a", -1, "", ""), inval, "port: -1"},
		{"Socks5Set", c.Socks5Set("a", 65536, "", ""), inval, "port: 65536"},
		{"Socks5Set", c.Socks5Set("a", 1, tooLong[:256], "b"), inval, "username: 256 bytes"},
		{"Socks5Set", c.Socks5Set("a", 1, "a", tooLong[:256]), inval, "password: 256 bytes"},
		{"Socks5Set", c.Socks5Set("a", 1, "a", ""), inval, "username, password: one is empty"},
		{"Socks5Set", c.Socks5Set("a", 1, "", "b"), inval, "username, password: one is empty"},
	})

	requireRefused(t, []badCall{
		{"ReconnectDelaySet", c.ReconnectDelaySet(0, time.Second, false), inval, "delay: 0s"},
		{"ReconnectDelaySet", c.ReconnectDelaySet(-time.Second, time.Second, false), inval, "delay: -1s"},
		{"ReconnectDelaySet", c.ReconnectDelaySet(time.Second-1, time.Second, false), inval, "delay: "},
		{"ReconnectDelaySet", c.ReconnectDelaySet(math.MaxInt64, time.Second, false), inval, "delay: "},
		{"ReconnectDelaySet", c.ReconnectDelaySet(time.Second, 0, false), inval, "limit: 0s"},
		{"ReconnectDelaySet", c.ReconnectDelaySet(time.Second, -time.Second, false), inval, "limit: -1s"},
		{"MaxInflightMessagesSet", c.MaxInflightMessagesSet(-1), inval, "n: -1"},
		{"MaxInflightMessagesSet", c.MaxInflightMessagesSet(65536), inval, "n: 65536"},
	})
	requireRefused(t, badOptions(c))
	requireRefused(t, badTLS(t, c))
	requireRefused(t, badConnects(c))

	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a", 2)
	leave(t, c, e, ended)
}

func badOptions(c *mosquitto.Client) []badCall {
	const inval = mosquitto.ErrInval
	bad := []badCall{
		{"IntOption", c.IntOption(99, 1), inval, "option"},
		{"IntOption", c.IntOption(mosquitto.OptProtocolVersion, 6), inval, "value"},
		{"IntOption", c.IntOption(mosquitto.OptReceiveMaximum, -1), inval, "value"},
		{"IntOption", c.IntOption(mosquitto.OptSendMaximum, 65536), inval, "value"},
		{"IntOption", c.IntOption(mosquitto.OptTCPNodelay, math.MaxInt), inval, "value: 9223372036854775807 is out of range"},
		{"IntOption", c.IntOption(mosquitto.OptTLSALPN, 1), inval, "option"},
		{"StringOption", c.StringOption(99, "a"), inval, "option"},
		{"StringOption", c.StringOption(mosquitto.OptTCPNodelay, "a"), inval, "option"},
		{"StringOption", c.StringOption(mosquitto.OptTLSALPN, ""), inval, "value: empty"},
		{"VoidOption", c.VoidOption(mosquitto.OptTLSALPN, nil), inval, "option: 10"},
		{"OptsSet", c.OptsSet(mosquitto.OptReceiveMaximum, 1), inval, "option: 4"},
		{"OptsSet", c.OptsSet(mosquitto.OptProtocolVersion, "5"), inval, "value: a string"},
		{"OptsSet", c.OptsSet(mosquitto.OptProtocolVersion, 6), inval, "value"},
	}
	if !has21() {
		bad = append(bad, badCall{"IntOption", c.IntOption(mosquitto.OptTransport, 1), mosquitto.ErrNotSupported, "option: 15"})
	}
	return append(bad, badText("StringOption", "value", false, func(text string) error { return c.StringOption(mosquitto.OptBindAddress, text) })...)
}

func badTLS(t *testing.T, c *mosquitto.Client) []badCall {
	t.Helper()
	const inval = mosquitto.ErrInval
	missing := t.TempDir() + "/missing"
	set := func(ca, path, cert, key string) error { return c.TLSSet(ca, path, cert, key, nil) }
	bad := []badCall{
		{"TLSSet", set("", "", "", ""), inval, "caFile, caPath: both are empty"},
		{"TLSSet", set("/dev/null", "", "a", ""), inval, "certFile, keyFile: one is empty"},
		{"TLSSet", set("/dev/null", "", "", "a"), inval, "certFile, keyFile: one is empty"},
		{"TLSSet", set(missing, "", "", ""), inval, "caFile"},
		{"TLSSet", set("/dev/null", "", missing, "/dev/null"), inval, "certFile"},
		{"TLSSet", set("/dev/null", "", "/dev/null", missing), inval, "keyFile"},
		{"TLSOptsSet", c.TLSOptsSet(2, "", ""), inval, "verify: 2"},
		{"TLSOptsSet", c.TLSOptsSet(-1, "", ""), inval, "verify: -1"},
		{"TLSOptsSet", c.TLSOptsSet(1, "TLSv1.2", ""), inval, `version: "TLSv1.2"`},
		{"TLSOptsSet", c.TLSOptsSet(1, "sslv3", ""), inval, `version: "sslv3"`},
		{"TLSPSKSet", c.TLSPSKSet("", "a", ""), inval, "psk: empty"},
		{"TLSPSKSet", c.TLSPSKSet("0x12", "a", ""), inval, "psk: not hex"},
		{"TLSPSKSet", c.TLSPSKSet("12", "", ""), inval, "identity: empty"},
	}
	if has21() {
		bad = append(bad, badCall{"TLSOptsSet", c.TLSOptsSet(1, "tlsv1.1", ""), inval, "version: "})
	}
	for argument, call := range map[string]func(string) error{
		"caFile":   func(text string) error { return set(text, "", "", "") },
		"caPath":   func(text string) error { return set("", text, "", "") },
		"certFile": func(text string) error { return set("/dev/null", "", text, "/dev/null") },
		"keyFile":  func(text string) error { return set("/dev/null", "", "/dev/null", text) },
		"version":  func(text string) error { return c.TLSOptsSet(1, text, "") },
		"ciphers":  func(text string) error { return c.TLSOptsSet(1, "", text) },
		"psk":      func(text string) error { return c.TLSPSKSet(text, "a", "") },
		"identity": func(text string) error { return c.TLSPSKSet("00", text, "") },
	} {
		bad = append(bad, badText("TLS", argument, false, call)...)
	}
	return bad
}

// badConnects returns the invalid calls of all functions that connect.
func badConnects(c *mosquitto.Client) (bad []badCall) {
	const inval, host = mosquitto.ErrInval, "127.0.0.1"
	for what, connect := range map[string]func(host string, port int, keepalive time.Duration, bind string) error{
		"Connect":          func(h string, p int, k time.Duration, _ string) error { return c.Connect(h, p, k) },
		"ConnectAsync":     func(h string, p int, k time.Duration, _ string) error { return c.ConnectAsync(h, p, k) },
		"ConnectBind":      c.ConnectBind,
		"ConnectBindAsync": c.ConnectBindAsync,
		"ConnectBindV5": func(h string, p int, k time.Duration, bind string) error {
			return c.ConnectBindV5(h, p, k, bind, nil)
		},
		"ConnectSRV": func(h string, p int, k time.Duration, bind string) error { return c.ConnectSRV(h, k, bind) },
	} {
		bad = append(bad, badText(what, "host", false, func(text string) error { return connect(text, 1, 0, "") })...)
		bad = append(bad, badCall{what, connect("", 1, 0, ""), inval, "host: empty"})
		for _, k := range []time.Duration{-1, 1, time.Second, 5*time.Second - 1, 65536 * time.Second, math.MaxInt64, -time.Minute} {
			bad = append(bad, badCall{what, connect(host, 1, k, ""), inval, "keepalive: " + k.String()})
		}
		if what != "ConnectSRV" {
			for _, port := range []int{-1, 65536, math.MaxInt} {
				bad = append(bad, badCall{what, connect(host, port, 0, ""), inval, "port: "})
			}
		}
		if what != "Connect" && what != "ConnectAsync" {
			bad = append(bad, badText(what, "bind", false, func(text string) error { return connect(host, 1, 0, text) })...)
		}
	}
	return append(bad, badProps("ConnectBindV5", func(props mosquitto.Properties) error { return c.ConnectBindV5(host, 1, 0, "", props) })...)
}

func TestBadInput_OfClientIDsIsRefused(t *testing.T) {
	create := func(id string) error {
		c, err := mosquitto.New(id, true, nil)
		if c != nil {
			c.Close()
		}
		return err
	}
	requireRefused(t, badText("New", "clientID", true, create))
	c, e := newClient(t, "", true)
	requireRefused(t, badText("Reinitialise", "clientID", true, func(id string) error { return c.Reinitialise(id, true, nil) }))
	_, err := mosquitto.New("", false, nil)
	requireRefused(t, []badCall{
		{"New", err, mosquitto.ErrInval, "clientID: empty, which needs cleanSession"},
		{"Reinitialise", c.Reinitialise("", false, nil), mosquitto.ErrInval, "clientID: empty, which needs cleanSession"},
	})
	b := plain(t)
	leave(t, c, e, connect(t, c, e, b.Port)) // the refused calls changed nothing
	long := tooLong[:65535]
	require.NoError(t, create(long), "the longest client id")
}

// Properties need MQTT 5. A client of MQTT 3 returns ErrNotSupported.
func TestProperties_NeedMQTT5(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	props := mosquitto.Properties{{ID: mosquitto.PropUserProperty, Name: "a", Text: "b"}}
	require.ErrorIs(t, c.WillSetV5("a", nil, 0, false, props), mosquitto.ErrNotSupported)
	ended := connect(t, c, e, b.Port)
	for what, err := range map[string]error{
		"PublishV5":   second(c.PublishV5("a", nil, 0, false, props)),
		"SubscribeV5": second(c.SubscribeV5("a", 0, 0, props)), "SubscribeMultiple": second(c.SubscribeMultiple([]string{"a"}, 0, 0, props)),
		"UnsubscribeV5": second(c.UnsubscribeV5("a", props)), "UnsubscribeMultiple": second(c.UnsubscribeMultiple([]string{"a"}, props)),
		"DisconnectV5": c.DisconnectV5(0, props),
	} {
		require.ErrorIs(t, err, mosquitto.ErrNotSupported, what)
	}
	subscribe(t, c, e, "a", 1)
	leave(t, c, e, ended)
}

// Before 2.0.16 the library crashes when it copies an empty text.
func TestProperties_EmptyTextIsRefusedBefore2016(t *testing.T) {
	b := plain(t)
	c, e := newV5(t, "", true)
	empty := []mosquitto.Properties{
		{{ID: mosquitto.PropContentType}}, {{ID: mosquitto.PropUserProperty, Name: "a"}}, {{ID: mosquitto.PropUserProperty, Text: "b"}},
	}
	for _, props := range empty[1:] {
		err := c.ConnectBindV5("127.0.0.1", b.Port, keepalive, "", props)
		if atLeast(2, 0, 16) {
			require.NoError(t, err)
		} else {
			requireRefused(t, []badCall{{"ConnectBindV5", err, mosquitto.ErrInval, "properties[0]: user-property has an empty text"}})
		}
	}
	ended := connect(t, c, e, b.Port)
	for _, props := range empty {
		_, err := c.PublishV5("a", nil, 0, false, props)
		require.NoError(t, err, "QoS 0 is not copied")
		wait.For(t, e.publish, "OnPublish")
		_, err = c.PublishV5("a", nil, 1, false, props)
		if atLeast(2, 0, 16) {
			require.NoError(t, err)
			wait.For(t, e.publish, "OnPublish")
		} else {
			requireRefused(t, []badCall{{"PublishV5", err, mosquitto.ErrInval, "properties[0]: "}})
		}
	}
	leave(t, c, e, ended)
}

func TestBadInput_OfSimpleOptionsIsRefused(t *testing.T) {
	good := mosquitto.SimpleOptions{Host: "127.0.0.1", Port: 1, CleanSession: true}
	with := func(change func(*mosquitto.SimpleOptions)) mosquitto.SimpleOptions {
		o := good
		change(&o)
		return o
	}
	simple := func(o mosquitto.SimpleOptions, count int) error {
		_, err := mosquitto.SubscribeSimple(context.Background(), o, "a", 0, count, true)
		return err
	}
	const inval = mosquitto.ErrInval
	requireRefused(t, []badCall{
		{"count", simple(good, 0), inval, "count: 0"},
		{"count", simple(good, -1), inval, "count: -1"},
		{"Host", simple(with(func(o *mosquitto.SimpleOptions) { o.Host = "" }), 1), inval, "host: empty"},
		{"Port", simple(with(func(o *mosquitto.SimpleOptions) { o.Port = 65536 }), 1), inval, "port: 65536"},
		{"Keepalive", simple(with(func(o *mosquitto.SimpleOptions) { o.Keepalive = 1 }), 1), inval, "keepalive: 1ns"},
		{"ClientID", simple(with(func(o *mosquitto.SimpleOptions) { o.CleanSession = false }), 1), inval, "clientID: empty"},
		{"Username", simple(with(func(o *mosquitto.SimpleOptions) { o.Username = "\x00" }), 1), inval, "username: "},
		{"Will", simple(with(func(o *mosquitto.SimpleOptions) { o.Will = &mosquitto.Will{Topic: "#"} }), 1), inval, "topic: "},
		{"TLS", simple(with(func(o *mosquitto.SimpleOptions) { o.TLS = &mosquitto.TLS{PSK: "00"} }), 1), inval, "TLS.PSK, TLS.PSKIdentity: "},
	})
}
