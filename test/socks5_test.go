package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/socks5"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// through returns a client that connects through the proxy.
func through(t testing.TB, p *socks5.Proxy, username, password string) (*mosquitto.Client, *events) {
	t.Helper()
	c, e := newClient(t, "", true)
	require.NoError(t, c.Socks5Set("127.0.0.1", p.Port, username, password))
	return c, e
}

func TestSocks5_ConnectsThroughTheProxy(t *testing.T) {
	b := plain(t)
	for _, test := range []struct {
		name               string
		config             socks5.Config
		username, password string
	}{
		{"no login", socks5.Config{}, "", ""},
		{"login", socks5.Config{Username: "user", Password: "secret"}, "user", "secret"},
		{"login that the proxy does not need", socks5.Config{}, "user", "secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := socks5.Start(t, test.config)
			c, e := through(t, p, test.username, test.password)
			ended := accepted(t, c, e, "127.0.0.1", b.Port)
			require.Equal(t, fmt.Sprintf("address 127.0.0.1:%d", b.Port), wait.For(t, p.Requests, "a request"))
			echo(t, c, e)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		})
	}
}

// The proxy resolves the broker's name.
func TestSocks5_ProxyResolvesNames(t *testing.T) {
	b := plain(t)
	p := socks5.Start(t, socks5.Config{Names: map[string]string{"broker.invalid": "127.0.0.1"}})
	c, e := through(t, p, "", "")
	accepted(t, c, e, "broker.invalid", b.Port)
	require.Equal(t, fmt.Sprintf("domain broker.invalid:%d", b.Port), wait.For(t, p.Requests, "a request"))
	echo(t, c, e)
}

func TestSocks5_TLSChecksTheBrokersName(t *testing.T) {
	b, ca := tlsBroker(t, "broker.invalid")
	p := socks5.Start(t, socks5.Config{Names: map[string]string{"broker.invalid": "127.0.0.1", "other.invalid": "127.0.0.1"}})
	for way, set := range map[string]func(c *mosquitto.Client, caFile string) error{
		"TLSSet": func(c *mosquitto.Client, caFile string) error { return c.TLSSet(caFile, "", "", "", nil) },
		"SetTLS": func(c *mosquitto.Client, caFile string) error { return c.SetTLS(mosquitto.TLS{CAFile: caFile}) },
	} {
		t.Run(way, func(t *testing.T) {
			c, e := through(t, p, "", "")
			require.NoError(t, set(c, ca.File))
			accepted(t, c, e, "broker.invalid", b.Port)
			echo(t, c, e)

			c, e = through(t, p, "", "")
			require.NoError(t, set(c, ca.File))
			refused(t, c, e, "other.invalid", b.Port)

			c, e = through(t, p, "", "")
			require.NoError(t, set(c, broker.NewCA(t, "other").File))
			refused(t, c, e, "broker.invalid", b.Port)
		})
	}
}

func TestSocks5_RefusalIsReturned(t *testing.T) {
	const refusedByRule = 2
	for _, test := range []struct {
		name               string
		config             socks5.Config
		username, password string
		want               error
	}{
		{"wrong password", socks5.Config{Username: "user", Password: "secret"}, "user", "wrong", mosquitto.ErrProxy},
		{"wrong user", socks5.Config{Username: "user", Password: "secret"}, "other", "secret", mosquitto.ErrProxy},
		{"not allowed", socks5.Config{Username: "user", Password: "secret", LoginRefusal: refusedByRule}, "user", "wrong", mosquitto.ErrAuth},
		{"no login offered", socks5.Config{Username: "user", Password: "secret"}, "", "", mosquitto.ErrAuth},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := plain(t)
			p := socks5.Start(t, test.config)
			c, e := through(t, p, test.username, test.password)
			require.ErrorIs(t, refused(t, c, e, "127.0.0.1", b.Port), test.want)
			wait.None(t, p.Requests, "request")
			require.NotContains(t, b.Log(), "New client connected")
		})
	}
}

// The proxy cannot reach the broker yet. The loop retries.
func TestSocks5_UnreachableBrokerIsRetried(t *testing.T) {
	b := plain(t)
	b.Stop()
	p := socks5.Start(t, socks5.Config{})
	c, e := through(t, p, "", "")
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	ended := loop(t, c)
	wait.For(t, p.Requests, "the first request")
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	wait.None(t, ended, "end of LoopForever")
	echo(t, c, e)
}

func TestSocks5_LostProxyIsReported(t *testing.T) {
	b := plain(t)
	p := socks5.Start(t, socks5.Config{})
	c, e := through(t, p, "", "")
	accepted(t, c, e, "127.0.0.1", b.Port)
	p.Close()
	require.Error(t, wait.For(t, e.disconnect, "OnDisconnect").Err)

	c, e = through(t, p, "", "")
	require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrErrno)
	wait.None(t, e.connect, "OnConnect")
}

func TestSocks5Set_BadArgumentsReturnErrors(t *testing.T) {
	c, _ := newClient(t, "", true)
	long := strings.Repeat("a", 256)
	for name, err := range map[string]error{
		"no host":                   c.Socks5Set("", 1080, "", ""),
		"long host":                 c.Socks5Set(long+"a", 1080, "", ""),
		"NUL in the host":           c.Socks5Set("a\x00", 1080, "", ""),
		"port 0":                    c.Socks5Set("proxy", 0, "", ""),
		"port 65536":                c.Socks5Set("proxy", 65536, "", ""),
		"port -1":                   c.Socks5Set("proxy", -1, "", ""),
		"username alone":            c.Socks5Set("proxy", 1080, "user", ""),
		"password alone":            c.Socks5Set("proxy", 1080, "", "secret"),
		"long username":             c.Socks5Set("proxy", 1080, long, "secret"),
		"long password":             c.Socks5Set("proxy", 1080, "user", long),
		"NUL in the username":       c.Socks5Set("proxy", 1080, "user\x00", "secret"),
		"invalid UTF-8 in password": c.Socks5Set("proxy", 1080, "user", "\xff"),
	} {
		require.Error(t, err, name)
		code := new(mosquitto.OpError)
		require.ErrorAs(t, err, &code, name)
		require.Equal(t, "socks5_set", code.Op)
	}
	require.NoError(t, c.Socks5Set(long, 65535, long[1:], long[1:]))
}
