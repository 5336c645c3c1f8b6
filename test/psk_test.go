package test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

const (
	pskKey      = "0123456789abcdefABCDEF"
	pskOtherKey = "0123456789abcdefABCDEE"
)

// pskBroker starts a broker with one identity, "device".
func pskBroker(t testing.TB) *broker.Broker {
	t.Helper()
	return broker.Start(t, broker.Config{PSK: map[string]string{"device": pskKey}})
}

func TestPSK_ConnectsEncrypted(t *testing.T) {
	b := pskBroker(t)
	for name, newClient := range map[string]func(testing.TB, string, bool) (*mosquitto.Client, *events){
		"MQTT 3.1.1": newClient, "MQTT 5": newV5,
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.TLSPSKSet(pskKey, "device", ""))
			cipher := make(chan string, 1)
			c.OnSubscribe(func(c *mosquitto.Client, mid int, codes []mosquitto.ReasonCode, p mosquitto.Properties) {
				cipher <- sslctx.Cipher(c.SSLGet())
				e.subscribe <- granted{mid, codes, p}
			})
			ended := accepted(t, c, e, "127.0.0.1", b.Port)
			echo(t, c, e)
			require.NotEmpty(t, wait.For(t, cipher, "the cipher"))
			require.NoError(t, c.Disconnect())
			require.NoError(t, wait.For(t, ended, "the end of LoopForever"))
		})
	}
}

func TestPSK_CipherCanBeChosen(t *testing.T) {
	b := pskBroker(t)
	c, e := newClient(t, "", true)
	const wanted = "PSK-AES128-CBC-SHA256"
	require.NoError(t, c.TLSPSKSet(pskKey, "device", wanted))
	accepted(t, c, e, "127.0.0.1", b.Port)
	echo(t, c, e)
}

func TestPSK_Reconnects(t *testing.T) {
	b := pskBroker(t)
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSPSKSet(pskKey, "device", ""))
	accepted(t, c, e, "127.0.0.1", b.Port)
	b.Restart()
	wait.For(t, e.disconnect, "OnDisconnect")
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	echo(t, c, e)
}

func TestPSK_WrongKeyOrIdentityIsRefused(t *testing.T) {
	b := pskBroker(t)
	for name, as := range map[string]struct{ key, identity string }{
		"wrong key":        {pskOtherKey, "device"},
		"unknown identity": {pskKey, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.TLSPSKSet(as.key, as.identity, ""))
			err := failed(t, c, e, "127.0.0.1", b.Port)
			requireTLSFailure(t, err)
			require.NoError(t, c.Close())
			wait.None(t, e.connect, "OnConnect")
			require.NotContains(t, b.Log(), "New client connected")
		})
	}
}

// A broker with a certificate has not proved that it knows the key. Before 2.0.12 the
// library accepts it.
func TestPSK_BrokerWithACertificateIsRefused(t *testing.T) {
	b, _ := tlsBroker(t, "localhost")
	c, e := newClient(t, "", true)
	require.NoError(t, c.TLSPSKSet(pskKey, "device", ""))
	if !atLeast(2, 0, 12) {
		accepted(t, c, e, "localhost", b.Port)
		return
	}
	requireTLSFailure(t, refused(t, c, e, "localhost", b.Port))
}

func TestPSK_BadArgumentsReturnErrors(t *testing.T) {
	c, _ := newClient(t, "", true)
	for name, err := range map[string]error{
		"no hex digits":      c.TLSPSKSet("0123xyz", "device", ""),
		"0x":                 c.TLSPSKSet("0x0123", "device", ""),
		"no key":             c.TLSPSKSet("", "device", ""),
		"no identity":        c.TLSPSKSet(pskKey, "", ""),
		"NUL in the key":     c.TLSPSKSet("01\x00", "device", ""),
		"NUL in identity":    c.TLSPSKSet(pskKey, "device\x00", ""),
		"NUL in the ciphers": c.TLSPSKSet(pskKey, "device", "PSK\x00"),
	} {
		require.ErrorIs(t, err, mosquitto.ErrInval, name)
	}
	b := pskBroker(t)
	require.NoError(t, c.TLSPSKSet(pskKey, "device", "NO-SUCH-CIPHER"))
	require.ErrorIs(t, c.Connect("127.0.0.1", b.Port, keepalive), mosquitto.ErrTLS)
}
