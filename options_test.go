package mosquitto

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func newClient(t testing.TB) *Client {
	t.Helper()
	c, err := New("", true, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// notBefore21 asserts that an option succeeds with libmosquitto 2.1, and returns an
// error that names this version with older libraries.
func notBefore21(t *testing.T, err error) {
	t.Helper()
	if has21 {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, ErrNotSupported)
	require.ErrorContains(t, err, "needs libmosquitto 2.1")
}

func TestIntOption_AcceptsValidValues(t *testing.T) {
	c := newClient(t)
	for _, version := range []int{ProtocolV31, ProtocolV311, ProtocolV5} {
		require.NoError(t, c.IntOption(OptProtocolVersion, version))
	}
	for _, option := range []Option{OptReceiveMaximum, OptSendMaximum} {
		for _, n := range []int{0, 1, 65535} {
			require.NoError(t, c.IntOption(option, n))
		}
		require.ErrorIs(t, c.IntOption(option, -1), ErrInval)
		require.ErrorIs(t, c.IntOption(option, 65536), ErrInval)
	}
	for _, option := range []Option{OptSSLCtxWithDefaults, OptTLSOCSPRequired, OptTCPNodelay} {
		require.NoError(t, c.IntOption(option, 0))
		require.NoError(t, c.IntOption(option, 1))
	}
	require.ErrorIs(t, c.IntOption(OptProtocolVersion, 6), ErrInval)
	require.ErrorIs(t, c.IntOption(OptTLSALPN, 1), ErrInval, "a string option")
	require.ErrorIs(t, c.IntOption(99, 1), ErrInval)
	err := c.IntOption(OptTCPNodelay, 1<<40)
	require.ErrorIs(t, err, ErrInval)
	require.ErrorContains(t, err, "int_option: value: 1099511627776")
	notBefore21(t, c.IntOption(OptDisableSocketpair, 1))
	notBefore21(t, c.IntOption(OptHTTPHeaderSize, 100))
	notBefore21(t, c.IntOption(OptTransport, TransportWebsockets))
	notBefore21(t, c.IntOption(OptTransport, TransportTCP))
	if has21 {
		require.ErrorIs(t, c.IntOption(OptHTTPHeaderSize, 99), ErrInval)
		require.ErrorIs(t, c.IntOption(OptTransport, 9), ErrInval)
	}
}

func TestStringOption_AcceptsValidValues(t *testing.T) {
	c := newClient(t)
	require.NoError(t, c.StringOption(OptTLSALPN, "mqtt"))
	require.NoError(t, c.StringOption(OptBindAddress, "127.0.0.1"))
	notBefore21(t, c.StringOption(OptHTTPPath, "/ws"))
	notBefore21(t, c.StringOption(OptHTTPPath, ""))
	for _, option := range []Option{OptTLSKeyform, OptTLSEngine, OptTLSEngineKpassSHA1, OptTLSALPN} {
		err := c.StringOption(option, "")
		require.ErrorIs(t, err, ErrInval, "NULL would crash some versions")
		require.ErrorContains(t, err, "string_option: value: ")
	}
	require.ErrorIs(t, c.StringOption(OptTCPNodelay, "1"), ErrInval, "an int option")
	require.ErrorIs(t, c.StringOption(99, "x"), ErrInval)
	form := c.StringOption(OptTLSKeyform, "pem")
	if has21 && form != nil { // depends on how OpenSSL and the library were built
		require.ErrorIs(t, form, ErrNotSupported)
		return
	}
	require.NoError(t, form)
	require.NoError(t, c.StringOption(OptTLSEngineKpassSHA1, strings.Repeat("00", 20)))
	for _, bad := range []struct {
		option Option
		value  string
	}{{OptTLSKeyform, "jks"}, {OptTLSEngine, "no-such-engine"}} {
		err := c.StringOption(bad.option, bad.value)
		require.ErrorIs(t, err, ErrInval)
		require.ErrorContains(t, err, fmt.Sprintf("refuses %q for option %d", bad.value, bad.option))
	}
}

// Before 2.1 the library frees the old address but keeps the pointer.
func TestStringOption_ResettingTheBindAddressNeeds21(t *testing.T) {
	c := newClient(t)
	require.NoError(t, c.StringOption(OptBindAddress, "127.0.0.1"))
	require.NoError(t, c.StringOption(OptBindAddress, "127.0.0.2"))
	err := c.StringOption(OptBindAddress, "")
	if has21 {
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, ErrNotSupported)
		require.ErrorContains(t, err, "value: empty")
	}
	require.NoError(t, c.Close())
}

// The library would write any number of leading zeros into its buffer.
func TestStringOption_LongHexIsRefused(t *testing.T) {
	c := newClient(t)
	for _, value := range []string{"not hex", strings.Repeat("0", 39), strings.Repeat("0", 42), strings.Repeat("0", 4000)} {
		err := c.StringOption(OptTLSEngineKpassSHA1, value)
		require.ErrorIs(t, err, ErrInval)
		require.ErrorContains(t, err, "value: not 40 hex digits")
	}
	require.NoError(t, c.TLSPSKSet(strings.Repeat("0", 1024), "me", ""))
	err := c.TLSPSKSet(strings.Repeat("0", 1026), "me", "")
	require.ErrorIs(t, err, ErrInval)
	require.ErrorContains(t, err, "psk: 1026 digits")
}

func TestVoidOption_AcceptsOnlySSLCtx(t *testing.T) {
	c := newClient(t)
	var something int
	for _, option := range []Option{OptProtocolVersion, OptTLSALPN, OptTransport, 99} {
		err := c.VoidOption(option, unsafe.Pointer(&something))
		require.ErrorIs(t, err, ErrInval)
		require.ErrorContains(t, err, "void_option: option: ")
	}
	major, minor, revision := LibVersion()
	if major == 2 && minor == 0 && revision < 12 {
		require.ErrorIs(t, c.VoidOption(OptSSLCtx, nil), ErrInval)
	} else {
		require.NoError(t, c.VoidOption(OptSSLCtx, nil))
	}
}

func TestOptsSet_ChecksTheTypeOfTheValue(t *testing.T) {
	c := newClient(t)
	require.NoError(t, c.OptsSet(OptProtocolVersion, ProtocolV5))
	require.NoError(t, c.WillSetV5("a", nil, 0, false, Properties{{ID: PropContentType, Text: "x"}}), "the client uses MQTT 5")
	require.ErrorIs(t, c.OptsSet(OptProtocolVersion, 9), ErrInval)
	for what, err := range map[string]error{
		"option: 4":               c.OptsSet(OptReceiveMaximum, 1),
		"value: a string":         c.OptsSet(OptProtocolVersion, "5"),
		"value: a <nil>":          c.OptsSet(OptSSLCtx, nil),
		"option: 1 takes no poin": c.OptsSet(OptProtocolVersion, unsafe.Pointer(nil)),
	} {
		require.ErrorIs(t, err, ErrInval)
		require.ErrorContains(t, err, "opts_set: "+what)
	}
}

func TestSetters_AcceptValidValues(t *testing.T) {
	c := newClient(t)
	require.NoError(t, c.ReconnectDelaySet(time.Second, time.Second, true))
	require.NoError(t, c.ReconnectDelaySet(time.Minute, time.Second, false))
	require.NoError(t, c.MaxInflightMessagesSet(0))
	require.NoError(t, c.MaxInflightMessagesSet(65535))
	require.NoError(t, c.MessageRetrySet(time.Second))
	require.NoError(t, c.UsernamePwSet("name", "password"))
	require.NoError(t, c.UsernamePwSet("", ""))
	require.NoError(t, c.Socks5Set("localhost", 1080, "", ""))
	require.NoError(t, c.WillSet("a", make([]byte, 65535), 2, true))
	require.NoError(t, c.WillClear())
	require.NoError(t, c.ThreadedSet(false))
	require.NoError(t, c.ThreadedSet(true))
	require.NoError(t, c.TLSInsecureSet(true))
	require.NoError(t, c.TLSOptsSet(SSLVerifyNone, "", ""))
	require.NoError(t, c.TLSPSKSet("00fF", "identity", ""))
}
