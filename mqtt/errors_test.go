//go:build cgo

package mqtt_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// refused calls Dial, which must fail, and returns its error.
func refused(t *testing.T, server string, options ...mqtt.Option) *mqtt.ConnectError {
	t.Helper()
	_, err := mqtt.Dial(wait.Soon(t), []string{server}, options...)
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	return failure
}

func TestErrors_NetworkErrorHasErrno(t *testing.T) {
	t.Parallel()
	port := broker.FreePort(t)
	require.ErrorIs(t, refused(t, url(port)), syscall.ECONNREFUSED)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := mqtt.Dial(ctx, []string{url(port)}, fast(), mqtt.WithConnectRetry(), mqtt.WithStateHandler(func(*mqtt.Client, mqtt.StateChange) { cancel() }))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "what it was at when the time was over")
	noSocket := refused(t, "unix:"+filepath.Join(t.TempDir(), "none"))
	if major, minor, _ := mosquitto.LibVersion(); major == 2 && minor == 0 { // libmosquitto 2.1 loses errno
		require.ErrorIs(t, noSocket, syscall.ENOENT)
	}
	require.ErrorIs(t, noSocket, mosquitto.ErrErrno)
	p := fakebroker.Listen(t)
	hungUp := inBackground(func() error {
		conn, err := p.TryAccept()
		if err == nil {
			conn.Close()
		}
		return err
	})
	require.ErrorIs(t, refused(t, url(p.Port)), mosquitto.ErrConnLost)
	require.NoError(t, wait.For(t, hungUp, "the fake broker"))
}

func TestErrors_RefusalHasTheCodeOfTheBroker(t *testing.T) {
	t.Parallel()
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "secret"}})
	for version, want := range map[mqtt.Protocol]mosquitto.ConnackCode{
		mqtt.V31: mosquitto.ConnackRefusedNotAuthorized, mqtt.V311: mosquitto.ConnackRefusedNotAuthorized,
		mqtt.V5: mosquitto.ConnackCode(mosquitto.RCNotAuthorized),
	} {
		// The refusal is permanent: Dial returns before its context ends.
		_, err := mqtt.Dial(wait.Soon(t), []string{url(b.Port)}, mqtt.WithProtocol(version), mqtt.WithCredentials("user", "wrong"))
		var refusal mosquitto.ConnackError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, want, refusal.Code)
		require.NotContains(t, err.Error(), "wrong")
	}
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtt://user:wrong@127.0.0.1:" + url(b.Port)[len("mqtt://127.0.0.1:"):]})
	require.ErrorContains(t, err, url(b.Port))
	require.NotContains(t, err.Error(), "wrong@")
	dial(t, b.Port, mqtt.WithCredentials("user", "secret"))
}

func TestErrors_TLSErrorHasTheTextOfOpenSSL(t *testing.T) {
	t.Parallel()
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "another")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	elsewhere := broker.Start(t, broker.Config{TLS: ca.Issue("elsewhere", "broker.test")})
	wrongCA := refused(t, secure(b.Port), mqtt.WithTLS(mqtt.TLS{CAFile: other.File}))
	require.Contains(t, wrongCA.Detail, "certificate verify failed")
	require.ErrorContains(t, wrongCA, "certificate verify failed")
	require.ErrorContains(t, wrongCA, "broker's certificate: unable to get local issuer certificate")
	wrongName := refused(t, secure(elsewhere.Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	require.ErrorContains(t, wrongName, "broker's certificate: IP address mismatch")
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: other.File}))
	require.ErrorContains(t, err, "certificate verify failed", "Dial must not retry after a permanent error")
	noTLS := refused(t, secure(plain(t).Port), mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	require.Error(t, noTLS)
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
}

// Only MQTT 5 has reason codes for publishing.
func TestErrors_AccessListHasAReasonCode(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "acl")
	require.NoError(t, os.WriteFile(list, []byte("topic readwrite ours/#\n"), 0o600))
	b := broker.Start(t, broker.Config{Extra: "acl_file " + list})
	c := dial(t, b.Port, mqtt.WithProtocol(mqtt.V5))
	require.NoError(t, c.Publish(wait.Soon(t), "ours/a", nil))
	for _, qos := range []mqtt.QoS{1, 2} {
		var refusal *mqtt.PublishError
		require.ErrorAs(t, c.Publish(wait.Soon(t), "theirs/a", nil, mqtt.WithQoS(qos)), &refusal)
		require.Equal(t, "theirs/a", refusal.Topic)
		require.Equal(t, mosquitto.RCNotAuthorized, refusal.Code)
	}
}

// The handler of the filter is removed.
func TestErrors_RefusedSubscriptionNamesFilterAndCode(t *testing.T) {
	t.Parallel()
	for version, codes := range map[mqtt.Protocol][]byte{mqtt.V311: {0x80}, mqtt.V5: {0x80, 0x87, 0x97, 0x9E, 0xA1}} {
		p := fakebroker.Listen(t)
		c, conn := dialScriptedBroker(t, p, mqtt.WithProtocol(version))
		wire := fakebroker.V311
		if version == mqtt.V5 {
			wire = fakebroker.V5
		}
		for _, code := range codes {
			ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 1, ignore) })
			conn.Send(wire.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{code}))
			err := wait.For(t, ended, "Subscribe")
			var refusal *mqtt.SubscribeError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, &mqtt.SubscribeError{Filter: "a", Code: mosquitto.ReasonCode(code)}, refusal)
			require.ErrorIs(t, err, mosquitto.ReasonError{Code: mosquitto.ReasonCode(code)})
		}
		conn.Send(wire.Publish(0, "a", 0, ""))
		wait.Until(t, "the message", func() bool { return c.Stats().Unhandled == 1 })
	}
}

func TestErrors_GrantedFiltersOfACallStay(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	h, got := collect()
	ended := inBackground(func() error {
		return c.SubscribeMultiple(wait.Soon(t), mqtt.Subscription{Filter: "a", QoS: 1, Handler: h},
			mqtt.Subscription{Filter: "b", QoS: 1, Handler: h}, mqtt.Subscription{Filter: "c", QoS: 1, Handler: h})
	})
	conn.Send(fakebroker.V311.Suback(conn.Expect(fakebroker.SUBSCRIBE).MID(), []byte{1, 0x80, 1}))
	err := wait.For(t, ended, "SubscribeMultiple")
	var refusal *mqtt.SubscribeError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "b", refusal.Filter)
	for _, topic := range []string{"a", "b", "c"} {
		conn.Send(fakebroker.V311.Publish(0, topic, 0, ""))
	}
	require.Equal(t, "a", wait.For(t, got, "a message").Topic)
	require.Equal(t, "c", wait.For(t, got, "a message").Topic)
	conn.Close()
	conn = p.AcceptConnect()
	require.Equal(t, fakebroker.Hex("'a' 01 'c' 01"), conn.Expect(fakebroker.SUBSCRIBE).Body[2:], "the refused one is not wanted any more")
}

func TestErrors_LowerQoSIsReported(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	var log logBuffer
	c, conn := dialScriptedBroker(t, p, mqtt.WithLogger(log.logger(slog.LevelInfo)))
	granted := mqtt.QoS(9)
	ended := inBackground(func() error { return c.Subscribe(wait.Soon(t), "a", 2, ignore, mqtt.WithGrantedQoS(&granted)) })
	acknowledgeSubscribe(conn, 1)
	require.NoError(t, wait.For(t, ended, "Subscribe"))
	require.EqualValues(t, 1, granted)
	wait.Until(t, "the log", func() bool {
		return containsAll(log.String(), "granted with a lower QoS", "filter=a", "wanted=2", "granted=1")
	})
}
