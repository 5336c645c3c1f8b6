package mqtt_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestOptions_Defaults(t *testing.T) {
	o := paho.NewClientOptions()
	require.True(t, o.CleanSession)
	require.True(t, o.Order)
	require.True(t, o.AutoReconnect)
	require.False(t, o.ConnectRetry)
	require.EqualValues(t, 30, o.KeepAlive)
	require.Equal(t, 10*time.Second, o.PingTimeout)
	require.Equal(t, 30*time.Second, o.ConnectTimeout)
	require.Equal(t, 30*time.Second, o.ConnectRetryInterval)
	require.Equal(t, 10*time.Minute, o.MaxReconnectInterval)
	require.Equal(t, 30*time.Second, o.Dialer.Timeout)
	require.NotNil(t, o.OnConnectionLost)
	require.NotNil(t, o.WebsocketOptions)
	require.NotNil(t, o.HTTPHeaders)
	require.Empty(t, o.Servers)
}

func TestOptions_SettersAndReader(t *testing.T) {
	dialer, config := &net.Dialer{LocalAddr: &net.TCPAddr{}}, &tls.Config{ServerName: "x"}
	headers, web := http.Header{"A": {"b"}}, &paho.WebsocketOptions{ReadBufferSize: 1}
	o := paho.NewClientOptions().AddBroker("tcp://a:1").SetClientID("id").SetUsername("u").SetPassword("p").
		SetCleanSession(false).SetOrderMatters(false).SetBinaryWill("w", []byte("x"), 2, true).SetProtocolVersion(3).
		SetTLSConfig(config).SetKeepAlive(61*time.Second + 500*time.Millisecond).SetPingTimeout(2 * time.Second).
		SetConnectTimeout(3 * time.Second).SetMaxReconnectInterval(4 * time.Second).SetAutoReconnect(false).
		SetConnectRetryInterval(5 * time.Second).SetConnectRetry(true).SetWriteTimeout(6 * time.Second).
		SetMessageChannelDepth(7).SetResumeSubs(true).SetHTTPHeaders(headers).SetWebsocketOptions(web).
		SetMaxResumePubInFlight(8).SetAutoAckDisabled(true)
	require.Equal(t, 3*time.Second, o.Dialer.Timeout)
	require.Equal(t, 8, o.MaxResumePubInFlight)
	require.True(t, o.AutoAckDisabled)
	require.Same(t, dialer, o.SetDialer(dialer).Dialer)

	c := paho.NewClient(o)
	o.SetClientID("later").AddBroker("tcp://b:1")
	for _, r := range []paho.ClientOptionsReader{c.OptionsReader(), paho.NewOptionsReader(o)} {
		require.Equal(t, "tcp://a:1", r.Servers()[0].String())
		r.Servers()[0].Host = "changed"
		require.Equal(t, "tcp://a:1", r.Servers()[0].String())
		require.Equal(t, "u", r.Username())
		require.Equal(t, "p", r.Password())
		require.False(t, r.CleanSession())
		require.False(t, r.Order())
		require.True(t, r.WillEnabled())
		require.Equal(t, "w", r.WillTopic())
		require.Equal(t, []byte("x"), r.WillPayload())
		require.EqualValues(t, 2, r.WillQos())
		require.True(t, r.WillRetained())
		require.EqualValues(t, 3, r.ProtocolVersion())
		require.Same(t, config, r.TLSConfig())
		require.Equal(t, 61*time.Second, r.KeepAlive())
		require.Equal(t, 2*time.Second, r.PingTimeout())
		require.Equal(t, 3*time.Second, r.ConnectTimeout())
		require.Equal(t, 4*time.Second, r.MaxReconnectInterval())
		require.False(t, r.AutoReconnect())
		require.Equal(t, 5*time.Second, r.ConnectRetryInterval())
		require.True(t, r.ConnectRetry())
		require.Equal(t, 6*time.Second, r.WriteTimeout())
		require.EqualValues(t, 7, r.MessageChannelDepth())
		require.True(t, r.ResumeSubs())
		require.Equal(t, headers, r.HTTPHeaders())
		require.Same(t, web, r.WebsocketOptions())
	}
	reader := c.OptionsReader()
	require.Equal(t, "id", reader.ClientID(), "the client has a copy of the options")
	require.Len(t, reader.Servers(), 1)
}

func TestNewClient_CopiesTheBrokers(t *testing.T) {
	o := options(1)
	c := paho.NewClient(o)
	o.Servers[0] = &url.URL{}
	reader := c.OptionsReader()
	require.Equal(t, address(1), reader.Servers()[0].String())
}

func TestOptions_AddBroker(t *testing.T) {
	for server, want := range map[string]string{
		"example.com:1": "tcp://example.com:1", ":1": "tcp://127.0.0.1:1", "ssl://h:2": "ssl://h:2",
		"ws://h:3/path?a=b": "ws://h:3/path?a=b", "tcp://u:p@h:4": "tcp://u:p@h:4",
	} {
		o := paho.NewClientOptions().AddBroker(server)
		require.Equal(t, want, o.Servers[0].String())
	}
	require.Empty(t, paho.NewClientOptions().AddBroker("tcp://%zz").Servers)
}

func TestConnect_RefusesWhatItCannotDo(t *testing.T) {
	o := func() *paho.ClientOptions { return options(1) }
	two := o()
	two.Servers = append(two.Servers, &url.URL{Scheme: "tcp", Host: "h:1", User: url.User("other")})
	bridge := o()
	bridge.ProtocolVersion = 0x84
	received := paho.NewMemoryStore()
	received.Open()
	received.Put("i.1", publication("a", 1))
	for option, o := range map[string]*paho.ClientOptions{
		"SetAutoAckDisabled":      o().SetAutoAckDisabled(true),
		"SetKeepAlive":            o().SetKeepAlive(4 * time.Second),
		"SetProtocolVersion":      bridge,
		"SetCleanSession":         o().SetCleanSession(false),
		"SetWill: invalid Topic":  o().SetWill("", "", 0, false),
		"SetWill: invalid QoS":    o().SetWill("a", "", 3, false),
		"SetMaxResumePubInFlight": o().SetMaxResumePubInFlight(65_536),
		"AddBroker":               two,
		"SetStore":                o().SetClientID("x").SetCleanSession(false).SetStore(received),
		"WithWill":                o().SetWill("a/#", "", 0, false),
	} {
		c := paho.NewClient(o)
		require.ErrorContains(t, outcome(t, c.Connect()), option)
		require.False(t, c.IsConnected())
	}
	require.ErrorContains(t, outcome(t, paho.NewClient(o().SetKeepAlive(65_536*time.Second)).Connect()), "SetKeepAlive")
	require.ErrorContains(t, outcome(t, paho.NewClient(o().SetKeepAlive(time.Second)).Connect()), "SetKeepAlive")
}
