package test

import (
	"encoding/binary"
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestBindAddress_IsTheLocalAddress(t *testing.T) {
	const mine = "127.0.0.2"
	for name, prepare := range map[string]struct {
		option  string
		connect func(c *mosquitto.Client, port int) error
	}{
		"OptBindAddress": {mine, func(c *mosquitto.Client, port int) error { return c.Connect("127.0.0.1", port, keepalive) }},
		"ConnectBind": {"", func(c *mosquitto.Client, port int) error {
			return c.ConnectBind("127.0.0.1", port, keepalive, mine)
		}},
		"ConnectBindV5": {"", func(c *mosquitto.Client, port int) error {
			return c.ConnectBindV5("127.0.0.1", port, keepalive, mine, nil)
		}},
		"ConnectBindAsync": {"", func(c *mosquitto.Client, port int) error {
			return c.ConnectBindAsync("127.0.0.1", port, keepalive, mine)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := plain(t)
			c, e := newClient(t, "", true)
			if prepare.option != "" {
				require.NoError(t, c.StringOption(mosquitto.OptBindAddress, prepare.option))
			}
			require.NoError(t, prepare.connect(c, b.Port))
			ended := loop(t, c)
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			require.Contains(t, b.Log(), "New connection from "+mine)
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))

			// The address is used until it is reset.
			require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
			require.Equal(t, mine, localAddress(t, c))
			err := c.StringOption(mosquitto.OptBindAddress, "")
			if !has21() { // libmosquitto 2.0 would free the address twice
				require.ErrorIs(t, err, mosquitto.ErrNotSupported)
				return
			}
			require.NoError(t, err)
			require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
			require.Equal(t, "127.0.0.1", localAddress(t, c))
		})
	}
}

func localAddress(t testing.TB, c *mosquitto.Client) string {
	t.Helper()
	address, err := syscall.Getsockname(c.Socket())
	require.NoError(t, err)
	ip := address.(*syscall.SockaddrInet4).Addr
	return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3])
}

func TestBindAddress_OfAnotherMachineReturnsAnError(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "", true)
	require.Error(t, c.ConnectBind("127.0.0.1", b.Port, keepalive, "192.0.2.1"))
	require.Equal(t, -1, c.Socket())
	require.Error(t, c.ConnectBind("127.0.0.1", b.Port, keepalive, "no address"))
}

func TestTCPNodelay_SetsTheSocketOption(t *testing.T) {
	b := plain(t)
	for value, want := range map[int]bool{0: false, 1: true} {
		c, _ := newClient(t, "", true)
		require.NoError(t, c.IntOption(mosquitto.OptTCPNodelay, value))
		require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
		on, err := syscall.GetsockoptInt(c.Socket(), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		require.NoError(t, err)
		require.Equal(t, want, on != 0)
	}
}

func TestProtocolVersion_IsSentInTheConnect(t *testing.T) {
	for _, set := range []func(*mosquitto.Client, int) error{
		func(c *mosquitto.Client, v int) error { return c.IntOption(mosquitto.OptProtocolVersion, v) },
		func(c *mosquitto.Client, v int) error { return c.OptsSet(mosquitto.OptProtocolVersion, v) },
	} {
		p := fakebroker.Listen(t)
		for version, name := range map[int]string{
			mosquitto.ProtocolV31: "\x00\x06MQIsdp\x03", mosquitto.ProtocolV311: "\x00\x04MQTT\x04", mosquitto.ProtocolV5: "\x00\x04MQTT\x05",
		} {
			c, _ := newClient(t, "a", true)
			require.NoError(t, set(c, version))
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			loop(t, c)
			require.Equal(t, name, string(p.Accept().Expect(fakebroker.CONNECT).Body[:len(name)]))
		}
		c, _ := newClient(t, "", true)
		for _, version := range []int{-1, 0, 2, 6, 0x104} {
			require.ErrorIs(t, set(c, version), mosquitto.ErrInval, version)
		}
	}
}

// rawConnectProperties returns the encoded properties of an MQTT 5 CONNECT.
func rawConnectProperties(connect fakebroker.Packet) []byte {
	const fixed = 10 // name, version, flags, keepalive
	return connect.Body[fixed+1:][:connect.Body[fixed]]
}

func TestReceiveMaximum_IsSentInTheConnect(t *testing.T) {
	p := fakebroker.Listen(t)
	for value, want := range map[int]uint16{7: 7, 1: 1, 65535: 65535, 0: 65535} {
		c, _ := newV5(t, "a", true)
		require.NoError(t, c.IntOption(mosquitto.OptReceiveMaximum, value))
		require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
		loop(t, c)
		props := rawConnectProperties(p.Accept().Expect(fakebroker.CONNECT))
		if want == 65535 && len(props) == 0 {
			continue // 65535 is the default of MQTT
		}
		require.Equal(t, binary.BigEndian.AppendUint16([]byte{byte(mosquitto.PropReceiveMaximum)}, want), props)
	}
	c, _ := newV5(t, "", true)
	require.ErrorIs(t, c.IntOption(mosquitto.OptReceiveMaximum, -1), mosquitto.ErrInval)
	require.ErrorIs(t, c.IntOption(mosquitto.OptReceiveMaximum, 65536), mosquitto.ErrInval)
	require.ErrorIs(t, c.IntOption(mosquitto.OptSendMaximum, -1), mosquitto.ErrInval)
	require.ErrorIs(t, c.IntOption(mosquitto.OptSendMaximum, 65536), mosquitto.ErrInval)
}

// At most two messages are in flight. An acknowledgement allows the next. QoS 0 does
// not count.
func TestSendMaximum_LimitsMessagesInFlight(t *testing.T) {
	for name, set := range map[string]func(c *mosquitto.Client, n int) error{
		"OptSendMaximum": func(c *mosquitto.Client, n int) error { return c.IntOption(mosquitto.OptSendMaximum, n) },
		"MaxInflightMessagesSet": func(c *mosquitto.Client, n int) error {
			return c.MaxInflightMessagesSet(n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "", true)
			require.NoError(t, set(c, 2))
			require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
			loop(t, c)
			conn := p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			var mids []int
			for qos := range mosquitto.QoS(3) {
				mid, err := c.Publish("a", nil, max(qos, 1), false)
				require.NoError(t, err)
				mids = append(mids, mid)
			}
			_, err := c.Publish("last", nil, 0, false)
			require.NoError(t, err)

			const head = 3 // length and text of the topic "a"
			first := conn.Expect(fakebroker.PUBLISH)
			require.EqualValues(t, mids[0], binary.BigEndian.Uint16(first.Body[head:]))
			second := conn.Expect(fakebroker.PUBLISH)
			require.EqualValues(t, mids[1], binary.BigEndian.Uint16(second.Body[head:]))
			require.Contains(t, string(conn.Expect(fakebroker.PUBLISH).Body), "last")
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, uint16(mids[0])))
			third := conn.Expect(fakebroker.PUBLISH)
			require.EqualValues(t, mids[2], binary.BigEndian.Uint16(third.Body[head:]))
		})
	}
	c, _ := newClient(t, "", true)
	require.NoError(t, c.MaxInflightMessagesSet(0))
	require.NoError(t, c.MaxInflightMessagesSet(65535))
	require.ErrorIs(t, c.MaxInflightMessagesSet(-1), mosquitto.ErrInval)
	require.ErrorIs(t, c.MaxInflightMessagesSet(65536), mosquitto.ErrInval)
}

func TestOptions_Of21NeedTheLibrary21(t *testing.T) {
	c, _ := newClient(t, "", true)
	for name, err := range map[string]error{
		"OptDisableSocketpair": c.IntOption(mosquitto.OptDisableSocketpair, 1),
		"OptTransport TCP":     c.IntOption(mosquitto.OptTransport, mosquitto.TransportTCP),
		"OptTransport":         c.IntOption(mosquitto.OptTransport, mosquitto.TransportWebsockets),
		"OptHTTPPath":          c.StringOption(mosquitto.OptHTTPPath, "/path"),
		"no OptHTTPPath":       c.StringOption(mosquitto.OptHTTPPath, ""),
		"OptHTTPHeaderSize":    c.IntOption(mosquitto.OptHTTPHeaderSize, 100),
	} {
		if has21() {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, mosquitto.ErrNotSupported, name)
		}
	}
	if has21() {
		require.ErrorIs(t, c.IntOption(mosquitto.OptTransport, 3), mosquitto.ErrInval)
		require.ErrorIs(t, c.IntOption(mosquitto.OptHTTPHeaderSize, 99), mosquitto.ErrInval)
	}
}

// The option does not exist, has another type, or the value is invalid.
func TestOptions_BadValuesReturnErrInval(t *testing.T) {
	c, _ := newClient(t, "", true)
	for name, err := range map[string]error{
		"unknown int":              c.IntOption(99, 1),
		"negative int":             c.IntOption(-1, 1),
		"option 0":                 c.IntOption(0, 1),
		"unknown string":           c.StringOption(99, "a"),
		"int by StringOption":      c.StringOption(mosquitto.OptTCPNodelay, "1"),
		"string by IntOption":      c.IntOption(mosquitto.OptBindAddress, 1),
		"empty ALPN":               c.StringOption(mosquitto.OptTLSALPN, ""),
		"NUL in a string":          c.StringOption(mosquitto.OptTLSALPN, "a\x00b"),
		"over 31 bits":             c.IntOption(mosquitto.OptSendMaximum, math.MaxInt32+1),
		"below 31 bits":            c.IntOption(mosquitto.OptTCPNodelay, math.MinInt32-1),
		"OptsSet with a string":    c.OptsSet(mosquitto.OptProtocolVersion, "5"),
		"OptsSet with nil":         c.OptsSet(mosquitto.OptProtocolVersion, nil),
		"OptsSet of another int":   c.OptsSet(mosquitto.OptTCPNodelay, 1),
		"OptsSet of an unknown":    c.OptsSet(99, 1),
		"OptsSet, int for pointer": c.OptsSet(mosquitto.OptSSLCtx, 1),
	} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
	}
	for name, err := range map[string]error{
		"delay 0":              c.ReconnectDelaySet(0, time.Second, false),
		"delay below a second": c.ReconnectDelaySet(999*time.Millisecond, time.Second, false),
		"limit 0":              c.ReconnectDelaySet(time.Second, 0, false),
		"negative delay":       c.ReconnectDelaySet(-time.Second, time.Second, false),
		"limit too large":      c.ReconnectDelaySet(time.Second, (math.MaxInt32+1)*time.Second, true),
	} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
	}
	require.NoError(t, c.ReconnectDelaySet(time.Second, 30*time.Second, true))
	require.NoError(t, c.MessageRetrySet(time.Minute))
}

// While a loop runs, settings are refused on other goroutines and accepted inside
// callbacks.
func TestOptions_BesideALoopReturnErrBusy(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "", true)
	inside := make(chan error, 1)
	c.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		inside <- c.IntOption(mosquitto.OptTCPNodelay, 1)
		e.connect <- ack
	})
	connect(t, c, e, b.Port)
	require.NoError(t, wait.For(t, inside, "the option set inside OnConnect"))
	require.ErrorIs(t, c.IntOption(mosquitto.OptTCPNodelay, 1), mosquitto.ErrBusy)
	require.ErrorIs(t, c.UsernamePwSet("a", "b"), mosquitto.ErrBusy)
}
