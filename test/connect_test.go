package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestConnectAsync_ConnectsInTheLoop(t *testing.T) {
	b := plain(t)
	for name, connect := range map[string]func(c *mosquitto.Client) error{
		"ConnectAsync": func(c *mosquitto.Client) error { return c.ConnectAsync("127.0.0.1", b.Port, keepalive) },
		"ConnectBindAsync": func(c *mosquitto.Client) error {
			return c.ConnectBindAsync("127.0.0.1", b.Port, keepalive, "127.0.0.1")
		},
	} {
		t.Run(name+" before the loop", func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, connect(c))
			ended := loop(t, c)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			echo(t, c, e)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		})
		t.Run(name+" after LoopStart", func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.LoopStart())
			require.NoError(t, connect(c))
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			echo(t, c, e)
			require.NoError(t, c.LoopStop(false))
		})
	}
}

// The loop retries a refused connection until the broker accepts it.
func TestConnectAsync_LoopRetriesARefusal(t *testing.T) {
	b := plain(t)
	b.Stop()
	c, e := newClient(t, "", true)
	require.NoError(t, c.LoopStart())
	require.NoError(t, c.ConnectAsync("127.0.0.1", b.Port, keepalive))
	d := wait.For(t, e.disconnect, "OnDisconnect")
	require.ErrorIs(t, d.Err, mosquitto.ErrErrno)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
	require.NoError(t, c.LoopStop(false))
}

func TestConnect_RefusalReturnsErrErrno(t *testing.T) {
	c, e := newClient(t, "", true)
	err := c.Connect("127.0.0.1", broker.FreePort(t), keepalive)
	require.ErrorIs(t, err, mosquitto.ErrErrno)
	if !has21() { // libmosquitto 2.1 overwrites errno
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
	require.Equal(t, -1, c.Socket())
	require.ErrorIs(t, c.Loop(0), mosquitto.ErrNoConn)
	wait.None(t, e.connect, "OnConnect")
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestConnect_LoopRetriesAFailedConnect(t *testing.T) {
	b := plain(t)
	b.Stop()
	c, e := newClient(t, "", true)
	require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrErrno)
	loop(t, c)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestConnect_UnknownHostReturnsErrEAI(t *testing.T) {
	c, _ := newClient(t, "", true)
	for name, err := range map[string]error{
		"Connect":      c.Connect("no.such.host.invalid", 1883, keepalive),
		"ConnectAsync": c.ConnectAsync("no.such.host.invalid", 1883, keepalive),
	} {
		require.ErrorIs(t, err, mosquitto.ErrEAI, name)
		code := new(mosquitto.OpError)
		require.ErrorAs(t, err, &code)
		if !has21() { // libmosquitto 2.1 overwrites errno
			require.NotEmpty(t, code.Detail, name)
		}
	}
	require.Equal(t, -1, c.Socket())
}

func TestConnectSRV_ReturnsErrNotSupported(t *testing.T) {
	c, _ := newClient(t, "", true)
	require.ErrorIs(t, c.ConnectSRV("example.invalid", keepalive, ""), mosquitto.ErrNotSupported)
	require.ErrorIs(t, c.ConnectSRV("", keepalive, ""), mosquitto.ErrInval)
}

func TestConnect_BadArgumentsReturnErrInval(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	for name, err := range map[string]error{
		"no host":            c.Connect("", b.Port, keepalive),
		"NUL in the host":    c.Connect("127.0.0.1\x00", b.Port, keepalive),
		"port -1":            c.Connect("127.0.0.1", -1, keepalive),
		"port 65536":         c.Connect("127.0.0.1", 65536, keepalive),
		"keepalive of 4 s":   c.Connect("127.0.0.1", b.Port, 4*time.Second),
		"keepalive of -1 s":  c.Connect("127.0.0.1", b.Port, -time.Second),
		"keepalive of 19 h":  c.Connect("127.0.0.1", b.Port, 65536*time.Second),
		"NUL in bind":        c.ConnectBind("127.0.0.1", b.Port, keepalive, "127.0.0.1\x00"),
		"async, no host":     c.ConnectAsync("", b.Port, keepalive),
		"async, port -1":     c.ConnectBindAsync("127.0.0.1", -1, keepalive, ""),
		"Reconnect before":   c.Reconnect(),
		"ReconnectAsync":     c.ReconnectAsync(),
		"SRV, NUL in host":   c.ConnectSRV("a\x00", keepalive, ""),
		"V5, keepalive 1 ns": c.ConnectBindV5("127.0.0.1", b.Port, 1, "", nil),
	} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
	}
	require.Equal(t, -1, c.Socket())
	require.NoError(t, c.Connect("127.0.0.1", b.Port, 0))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, 5*time.Second))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, 65535*time.Second))
	wait.None(t, e.disconnect, "OnDisconnect")
}

// Properties need MQTT 5. Each reconnect sends them again.
func TestConnectBindV5_SendsPropertiesAtEachConnect(t *testing.T) {
	p := fakebroker.Listen(t)
	var props mosquitto.Properties
	require.NoError(t, props.AddInt32(mosquitto.PropSessionExpiryInterval, 7))
	c, _ := newV5(t, "a", true)
	require.NoError(t, c.IntOption(mosquitto.OptReceiveMaximum, 9))
	require.NoError(t, c.ConnectBindV5("127.0.0.1", p.Port, keepalive, "", props))
	loop(t, c)
	want := []byte{byte(mosquitto.PropReceiveMaximum), 0, 9, byte(mosquitto.PropSessionExpiryInterval), 0, 0, 0, 7}
	conn := p.Accept()
	require.ElementsMatch(t, want, rawConnectProperties(conn.Expect(fakebroker.CONNECT)))
	conn.Close()
	require.ElementsMatch(t, want, rawConnectProperties(p.Accept().Expect(fakebroker.CONNECT)))

	old, _ := newClient(t, "", true)
	require.ErrorIs(t, old.ConnectBindV5("127.0.0.1", p.Port, keepalive, "", props), mosquitto.ErrNotSupported)
}

func TestReconnect_AfterDisconnectConnects(t *testing.T) {
	b := plain(t)
	for name, reconnect := range map[string]func(*mosquitto.Client) error{
		"Reconnect": (*mosquitto.Client).Reconnect, "ReconnectAsync": (*mosquitto.Client).ReconnectAsync,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			ended := connect(t, c, e, b.Port)
			require.ErrorIs(t, reconnect(c), mosquitto.ErrBusy)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
			wait.For(t, e.disconnect, "OnDisconnect")
			require.NoError(t, reconnect(c))
			ended = loop(t, c)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			echo(t, c, e)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		})
	}
}

// A new connect closes the current connection without a call of OnDisconnect.
func TestReconnect_ReplacesACurrentConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	first := p.Accept()
	require.NoError(t, c.Reconnect())
	_, err := first.Next()
	for err == nil {
		_, err = first.Next()
	}
	loop(t, c)
	p.AcceptConnect()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestConnect_AfterDisconnectConnectsAgain(t *testing.T) {
	first, second := plain(t), plain(t)
	c, e := newClient(t, "traveller", true)
	for _, b := range []*broker.Broker{first, first, second, first} {
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		ended := loop(t, c)
		require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
		require.Contains(t, b.Log(), "as traveller")
		echo(t, c, e)
		require.NoError(t, c.Disconnect())
		require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		require.NoError(t, wait.For(t, e.disconnect, "OnDisconnect").Err)
	}
}
