package test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// contextSetters are the two ways to give the library an SSL_CTX.
var contextSetters = map[string]func(*mosquitto.Client, unsafe.Pointer) error{
	"VoidOption": func(c *mosquitto.Client, ctx unsafe.Pointer) error { return c.VoidOption(mosquitto.OptSSLCtx, ctx) },
	"OptsSet":    func(c *mosquitto.Client, ctx unsafe.Pointer) error { return c.OptsSet(mosquitto.OptSSLCtx, ctx) },
}

func TestSSLContext_IsUsed(t *testing.T) {
	b, ca := tlsBroker(t, "localhost")
	for name, set := range contextSetters {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.IntOption(mosquitto.OptSSLCtxWithDefaults, 0))
			require.NoError(t, set(c, sslctx.New(t, ca.File)))
			accepted(t, c, e, "localhost", b.Port)
			echo(t, c, e)

			c, e = newClient(t, "", true)
			require.NoError(t, c.IntOption(mosquitto.OptSSLCtxWithDefaults, 0))
			require.NoError(t, set(c, sslctx.New(t, broker.NewCA(t, "other").File)))
			distrusted(t, c, e, "localhost", b.Port)
		})
	}
}

// With only a context of the program, the library checks the certificate chain but not
// the name.
func TestSSLContext_DoesNotCheckTheName(t *testing.T) {
	b, ca := tlsBroker(t, "elsewhere.example")
	c, e := newClient(t, "", true)
	require.NoError(t, c.IntOption(mosquitto.OptSSLCtxWithDefaults, 0))
	require.NoError(t, c.VoidOption(mosquitto.OptSSLCtx, sslctx.New(t, ca.File)))
	accepted(t, c, e, "localhost", b.Port)
}

// Unless OptSSLCtxWithDefaults is 0, the library needs a CA as well.
func TestSSLContext_WithDefaultsNeedsACA(t *testing.T) {
	if !inChild(t, "") { // libmosquitto 2.0.11 initializes OpenSSL only for its own contexts
		return
	}
	b, ca := tlsBroker(t, "localhost")
	c, e := newClient(t, "", true)
	require.NoError(t, c.VoidOption(mosquitto.OptSSLCtx, sslctx.New(t, ca.File)))
	require.ErrorIs(t, c.Connect("localhost", b.Port, keepalive), mosquitto.ErrInval)
	require.NoError(t, c.TLSSet(ca.File, "", "", "", nil))
	if !atLeast(2, 0, 12) {
		err := c.Connect("localhost", b.Port, keepalive)
		if err == nil { // the loop completes the handshake
			err = loopUntilError(c)
		}
		require.Error(t, err)
		wait.None(t, e.connect, "OnConnect")

		first, e := trusting(t, ca)
		accepted(t, first, e, "localhost", b.Port)
	}
	accepted(t, c, e, "localhost", b.Port)
}

// loopUntilError calls Loop until it returns an error, or for at most wait.Patience.
func loopUntilError(c *mosquitto.Client) (err error) {
	for deadline := time.Now().Add(wait.Patience); err == nil && time.Now().Before(deadline); {
		err = c.Loop(100 * time.Millisecond)
	}
	return err
}

func TestSSLContext_CanBeRemoved(t *testing.T) {
	p := plain(t)
	_, ca := tlsBroker(t, "localhost")
	for name, set := range contextSetters {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			require.NoError(t, c.IntOption(mosquitto.OptSSLCtxWithDefaults, 0))
			require.NoError(t, set(c, sslctx.New(t, ca.File)))
			if !atLeast(2, 0, 12) {
				require.ErrorIs(t, set(c, nil), mosquitto.ErrInval)
				return
			}
			require.NoError(t, set(c, nil))
			accepted(t, c, e, "127.0.0.1", p.Port) // connects without TLS again
		})
	}
}

func TestSSLContext_BadArgumentsReturnErrInval(t *testing.T) {
	_, ca := tlsBroker(t, "localhost")
	c, _ := newClient(t, "", true)
	ctx := sslctx.New(t, ca.File)
	require.ErrorIs(t, c.VoidOption(mosquitto.OptTLSALPN, ctx), mosquitto.ErrInval)
	require.ErrorIs(t, c.VoidOption(mosquitto.Option(99), ctx), mosquitto.ErrInval)
	require.ErrorIs(t, c.OptsSet(mosquitto.OptTCPNodelay, ctx), mosquitto.ErrInval)
	require.ErrorIs(t, c.IntOption(mosquitto.OptSSLCtx, 1), mosquitto.ErrInval)
	require.ErrorIs(t, c.StringOption(mosquitto.OptSSLCtx, "a"), mosquitto.ErrInval)
}
