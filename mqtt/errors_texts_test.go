//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// requireOneLine requires an error text of one line, without names that only this package
// knows.
func requireOneLine(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for _, part := range []string{"\n", "libmosquitto", "error 19", "/proc/self/fd", "client is closed"} {
		require.NotContains(t, err.Error(), part)
	}
	require.True(t, strings.HasPrefix(err.Error(), "mqtt: "), err.Error())
	require.Equal(t, 1, strings.Count(err.Error(), "mqtt: "), err.Error())
}

// requireConnectError requires the error text of a failed attempt to connect.
func requireConnectError(t *testing.T, err error, server string) {
	t.Helper()
	requireOneLine(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "mqtt: connect "+server+": "), err.Error())
	require.Equal(t, 1, strings.Count(err.Error(), server), err.Error())
	require.NotEqual(t, "mqtt: connect "+server+": ", err.Error())
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, server, failure.Server)
}

// refusesClients returns a script that replies to CONNECT with a reason code, and with a
// reason string if the client uses MQTT 5.
func refusesClients(code byte, reason string) script {
	return func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT {
			c.write(c.version.Connack(false, code, fakebroker.ReasonString(reason)))
			c.Close()
		}
		return true
	}
}

// failingServer is a server that a client cannot connect to.
type failingServer struct {
	name    string
	server  string
	says    string // a part of the error's text
	options []mqtt.Option
}

// failingServers starts a server of each kind.
func failingServers(t *testing.T) []failingServer {
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "another authority")
	trusted := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	elsewhere := broker.Start(t, broker.Config{TLS: ca.Issue("elsewhere", "broker.test")})
	silent := startFakeBroker(t, func(*brokerConn, packet) bool { return true })
	closes := startFakeBroker(t, func(c *brokerConn, _ packet) bool {
		c.Close()
		return true
	})
	tls := func(file string) []mqtt.Option { return []mqtt.Option{mqtt.WithTLS(mqtt.TLS{CAFile: file})} }
	soon := mqtt.WithConnectTimeout(time.Second)
	return []failingServer{
		{"no server listens on this port", url(broker.FreePort(t)), "connection refused", nil},
		{"no socket", "unix:" + filepath.Join(t.TempDir(), "none"), "", nil},
		{"no such name", "mqtt://name.invalid:1883", "name.invalid", []mqtt.Option{soon}},
		{"silent", url(silent.port), "connect timeout", []mqtt.Option{mqtt.WithConnectTimeout(200 * time.Millisecond)}},
		{"closes", url(closes.port), "", nil},
		{"wrong password", url(startFakeBroker(t, refusesClients(4, "")).port), "", nil},
		{"wrong password, MQTT 5", url(startFakeBroker(t, refusesClients(byte(mosquitto.RCBadUsernameOrPassword), "")).port), "", []mqtt.Option{mqtt.WithProtocol(mqtt.V5)}},
		{"server unavailable", url(startFakeBroker(t, refusesClients(3, "")).port), "", nil},
		{"unknown authority", secure(trusted.Port), "certificate verify failed", tls(other.File)},
		{"another host", secure(elsewhere.Port), "certificate", tls(ca.File)},
		{"no TLS", secure(plain(t).Port), "", tls(ca.File)},
		{"TLS, and the client has none", url(trusted.Port), "", nil},
	}
}

// Dial fails with one line that names the server and the cause: after one round, and
// when its context ends.
func TestErrorTexts_DialNamesTheServerAndTheCause(t *testing.T) {
	t.Parallel()
	for _, x := range failingServers(t) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			server := x.server
			_, err := mqtt.Dial(wait.Soon(t), []string{server}, x.options...)
			requireFailure(t, err, x)

			option, changes := watchStates()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			dialled := inBackground(func() error {
				_, err := mqtt.Dial(ctx, []string{server}, append(x.options, option, fast(), mqtt.WithConnectRetry())...)
				return err
			})
			awaitFailedAttempt(t, changes)
			cancel()
			requireFailure(t, wait.For(t, dialled, "Dial"), x)
		})
	}
}

// awaitFailedAttempt waits for the first attempt that failed.
func awaitFailedAttempt(t *testing.T, changes <-chan mqtt.StateChange) {
	t.Helper()
	for {
		switch change := wait.For(t, changes, "a failed attempt"); change.State {
		case mqtt.StateConnecting, mqtt.StateClosed:
			return
		}
	}
}

func requireFailure(t *testing.T, err error, x failingServer) {
	t.Helper()
	requireConnectError(t, err, x.server)
	require.Contains(t, err.Error(), x.says)
	if strings.HasPrefix(x.server, "mqtts:") { // a server accepts the TCP connection: errno of an earlier attempt must not appear
		require.NotContains(t, err.Error(), "connection refused")
	}
}

// An error about a certificate from memory names the field of TLS, not a file.
func TestErrorTexts_BadPEMNamesItsField(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	bad := []byte("no PEM")
	cert := ca.IssueForClient("client")
	for field, settings := range map[string]mqtt.TLS{
		"CA":   {CA: bad},
		"Cert": {CAFile: ca.File, Cert: bad, KeyFile: cert.KeyFile},
		"Key":  {CAFile: ca.File, CertFile: cert.CertFile, Key: bad},
	} {
		for _, name := range []string{"", "127.0.0.1"} {
			settings.ServerName = name
			_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, mqtt.WithTLS(settings))
			requireOneLine(t, err)
			require.Contains(t, err.Error(), field)
		}
	}
}

// The reason string of CONNACK is in the error of Dial.
func TestErrorTexts_ReasonStringOfConnack(t *testing.T) {
	t.Parallel()
	const reason = "the token has expired"
	b := startFakeBroker(t, refusesClients(byte(mosquitto.RCNotAuthorized), reason))
	_, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithProtocol(mqtt.V5))
	requireConnectError(t, err, url(b.port))
	var failure *mqtt.ConnectError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, reason, failure.Text)
	require.ErrorContains(t, err, reason)
	var refusal mosquitto.ConnackError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, mosquitto.ConnackCode(mosquitto.RCNotAuthorized), refusal.Code)
}

// The reason string of a temporary refusal is in the state change. It is also in the error of
// Dial when its context ends.
func TestErrorTexts_ReasonStringOfATemporaryRefusal(t *testing.T) {
	t.Parallel()
	const reason = "back in a minute"
	b := startFakeBroker(t, refusesClients(byte(mosquitto.RCServerBusy), reason))
	option, changes := watchStates()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dialled := inBackground(func() error {
		_, err := mqtt.Dial(ctx, []string{url(b.port)}, mqtt.WithProtocol(mqtt.V5), option, fast(), mqtt.WithConnectRetry())
		return err
	})
	var failure *mqtt.ConnectError
	require.ErrorAs(t, awaitFailure(t, changes).Err, &failure)
	require.Equal(t, reason, failure.Text)
	cancel()
	err := wait.For(t, dialled, "Dial")
	requireConnectError(t, err, url(b.port))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, reason)
}

// The reason string of SUBACK is in the error of Subscribe.
func TestErrorTexts_ReasonStringOfSuback(t *testing.T) {
	t.Parallel()
	const reason = "not for you"
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.SUBSCRIBE {
			return false
		}
		c.write(c.version.Suback(p.MID(), []byte{byte(mosquitto.RCNotAuthorized)}, fakebroker.ReasonString(reason)))
		return true
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	err := c.Subscribe(wait.Soon(t), "a", 1, ignore)
	requireOneLine(t, err)
	var refused *mqtt.SubscribeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, mqtt.SubscribeError{Filter: "a", Code: mosquitto.RCNotAuthorized, Text: reason}, *refused)
	require.ErrorContains(t, err, reason)
}

// The text of an error that wraps several errors is one line too.
func TestErrorTexts_ErrorsWithSeveralCausesAreOneLine(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.SUBSCRIBE {
			codes := make([]byte, len(p.filters()))
			for i := range codes {
				codes[i] = byte(mosquitto.RCUnspecified)
			}
			c.write(c.version.Suback(p.MID(), codes))
			return true
		}
		return p.Type() == fakebroker.PUBLISH
	})
	c := dial(t, b.port)
	ctx, cancel := context.WithCancel(context.Background())
	abandoned := inBackground(func() error { return c.Publish(ctx, "a", nil) })
	wait.Until(t, "the message", func() bool { return len(b.published("a")) == 1 })
	cancel()
	err := wait.For(t, abandoned, "Publish")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, mqtt.ErrAbandoned)
	require.NotContains(t, err.Error(), "\n")

	var subscriptions []mqtt.Subscription
	for n := range 3 {
		subscriptions = append(subscriptions, mqtt.Subscription{Filter: fmt.Sprint("filters/", n), QoS: 1, Handler: ignore})
	}
	err = c.SubscribeMultiple(wait.Soon(t), subscriptions...)
	require.NotContains(t, err.Error(), "\n")
	for _, s := range subscriptions {
		require.ErrorContains(t, err, s.Filter)
	}
}

// After a permanent refusal Client.Err returns the reason in one line.
func TestErrorTexts_EndOfTheClientIsOneLine(t *testing.T) {
	t.Parallel()
	const reason = "the token has expired"
	b := startFakeBroker(t, refusesClients(byte(mosquitto.RCNotAuthorized), reason))
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), mqtt.WithBackgroundConnect())
	wait.For(t, c.Done(), "the end of the client")
	for _, err := range []error{c.Err(), c.Publish(wait.Soon(t), "a", nil)} {
		require.ErrorIs(t, err, mqtt.ErrClosed)
		require.ErrorContains(t, err, reason)
		require.NotContains(t, err.Error(), "\n")
	}
}
