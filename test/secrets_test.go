package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/secrets"
	"github.com/mosquitto-go/mosquitto/internal/socks5"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func keepSecrets(t testing.TB) *secrets.Watch {
	t.Helper()
	w := secrets.New(t, map[string]string{
		"password": secrets.Password, "PSK": secrets.PSK, "key's password": secrets.KeyPassword, "payload": secrets.Payload, "will": secrets.Will,
		"correlation data": secrets.Correlation, "authentication data": secrets.Auth, "proxy's password": secrets.Proxy,
	})
	t.Cleanup(func() { require.Empty(t, w.Found()) })
	return w
}

// listening passes all log lines of a client to the watch.
func listening(w *secrets.Watch, c *mosquitto.Client) {
	c.OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) {
		w.Text("log of level "+level.String(), text)
	}, mosquitto.LogAll, mosquitto.LogInternal, mosquitto.LogWebsockets)
}

func secretProperties() mosquitto.Properties {
	return mosquitto.Properties{
		{ID: mosquitto.PropCorrelationData, Data: []byte(secrets.Correlation)},
		{ID: mosquitto.PropContentType, Text: "text/plain"},
	}
}

// Formatted values contain no secrets.
func TestSecrets_AreNotInFormattedValues(t *testing.T) {
	w := keepSecrets(t)
	c, _ := newClient(t, "", true)
	require.NoError(t, c.UsernamePwSet("user", secrets.Password))
	require.NoError(t, c.TLSPSKSet(secrets.PSK, "device", ""))
	require.NoError(t, c.WillSet("will", []byte(secrets.Will), 1, false))
	props := append(secretProperties(), mosquitto.Property{ID: mosquitto.PropAuthenticationData, Data: []byte(secrets.Auth)},
		mosquitto.Property{ID: mosquitto.PropUserProperty, Name: "name", Text: "value"}, mosquitto.Property{ID: mosquitto.PropTopicAlias, Number: 7})
	message := mosquitto.Message{MID: 3, Topic: "a/b", Payload: []byte(secrets.Payload), QoS: 1, Properties: props}
	will := mosquitto.Will{Topic: "will", Payload: []byte(secrets.Will), Properties: props}
	options := mosquitto.SimpleOptions{
		Host: "host", Port: 1883, Username: "user", Password: secrets.Password, Will: &will,
		TLS: &mosquitto.TLS{CAFile: "ca.pem", PSK: secrets.PSK, KeyPassword: func() (string, error) { return secrets.KeyPassword, nil }},
	}
	for name, value := range map[string]any{
		"Client": c, "Will": will, "SimpleOptions": options, "TLS": *options.TLS,
		"Property": props[0], "Properties": props, "Connack": mosquitto.Connack{Properties: props}, "Disconnection": mosquitto.Disconnection{Properties: props},
	} {
		w.Value(name, value)
	}
	w.Logged("Message", message)
	const properties = `Properties:[correlation-data:(22 bytes) content-type:"text/plain" authentication-data:(22 bytes) user-property:"name"="value" topic-alias:7]`
	require.Equal(t, `{MID:3 Topic:"a/b" Payload:"`+secrets.Payload+`" QoS:1 Retain:false `+properties+`}`, fmt.Sprintf("%+v", message))
	require.Equal(t, `{MID:3 Topic:"a/b" Payload:(23 bytes) QoS:1 Retain:false `+properties+`}`, message.LogValue().String())
	require.Equal(t, `{Host:"host" Port:1883 ClientID:"" Keepalive:0s CleanSession:false Username:"user" Password:(hidden) Will:`+fmt.Sprint(will)+` TLS:true}`, fmt.Sprint(options))
	require.Contains(t, fmt.Sprint(*options.TLS), `KeyPassword:true PSK:(hidden)`)
	require.Contains(t, fmt.Sprint(mosquitto.TLS{}), `KeyPassword:false PSK:""`)
}

// secretKey returns TLS settings with a key that password encrypts. The KeyPassword
// function returns answer, which may be another password.
func secretKey(t testing.TB, password, answer string) mosquitto.TLS {
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	return mosquitto.TLS{
		CAFile: ca.File, CertFile: own.CertFile, KeyFile: ca.Encrypt(own.KeyFile, password),
		KeyPassword: func() (string, error) { return answer, nil },
	}
}

// Errors for refused arguments do not quote secrets.
func TestSecrets_AreNotInErrorsOfBadArguments(t *testing.T) {
	w := keepSecrets(t)
	c, _ := newV5(t, "", true)
	listening(w, c)
	long := strings.Repeat(secrets.Will, 10_000)
	huge := make([]byte, mosquitto.MaxPayload+1)
	copy(huge, secrets.Payload)
	var props mosquitto.Properties
	_, topicErr := c.Publish("a/+", []byte(secrets.Payload), 1, false)
	_, nulErr := c.Publish("a\x00", []byte(secrets.Payload), 1, false)
	_, hugeErr := c.Publish("a", huge, 1, false)
	_, qosErr := c.Publish("a", []byte(secrets.Payload), 3, false)
	_, offlineErr := c.PublishV5("a", []byte(secrets.Payload), 0, false, secretProperties())
	_, wrongErr := c.PublishV5("a", []byte(secrets.Payload), 0, false, mosquitto.Properties{{ID: mosquitto.PropAuthenticationData, Data: []byte(secrets.Auth)}})
	for name, err := range map[string]error{
		"NUL in a password":         c.UsernamePwSet("user", secrets.Password+"\x00"),
		"NUL in a username":         c.UsernamePwSet("user\x00", secrets.Password),
		"bad UTF-8 in a password":   c.UsernamePwSet("user", secrets.Password+"\xff"),
		"long password":             c.UsernamePwSet("user", strings.Repeat(secrets.Password, 10_000)),
		"PSK with NUL":              c.TLSPSKSet(secrets.PSK+"\x00", "device", ""),
		"PSK not of hex digits":     c.TLSPSKSet(secrets.PSK+"xyz", "device", ""),
		"long PSK":                  c.TLSPSKSet(strings.Repeat(secrets.PSK, 100), "device", ""),
		"PSK without identity":      c.TLSPSKSet(secrets.PSK, "", ""),
		"proxy's password":          c.Socks5Set("proxy", 1080, "user", secrets.Proxy+"\x00"),
		"long proxy's password":     c.Socks5Set("proxy", 1080, "user", strings.Repeat(secrets.Proxy, 100)),
		"proxy's password alone":    c.Socks5Set("proxy", 1080, "", secrets.Proxy),
		"long will":                 c.WillSet("will", []byte(long), 0, false),
		"will on a filter":          c.WillSet("will/#", []byte(secrets.Will), 0, false),
		"will of QoS 3":             c.WillSet("will", []byte(secrets.Will), 3, false),
		"will, wrong property":      c.WillSetV5("will", []byte(secrets.Will), 0, false, mosquitto.Properties{{ID: mosquitto.PropAuthenticationData, Data: []byte(secrets.Auth)}}),
		"bad topic":                 topicErr,
		"NUL in a topic":            nulErr,
		"huge payload":              hugeErr,
		"QoS 3":                     qosErr,
		"offline":                   offlineErr,
		"PUBLISH, bad property":     wrongErr,
		"data as a text":            props.AddString(mosquitto.PropAuthenticationData, secrets.Auth),
		"long data":                 props.AddBinary(mosquitto.PropCorrelationData, []byte(strings.Repeat(secrets.Correlation, 10_000))),
		"key's password with a NUL": c.SetTLS(secretKey(t, secrets.KeyPassword, secrets.KeyPassword+"\x00")),
		"wrong password of the key": c.SetTLS(secretKey(t, secrets.KeyPassword, secrets.KeyPassword+"!")),
		"SetTLS, PSK not of digits": c.SetTLS(mosquitto.TLS{PSK: secrets.PSK + "xyz", PSKIdentity: "device"}),
		"SetTLS, PSK alone":         c.SetTLS(mosquitto.TLS{PSK: secrets.PSK}),
		"void option":               c.OptsSet(mosquitto.OptSSLCtx, secrets.Password),
		"simple without a host": mosquitto.SubscribeCallback(t.Context(), mosquitto.SimpleOptions{CleanSession: true, Username: "user\x00", Password: secrets.Password},
			"a", 0, nil),
	} {
		w.Error(t, name, err)
	}
}

// Neither the log of a client nor the errors after refusals of brokers and proxies
// contain secrets.
func TestSecrets_AreNotInLogsAndErrors(t *testing.T) {
	w := keepSecrets(t)
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	b := broker.Start(t, broker.Config{
		TLS: ca.Issue("broker", "localhost"), ClientCA: ca.File, Users: map[string]string{"user": secrets.Password},
	})
	login := func(t *testing.T, password, keyPassword string) (*mosquitto.Client, *events) {
		c, e := newV5(t, "", true)
		listening(w, c)
		require.NoError(t, c.UsernamePwSet("user", password))
		require.NoError(t, c.WillSetV5("will", []byte(secrets.Will), 1, false, secretProperties()))
		require.NoError(t, c.TLSSet(ca.File, "", own.CertFile, ca.Encrypt(own.KeyFile, secrets.KeyPassword),
			func(*mosquitto.Client) (string, error) { return keyPassword, nil }))
		return c, e
	}
	t.Run("good", func(t *testing.T) {
		c, e := login(t, secrets.Password, secrets.KeyPassword)
		ended := accepted(t, c, e, "localhost", b.Port)
		subscribe(t, c, e, "a", 2)
		for qos := range mosquitto.QoS(3) {
			_, err := c.PublishV5("a", []byte(secrets.Payload), qos, true, secretProperties())
			require.NoError(t, err)
			m := wait.For(t, e.message, "the message")
			require.Equal(t, secrets.Payload, string(m.Payload))
			w.Logged("Message", m)
		}
		b.Restart()
		require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		w.Value("Client", c)
		leave(t, c, e, ended)
	})
	t.Run("wrong password", func(t *testing.T) {
		c, e := login(t, secrets.Password+secrets.Proxy, secrets.KeyPassword)
		require.NoError(t, c.Connect("localhost", b.Port, keepalive))
		loop(t, c)
		w.Error(t, "wrong password", wait.For(t, e.connect, "OnConnect").Err())
	})
	t.Run("wrong password of the key", func(t *testing.T) {
		c, _ := login(t, secrets.Password, secrets.KeyPassword+secrets.Proxy)
		w.Error(t, "key's password", c.Connect("localhost", b.Port, keepalive))
		w.Error(t, "key's password", c.SetTLS(secretKey(t, secrets.KeyPassword, secrets.KeyPassword+"!")))
	})
	t.Run("invalid key", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "key.pem")
		require.NoError(t, os.WriteFile(file, []byte("-----BEGIN PRIVATE KEY-----\n"+secrets.Payload+"\n-----END PRIVATE KEY-----\n"), 0o600))
		c, _ := login(t, secrets.Password, secrets.KeyPassword)
		require.NoError(t, c.TLSSet(ca.File, "", own.CertFile, file, nil))
		w.Error(t, "key", c.Connect("localhost", b.Port, keepalive))
		w.Error(t, "key", c.SetTLS(mosquitto.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: file}))
	})
	t.Run("PSK", func(t *testing.T) {
		keyed := broker.Start(t, broker.Config{PSK: map[string]string{"device": secrets.PSK}})
		for _, key := range []string{secrets.PSK, secrets.PSK[:30]} {
			c, e := newClient(t, "", true)
			listening(w, c)
			require.NoError(t, c.TLSPSKSet(key, "device", ""))
			if key == secrets.PSK {
				accepted(t, c, e, "127.0.0.1", keyed.Port)
				continue
			}
			w.Error(t, "PSK", failed(t, c, e, "127.0.0.1", keyed.Port))
		}
	})
	t.Run("proxy", func(t *testing.T) {
		proxy := socks5.Start(t, socks5.Config{Username: "user", Password: secrets.Password})
		c, e := newClient(t, "", true)
		listening(w, c)
		require.NoError(t, c.Socks5Set("127.0.0.1", proxy.Port, "user", secrets.Proxy))
		w.Error(t, "proxy", failed(t, c, e, "127.0.0.1", 1))
	})
	require.Greater(t, w.Lines(), 100)
}

// The authentication has several steps. libmosquitto 2.0 supports only the first.
func TestSecrets_OfAuthenticationAreNotLogged(t *testing.T) {
	w := keepSecrets(t)
	c, e := newV5(t, "a", true)
	listening(w, c)
	props := mosquitto.Properties{
		{ID: mosquitto.PropAuthenticationMethod, Text: "METHOD"}, {ID: mosquitto.PropAuthenticationData, Data: []byte(secrets.Auth)},
	}
	if has21() {
		require.NoError(t, c.OnExtAuth(func(c *mosquitto.Client, method string, data []byte, props mosquitto.Properties) error {
			w.Value("Properties", props)
			return c.ExtAuthContinue(method, []byte(secrets.Auth), nil)
		}))
	}
	p := fakebroker.Listen(t)
	require.NoError(t, c.ConnectBindV5("127.0.0.1", p.Port, keepalive, "", props))
	loop(t, c)
	conn := p.Accept()
	require.Contains(t, string(conn.Expect(fakebroker.CONNECT).Body), secrets.Auth)
	if has21() {
		conn.Send(challenge("METHOD", secrets.Auth))
		require.Contains(t, string(conn.Expect(fakebroker.AUTH).Body), secrets.Auth)
	}
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0x8C, 0)) // bad authentication method
	w.Error(t, "CONNACK", wait.For(t, e.connect, "OnConnect").Err())
}
