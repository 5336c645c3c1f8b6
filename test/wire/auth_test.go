package wire

import (
	"errors"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// authenticate sets OnExtAuth. The callback answers each challenge, except "no". Before
// 2.1 the library has no such callback.
func authenticate(c *mosquitto.Client) {
	_ = c.OnExtAuth(func(c *mosquitto.Client, method string, data []byte, _ mosquitto.Properties) error {
		if string(data) == "no" {
			return errors.New("no")
		}
		return c.ExtAuthContinue(method, append([]byte("re:"), data...), nil)
	})
}

var methodProps = mosquitto.Properties{
	{ID: mosquitto.PropAuthenticationMethod, Text: "M"}, {ID: mosquitto.PropAuthenticationData, Data: []byte("hi")},
}

// challenge returns an AUTH packet of the client or the broker.
func challenge(code byte, data string, more ...fakebroker.Property) []byte {
	return fakebroker.Auth(code, append([]fakebroker.Property{fakebroker.AuthMethod("M"), fakebroker.AuthData(data)}, more...)...)
}

var (
	authInConnect = row{"4.12", "a challenge before CONNACK", nil,
		"> F0 0E 18 0C 15 00 01 4D 16 00 05 72 65 3A 79 6F", byVersion{"", "", "> F0 0E 18 0C 15 00 01 4D 16 00 05 72 65 3A 79 6F"}}
	authAfter = row{"4.12.1", "a challenge after CONNACK", nil,
		"> F0 0E 18 0C 15 00 01 4D 16 00 05 72 65 3A 79 6F", byVersion{"", "", "> F0 0E 18 0C 15 00 01 4D 16 00 05 72 65 3A 79 6F"}}
	authRefused = row{"4.12", "a challenge that OnExtAuth refuses", nil,
		closed, byVersion{"", "", "closed: auth, the loop ends"}}
)

// Extended authentication needs 2.1. Earlier versions ignore AUTH.
func TestExtendedAuthentication_AnswersChallenges(t *testing.T) {
	t.Parallel()
	connectWith := setup{props: methodProps, prepare: authenticate}
	const connect = "10 < 'MQTT' 05 02 00 3C < 15 'M' 16 'hi' 21 00 14 > 'id' >"
	t.Run("5 "+authInConnect.clause+" "+authInConnect.name, func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, connectWith)
		x.Expect(connect)
		for range 2 {
			x.Send(challenge(0x18, "yo"))
			if has21() {
				x.Expect(challenge(0x18, "re:yo"))
			}
		}
		x.Send(x.v.Connack(false, 0, fakebroker.AuthMethod("M"), fakebroker.AuthData("ok")))
		x.expectEvents("connected {authentication-method:M authentication-data:ok}")
		x.expectNothing()
		x.end()
	})
	for _, test := range []struct {
		row
		data string
	}{{authAfter, "yo"}, {authRefused, "no"}} {
		t.Run("5 "+test.clause+" "+test.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, fakebroker.V5, connectWith)
			x.Expect(connect)
			x.accept(false)
			require.Equal(t, test.actual.current(), x.outcome(challenge(0x18, test.data)))
			x.end()
		})
	}
	t.Run("5 4.12 refused in CONNACK", func(t *testing.T) {
		t.Parallel()
		x := dial(t, fakebroker.V5, connectWith)
		x.Expect(connect)
		x.Send(x.v.Connack(false, 0x8C))
		x.expectEvents("refused 0x8C", "disconnected: protocol")
		require.ErrorIs(t, <-x.ended, mosquitto.ConnackError{Code: 0x8C}) // Run does not retry after this reason code
	})
}
