//go:build cgo

package mqtt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/secrets"
	"github.com/mosquitto-go/mosquitto/internal/socks5"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// watchSecrets returns a watch for the secrets of package secrets and of the test. The test
// fails at its end if the watch found a secret.
func watchSecrets(t testing.TB, more map[string]string) *secrets.Watch {
	t.Helper()
	all := map[string]string{
		"password": secrets.Password, "PSK": secrets.PSK, "key's password": secrets.KeyPassword, "payload": secrets.Payload, "will": secrets.Will,
		"correlation data": secrets.Correlation, "authentication data": secrets.Auth, "proxy's password": secrets.Proxy,
	}
	maps.Copy(all, more)
	w := secrets.New(t, all)
	t.Cleanup(func() { require.Empty(t, w.Found()) })
	return w
}

// watchOptions returns options that pass the client's log, states and hooks to the watch.
func watchOptions(w *secrets.Watch) []mqtt.Option {
	return []mqtt.Option{
		fast(),
		mqtt.WithLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) { w.Value("StateChange", s) }),
		mqtt.WithHooks(mqtt.Hooks{
			Publish: func(_ context.Context, p *mqtt.Publication) func(error) {
				w.Value("Publication", *p)
				return func(err error) { w.Value("outcome", fmt.Sprintf("%+v", err)) }
			},
			Receive: func(ctx context.Context, m *mqtt.Message) (context.Context, func()) {
				w.Logged("Message", *m)
				return ctx, nil
			},
			SubscriptionLost: func(err *mqtt.SubscribeError) { w.Value("SubscribeError", *err) },
		}),
	}
}

// dialWatched connects a client with watchOptions.
func dialWatched(t *testing.T, w *secrets.Watch, server string, options ...mqtt.Option) (*mqtt.Client, error) {
	t.Helper()
	c, err := mqtt.Dial(wait.Soon(t), []string{server}, append(watchOptions(w), options...)...)
	if err == nil {
		t.Cleanup(func() { closeNow(t, c) })
	}
	return c, err
}

// body returns a part of a PEM text that occurs in no other key.
func body(t *testing.T, text []byte) string {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if !strings.ContainsAny(line, "-:,") && len(line) == 65 {
			return line[24:64]
		}
	}
	require.FailNow(t, "no PEM", "%s", text)
	return ""
}

// secretTLS returns TLS settings with a broker's CA and a client certificate with an encrypted
// key.
func secretTLS(t *testing.T, ca *broker.CA) mqtt.TLS {
	own := ca.Issue("client")
	return mqtt.TLS{
		CA: pem(t, ca.File), Cert: pem(t, own.CertFile), Key: pem(t, ca.Encrypt(own.KeyFile, secrets.KeyPassword)),
		KeyPassword: func() (string, error) { return secrets.KeyPassword, nil },
	}
}

// Formatted values contain no secret, in case a program prints them by accident.
func TestSecrets_AreNotInFormattedValues(t *testing.T) {
	t.Parallel()
	settings := secretTLS(t, broker.NewCA(t, "authority"))
	plainKey := broker.NewCA(t, "another")
	pair, err := tls.LoadX509KeyPair(plainKey.File, plainKey.KeyFile)
	require.NoError(t, err)
	w := watchSecrets(t, map[string]string{
		"key": body(t, settings.Key), "plain key": body(t, pem(t, plainKey.KeyFile)), "number of the key": pair.PrivateKey.(*ecdsa.PrivateKey).D.String(),
	})
	props := mqtt.Properties{{ID: mosquitto.PropCorrelationData, Data: []byte(secrets.Correlation)}}
	will := mqtt.Will{Topic: "will", Payload: []byte(secrets.Will), Properties: props}
	message := mqtt.Publication{Topic: "a/b", Payload: []byte(secrets.Payload), QoS: 1, Properties: props, Protocol: mqtt.V5}
	for name, value := range map[string]any{
		"TLS": settings, "TLS with a certificate": mqtt.TLS{Certificate: &pair}, "TLS with a plain key": mqtt.TLS{Key: pem(t, plainKey.KeyFile)}, "TLS with a PSK": mqtt.TLS{PSK: secrets.PSK, PSKIdentity: "device"},
		"Will": will, "Publication": message, "Properties": props,
		"WithTLS": mqtt.WithTLS(settings), "WithCredentials": mqtt.WithCredentials("user", secrets.Password), "WithWill": mqtt.WithWill(will),
		"CorrelationData": mqtt.WithCorrelationData([]byte(secrets.Correlation)), "WithProxy": mqtt.WithProxy("proxy", 1080, "user", secrets.Proxy),
		"HandlerMode": mqtt.Worker(1, mqtt.Block), "Subscription": mqtt.Subscription{Filter: "a"}, "ConnectError": mqtt.ConnectError{Err: mqtt.ErrConnectTimeout},
	} {
		w.Value(name, value)
	}
	w.Logged("Message", mqtt.Message{Payload: []byte(secrets.Payload), Properties: props})
	require.Equal(t, `{Topic:"a/b" Payload:(23 bytes) QoS:1 Retain:false Properties:[correlation-data:(22 bytes)] Protocol:`+mqtt.V5.String()+`}`, fmt.Sprintf("%#v", message))
	require.Contains(t, fmt.Sprint(mqtt.TLS{PSK: secrets.PSK, PSKIdentity: "device"}), `PSK:(hidden) PSKIdentity:"device"`)
	require.Contains(t, fmt.Sprint(mqtt.TLS{CAFile: "ca.pem"}), `CAFile:"ca.pem"`)

	p := fakebroker.Listen(t)
	c, err := dialWatched(t, w, fmt.Sprintf("mqtt://user:%s@127.0.0.1:%d", secrets.Password, p.Port),
		mqtt.WithProtocol(mqtt.V5), mqtt.WithWill(will), mqtt.WithBackgroundConnect())
	require.NoError(t, err)
	token := c.PublishAsync(wait.Soon(t), "a/b", []byte(secrets.Payload), mqtt.WithCorrelationData([]byte(secrets.Correlation)))
	w.Value("Client", c)
	w.Value("Token", token)
	w.Value("Stats", c.Stats())
	require.Equal(t, fmt.Sprintf("mqtt.Client{mqtt://127.0.0.1:%d}", p.Port), fmt.Sprintf("%+v", c))
	require.Equal(t, `mqtt.Token{Topic:"a/b" QoS:1}`, fmt.Sprintf("%#v", token))
}

// Errors do not quote arguments that may contain secrets.
func TestSecrets_AreNotInErrorsOfBadArguments(t *testing.T) {
	t.Parallel()
	w := watchSecrets(t, nil)
	b := plain(t)
	ca := broker.NewCA(t, "authority")
	settings := secretTLS(t, ca)
	refusal := func(server string, options ...mqtt.Option) error {
		_, err := dialWatched(t, w, server, options...)
		return err
	}
	garbage := []byte("-----BEGIN PRIVATE KEY-----\n" + secrets.Payload + "\n-----END PRIVATE KEY-----\n")
	tls := func(t mqtt.TLS) error { return refusal(secure(b.Port), mqtt.WithTLS(t)) }
	long := []byte(strings.Repeat(secrets.Will, 10_000))
	binary := func(id mosquitto.PropertyID, data string) mqtt.Properties {
		return mqtt.Properties{{ID: id, Data: []byte(data)}}
	}
	for name, err := range map[string]error{
		"NUL in a password":        refusal(url(b.Port), mqtt.WithCredentials("user", secrets.Password+"\x00")),
		"NUL in a username":        refusal(url(b.Port), mqtt.WithCredentials("user\x00", secrets.Password)),
		"bad UTF-8 in a password":  refusal(url(b.Port), mqtt.WithCredentials("user", secrets.Password+"\xff")),
		"password alone":           refusal(url(b.Port), mqtt.WithCredentials("", secrets.Password)),
		"URL with a bad port":      refusal("mqtt://user:" + secrets.Password + "@host:99999"),
		"URL with a bad host":      refusal("mqtt://user:" + secrets.Password + "@ho st"),
		"URL with a bad scheme":    refusal("http://user:" + secrets.Password + "@host"),
		"URL with a path":          refusal("mqtt://user:" + secrets.Password + "@host/path"),
		"URL with a query":         refusal("mqtt://user:" + secrets.Password + "@host?query"),
		"URL with a bare /":        refusal("mqtt://user:12/" + secrets.Password + "@host"),
		"websocket with a bare /":  refusal("ws://user:12/" + secrets.Password + "@host"),
		"URL with a bare ?":        refusal("mqtt://user:12?" + secrets.Password + "@host"),
		"URL with a bare %":        refusal("mqtt://user:%zz" + secrets.Password + "@host"),
		"no URL, no host":          refusal("user:" + secrets.Password + "@"),
		"two servers":              second(mqtt.Dial(wait.Soon(t), []string{url(b.Port), "mqtts://user:" + secrets.Password + "@host"}, watchOptions(w)...)),
		"PSK with NUL":             tls(mqtt.TLS{PSK: secrets.PSK + "\x00", PSKIdentity: "device"}),
		"PSK not of hex digits":    tls(mqtt.TLS{PSK: secrets.PSK + "xyz", PSKIdentity: "device"}),
		"long PSK":                 tls(mqtt.TLS{PSK: strings.Repeat(secrets.PSK, 100), PSKIdentity: "device"}),
		"PSK without identity":     tls(mqtt.TLS{PSK: secrets.PSK}),
		"PSK and certificates":     tls(mqtt.TLS{PSK: secrets.PSK, PSKIdentity: "device", CAFile: ca.File}),
		"PSK and a server name":    tls(mqtt.TLS{PSK: secrets.PSK, PSKIdentity: "device", ServerName: "broker.internal"}),
		"key that is none":         tls(mqtt.TLS{CA: settings.CA, Cert: settings.Cert, Key: garbage}),
		"key, server name":         tls(mqtt.TLS{ServerName: "broker.internal", CA: settings.CA, Cert: settings.Cert, Key: garbage}),
		"key in the place of a CA": tls(mqtt.TLS{CA: garbage}),
		"key without certificate":  tls(mqtt.TLS{CA: settings.CA, Key: garbage}),
		"NUL in the key's password": tls(mqtt.TLS{ServerName: "broker.internal", CA: settings.CA, Cert: settings.Cert, Key: settings.Key,
			KeyPassword: func() (string, error) { return secrets.KeyPassword + "\x00", nil }}),
		"wrong password of the key": tls(mqtt.TLS{CA: settings.CA, Cert: settings.Cert, Key: settings.Key,
			KeyPassword: func() (string, error) { return secrets.KeyPassword + "!", nil }}),
		"wrong password, server name": tls(mqtt.TLS{ServerName: "broker.internal", CA: settings.CA, Cert: settings.Cert, Key: settings.Key,
			KeyPassword: func() (string, error) { return secrets.KeyPassword + "!", nil }}),
		"TLS to a plain broker":  tls(settings),
		"plain URL with TLS":     refusal(url(b.Port), mqtt.WithTLS(settings)),
		"long will":              refusal(url(b.Port), mqtt.WithWill(mqtt.Will{Topic: "will", Payload: long})),
		"will on a filter":       refusal(url(b.Port), mqtt.WithWill(mqtt.Will{Topic: "will/#", Payload: []byte(secrets.Will)})),
		"will with properties":   refusal(url(b.Port), mqtt.WithWill(mqtt.Will{Topic: "will", Properties: binary(mosquitto.PropCorrelationData, secrets.Correlation)})),
		"data of another packet": refusal(url(b.Port), mqtt.WithProtocol(mqtt.V5), mqtt.WithConnectProperties(binary(mosquitto.PropCorrelationData, secrets.Correlation))),
		"data of MQTT 5":         refusal(url(b.Port), mqtt.WithConnectProperties(binary(mosquitto.PropAuthenticationData, secrets.Auth))),
		"proxy's password":       refusal(url(b.Port), mqtt.WithProxy("proxy", 1080, "user", secrets.Proxy+"\x00")),
		"no proxy":               refusal(url(b.Port), mqtt.WithProxy("127.0.0.1", broker.FreePort(t), "user", secrets.Proxy)),
	} {
		w.Error(t, name, err)
	}
	huge := make([]byte, mosquitto.MaxPayload+1)
	copy(huge, secrets.Payload)
	c, err := dialWatched(t, w, url(b.Port), mqtt.WithQueue(1, 1000, mqtt.Refuse))
	require.NoError(t, err)
	for name, err := range map[string]error{
		"bad topic":        c.Publish(wait.Soon(t), "a/+", []byte(secrets.Payload)),
		"NUL in a topic":   c.Publish(wait.Soon(t), "a\x00", []byte(secrets.Payload)),
		"QoS 3":            c.Publish(wait.Soon(t), "a", []byte(secrets.Payload), mqtt.WithQoS(3)),
		"properties":       c.Publish(wait.Soon(t), "a", []byte(secrets.Payload), mqtt.WithCorrelationData([]byte(secrets.Correlation))),
		"oversize payload": c.Publish(wait.Soon(t), "a", huge),
		"queue full":       c.Publish(wait.Soon(t), "a", []byte(strings.Repeat(secrets.Payload, 100))),
	} {
		w.Error(t, name, err)
	}
}

// second returns the second result of a call, its error.
func second[T any](_ T, err error) error { return err }

// The test covers a connection, a refusal and a connection loss, with all lines of the log.
func TestSecrets_AreNotInLogsAndErrors(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	settings := secretTLS(t, ca)
	w := watchSecrets(t, map[string]string{"key": body(t, settings.Key)})
	b := broker.Start(t, broker.Config{
		TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File, Users: map[string]string{"user": secrets.Password},
	})
	server := fmt.Sprintf("mqtts://user:%s@127.0.0.1:%d", secrets.Password, b.Port)
	will := mqtt.WithWill(mqtt.Will{Topic: "will", Payload: []byte(secrets.Will)})
	for _, version := range versions {
		c, err := dialWatched(t, w, server, mqtt.WithTLS(settings), mqtt.WithProtocol(version), will)
		require.NoError(t, err)
		got := make(chan mqtt.Message, 10)
		require.NoError(t, c.Subscribe(wait.Soon(t), "a", 2, func(_ context.Context, m mqtt.Message) { got <- m }))
		var options []mqtt.PublishOption
		if version == mqtt.V5 {
			options = append(options, mqtt.WithCorrelationData([]byte(secrets.Correlation)))
		}
		for qos := range mqtt.QoS(3) {
			require.NoError(t, c.Publish(wait.Soon(t), "a", []byte(secrets.Payload), append(options, mqtt.WithQoS(qos))...))
			require.Equal(t, secrets.Payload, string(wait.For(t, got, "the message").Payload))
		}
		b.Kill()
		wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
		token := c.PublishAsync(wait.Soon(t), "a", []byte(secrets.Payload))
		b.Restart()
		require.NoError(t, token.Wait(wait.Soon(t)))
		b.Kill()
		wait.Until(t, "the loss", func() bool { return c.State() != mqtt.StateConnected })
		unsent := c.PublishAsync(wait.Soon(t), "a", []byte(secrets.Payload))
		w.Error(t, "CloseError", c.Close(context50ms(t)))
		w.Error(t, "unsent", unsent.Err())
		b.Restart()
		_, err = dialWatched(t, w, secure(b.Port), mqtt.WithTLS(settings), mqtt.WithProtocol(version), will,
			mqtt.WithCredentials("user", secrets.Password+secrets.Proxy))
		w.Error(t, "wrong password", err)
	}
	proxy := socks5.Start(t, socks5.Config{Username: "user", Password: secrets.Password})
	_, err := dialWatched(t, w, url(1), mqtt.WithProxy("127.0.0.1", proxy.Port, "user", secrets.Proxy))
	w.Error(t, "wrong password of the proxy", err)
	_, err = dialWatched(t, w, url(plain(t).Port), mqtt.WithProtocol(mqtt.V5), mqtt.WithConnectProperties(mqtt.Properties{
		{ID: mosquitto.PropAuthenticationMethod, Text: "METHOD"}, {ID: mosquitto.PropAuthenticationData, Data: []byte(secrets.Auth)},
	}))
	w.Error(t, "authentication", err)
	require.Greater(t, w.Lines(), 100)
}
