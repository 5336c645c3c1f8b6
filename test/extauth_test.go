package test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// challenge returns an AUTH packet. Client and broker send the same format.
func challenge(method, data string, more ...byte) []byte {
	const continueAuthentication, methodID, dataID = 0x18, 0x15, 0x16
	props := append([]byte{methodID, 0, byte(len(method))}, method...)
	props = append(append(props, dataID, 0, byte(len(data))), data...)
	props = append(props, more...)
	return fakebroker.Bytes(fakebroker.AUTH, append([]byte{continueAuthentication, byte(len(props))}, props...)...)
}

// authenticating connects an MQTT 5 client to a fake broker, which has received its
// CONNECT.
func authenticating(t testing.TB, c *mosquitto.Client) (conn *fakebroker.Conn, ended <-chan error) {
	t.Helper()
	p := fakebroker.Listen(t)
	var props mosquitto.Properties
	require.NoError(t, props.AddString(mosquitto.PropAuthenticationMethod, "METHOD"))
	require.NoError(t, c.ConnectBindV5("127.0.0.1", p.Port, keepalive, "", props))
	ended = loop(t, c)
	conn = p.Accept()
	require.Contains(t, string(rawConnectProperties(conn.Expect(fakebroker.CONNECT))), "METHOD")
	return conn, ended
}

func TestExtAuth_EachChallengeIsAnswered(t *testing.T) {
	c, e := newV5(t, "a", true)
	type step struct {
		client *mosquitto.Client
		method string
		data   string
		user   string
	}
	steps := make(chan step, 10)
	failed := make(chan error, 10)
	err := c.OnExtAuth(func(c *mosquitto.Client, method string, data []byte, props mosquitto.Properties) error {
		user, _ := props.UserProperty("k")
		steps <- step{c, method, string(data), user}
		err := c.ExtAuthContinue(method, append([]byte("answer to "), data...), nil)
		failed <- err
		return err
	})
	if !has21() {
		require.ErrorIs(t, err, mosquitto.ErrNotSupported)
		require.ErrorIs(t, c.ExtAuthContinue("METHOD", nil, nil), mosquitto.ErrNotSupported)
		return
	}
	require.NoError(t, err)
	conn, _ := authenticating(t, c)
	user := []byte{0x26, 0, 1, 'k', 0, 1, 'v'}
	for i := range 3 {
		data := fmt.Sprint("challenge ", i)
		conn.Send(challenge("METHOD", data, user...))
		require.Equal(t, step{c, "METHOD", data, "v"}, wait.For(t, steps, "OnExtAuth"))
		require.NoError(t, wait.For(t, failed, "ExtAuthContinue"))
		answer := conn.Expect(fakebroker.AUTH)
		require.Equal(t, challenge("METHOD", "answer to "+data), fakebroker.Bytes(answer.First, answer.Body...))
	}
	wait.None(t, e.connect, "OnConnect")
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

// An error of OnExtAuth ends the connection and the loop.
func TestExtAuth_ErrorOfTheCallbackEndsTheLoop(t *testing.T) {
	if !has21() { // libmosquitto 2.0 ignores AUTH
		c, e := newV5(t, "a", true)
		conn, _ := authenticating(t, c)
		conn.Send(challenge("METHOD", "data"))
		conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		return
	}
	for name, test := range map[string]struct {
		err  error
		want mosquitto.Error
	}{
		"any error":                         {errors.New("no"), mosquitto.ErrAuth},
		"ErrAuth":                           {mosquitto.ErrAuth, mosquitto.ErrAuth},
		"wrapped code":                      {fmt.Errorf("no: %w", mosquitto.ErrACLDenied), mosquitto.ErrACLDenied},
		"no callback":                       {nil, mosquitto.ErrAuth},
		"code that is not an error of AUTH": {mosquitto.ErrNoSubscribers, mosquitto.ErrAuth},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newV5(t, "a", true)
			if test.err != nil {
				require.NoError(t, c.OnExtAuth(func(*mosquitto.Client, string, []byte, mosquitto.Properties) error { return test.err }))
			}
			conn, ended := authenticating(t, c)
			conn.Send(challenge("METHOD", "data"))
			require.ErrorIs(t, wait.For(t, ended, "the end of LoopForever"), test.want)
			require.ErrorIs(t, wait.For(t, e.disconnect, "OnDisconnect").Err, test.want)
			wait.None(t, e.connect, "OnConnect")
		})
	}
}

func TestExtAuthContinue_BadArgumentsReturnErrors(t *testing.T) {
	v5, _ := newV5(t, "a", true)
	require.ErrorIs(t, v5.ExtAuthContinue("", nil, nil), mosquitto.ErrInval)
	require.ErrorIs(t, v5.ExtAuthContinue("a\x00", nil, nil), mosquitto.ErrInval)
	require.ErrorIs(t, v5.ExtAuthContinue("a", make([]byte, 65536), nil), mosquitto.ErrInval)
	if has21() {
		v311, _ := newClient(t, "", true)
		require.ErrorIs(t, v311.ExtAuthContinue("METHOD", nil, nil), mosquitto.ErrProtocol)
	}
}
