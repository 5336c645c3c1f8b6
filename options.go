//go:build cgo

package mosquitto

import (
	"math"
	"time"
	"unsafe"
)

// Option is a MOSQ_OPT_ constant.
type Option int

// The options, and which setter each is for. "int" is [Client.IntOption],
// "string" [Client.StringOption], "void" [Client.VoidOption].
const (
	OptProtocolVersion    Option = cOptProtocolVersion    // int: ProtocolV31, ProtocolV311 (default), ProtocolV5
	OptSSLCtx             Option = cOptSSLCtx             // void: an OpenSSL SSL_CTX that the caller has made
	OptSSLCtxWithDefaults Option = cOptSSLCtxWithDefaults // int 0 or 1 (default 1): apply the library's TLS settings to OptSSLCtx
	OptReceiveMaximum     Option = cOptReceiveMaximum     // int 0 to 65535 (default 20, 0 is 65535): QoS>0 messages in flight towards us, MQTT 5
	OptSendMaximum        Option = cOptSendMaximum        // int 0 to 65535 (default 20, 0 is 65535): QoS>0 messages in flight from us
	OptTLSKeyform         Option = cOptTLSKeyform         // string: "pem" or "engine"; lacking in a 2.1 that was built for OpenSSL 3 alone
	OptTLSEngine          Option = cOptTLSEngine          // string: an OpenSSL engine; lacking in a 2.1 that was built for OpenSSL 3 alone
	OptTLSEngineKpassSHA1 Option = cOptTLSEngineKpassSHA1 // string: SHA-1 of the engine key's password, 40 hex digits; lacking in a 2.1 that was built for OpenSSL 3 alone
	OptTLSOCSPRequired    Option = cOptTLSOCSPRequired    // int 0 or 1: refuse a broker without a stapled OCSP response
	OptTLSALPN            Option = cOptTLSALPN            // string: the protocol to ask for
	OptTCPNodelay         Option = cOptTCPNodelay         // int 0 or 1 (default 0): no Nagle delay; Run never has one
	OptBindAddress        Option = cOptBindAddress        // string, or none: the local address to connect from
	OptTLSUseOSCerts      Option = cOptTLSUseOSCerts      // int 0 or 1: TLS with the system's trust store; with 2.0.11 reconnects fail
	OptDisableSocketpair  Option = cOptDisableSocketpair  // int, 2.1: accepted, without effect in 2.1.2
	OptTransport          Option = cOptTransport          // int, 2.1: TransportTCP or TransportWebsockets
	OptHTTPPath           Option = cOptHTTPPath           // string, 2.1: the path of the WebSocket request, default "/mqtt"
	OptHTTPHeaderSize     Option = cOptHTTPHeaderSize     // int, 2.1: the longest HTTP response, at least 100, default 4096
)

// Values of [OptProtocolVersion].
const (
	ProtocolV31  = cProtocolV31
	ProtocolV311 = cProtocolV311
	ProtocolV5   = cProtocolV5
)

// Values of [OptTransport].
const (
	TransportTCP        = cTransportTCP
	TransportWebsockets = cTransportWebsockets
)

// IntOption wraps mosquitto_int_option: it sets an option whose value is an integer.
// Set options before connecting. The error wraps [ErrNotSupported] if the installed
// library lacks the option. Like every setter, IntOption returns [ErrBusy] while a loop
// runs.
func (c *Client) IntOption(option Option, value int) (err error) {
	const op = "int_option"
	defer naming(&err, "option, value: the library refuses %d for option %d", value, int(option))
	if err := checkOption(op, option); err != nil {
		return err
	}
	if value < math.MinInt32 || value > math.MaxInt32 {
		return badArgument(op, ErrInval, "value: %d is out of range", value)
	}
	return c.configureOption(op, option, func() result {
		r := cIntOption(c.c, option, value)
		if r.rc == cSuccess {
			c.noteOption(option, value)
		}
		return r
	})
}

// configureOption calls configureTLS for options that have no effect after SetTLS, and
// configure for other options.
func (c *Client) configureOption(op string, option Option, set func() result) error {
	switch option {
	case OptTLSKeyform, OptTLSEngine, OptTLSEngineKpassSHA1, OptTLSALPN, OptTLSUseOSCerts:
		return c.configureTLS(op, set)
	case OptSSLCtxWithDefaults:
		return c.configure(op, func() result {
			c.tlsSum = nil // the next SetTLS sets the option again
			return set()
		})
	}
	return c.configure(op, set)
}

// noteOption keeps the values of options that the binding itself uses.
func (c *Client) noteOption(option Option, value int) {
	switch option {
	case OptProtocolVersion:
		c.v5.Store(value == ProtocolV5)
	case OptTLSUseOSCerts:
		if value != 0 {
			c.tls.Store(true)
			c.hasTLS.Store(true)
		}
	}
}

// StringOption wraps mosquitto_string_option: it sets an option whose value is a
// string. With libmosquitto 2.1 the empty string removes [OptBindAddress] and
// [OptHTTPPath]. Before 2.1 it returns [ErrNotSupported] for them, because the library
// would free the old value twice. The other options refuse the empty string.
func (c *Client) StringOption(option Option, value string) (err error) {
	const op = "string_option"
	defer naming(&err, "option, value: the library refuses %q for option %d", value, int(option))
	if err := checkOption(op, option); err != nil {
		return err
	}
	if err := checkText(op, "value", value); err != nil {
		return err
	}
	if option == OptTLSEngineKpassSHA1 && (len(value) != 40 || !isHex(value)) { // the library would write past its buffer
		return badArgument(op, ErrInval, "value: not 40 hex digits")
	}
	text := &value
	if value == "" {
		if option != OptBindAddress && option != OptHTTPPath {
			return badArgument(op, ErrInval, "value: empty")
		}
		if major, minor, _ := cLibVersion(); major == 2 && minor < 1 {
			return badArgument(op, ErrNotSupported, "value: empty, which needs libmosquitto 2.1")
		}
		text = nil
	}
	return c.configureOption(op, option, func() result { return cStringOption(c.c, option, text) })
}

// VoidOption wraps mosquitto_void_option: it sets [OptSSLCtx] to a pointer to an
// OpenSSL SSL_CTX. The library keeps its own reference. nil removes the context, from
// 2.0.12 on.
//
// Set [OptSSLCtxWithDefaults] to 0 as well, unless a CA is set with [Client.TLSSet]:
// the library refuses to connect otherwise. With a context alone the library does not
// check the host name. Set the check up on the context.
func (c *Client) VoidOption(option Option, value unsafe.Pointer) error {
	return c.sslContext("void_option", option, value, cVoidOption)
}

// OptsSet wraps mosquitto_opts_set: it sets [OptProtocolVersion] to an int, or
// [OptSSLCtx] to an unsafe.Pointer.
//
// Deprecated: libmosquitto has deprecated mosquitto_opts_set. Use [Client.IntOption] and
// [Client.VoidOption].
func (c *Client) OptsSet(option Option, value any) (err error) {
	const op = "opts_set"
	defer naming(&err, "value: the library refuses %v", value)
	switch v := value.(type) {
	case int:
		if option != OptProtocolVersion {
			return badArgument(op, ErrInval, "option: %d takes no int here, use IntOption", int(option))
		}
		return c.configure(op, func() result {
			r := cOptsSetInt(c.c, option, v)
			if r.rc == cSuccess {
				c.noteOption(option, v)
			}
			return r
		})
	case unsafe.Pointer:
		return c.sslContext(op, option, v, cOptsSet)
	}
	return badArgument(op, ErrInval, "value: a %T is neither an int nor an unsafe.Pointer", value)
}

func (c *Client) sslContext(op string, option Option, value unsafe.Pointer, set func(*cClient, Option, unsafe.Pointer) result) (err error) {
	defer naming(&err, "value: the library refuses %v", value)
	if option != OptSSLCtx {
		return badArgument(op, ErrInval, "option: %d takes no pointer", int(option))
	}
	// c.tls stays as it is: with such a context 2.0 does not initialise OpenSSL, so a
	// connect with it must not count as the first connect with TLS.
	return c.configure(op, func() result {
		r := set(c.c, option, value)
		if r.rc == cSuccess && value != nil {
			c.hasTLS.Store(true)
			c.ownTLS.Store(false)
		}
		return r
	})
}

// checkOption distinguishes options that the installed library lacks from options that
// do not exist.
func checkOption(op string, option Option) error {
	if !has21 && option >= OptDisableSocketpair && option <= OptHTTPHeaderSize {
		return badArgument(op, ErrNotSupported, "option: %d needs libmosquitto 2.1", int(option))
	}
	return nil
}

// ReconnectDelaySet wraps mosquitto_reconnect_delay_set: it sets the delays between the
// attempts of LoopForever, LoopStart and Run.
//
// delay and limit are whole seconds, at least one. The delay before the n-th attempt in
// a row is n times delay. With exponential it is n*n times delay, although the
// library's header says "doubles". It is at most limit. By default every delay is one
// second.
func (c *Client) ReconnectDelaySet(delay, limit time.Duration, exponential bool) error {
	const op = "reconnect_delay_set"
	if delay < time.Second || delay > math.MaxInt32*time.Second {
		return badArgument(op, ErrInval, "delay: %v is not between 1 s and 2^31 s", delay)
	}
	if limit < time.Second || limit > math.MaxInt32*time.Second { // 0 would reconnect without a pause
		return badArgument(op, ErrInval, "limit: %v is not between 1 s and 2^31 s", limit)
	}
	return c.configure(op, func() result {
		c.backoff = backoff{delay.Truncate(time.Second), limit.Truncate(time.Second), exponential}
		return cReconnectDelaySet(c.c, int(delay/time.Second), int(limit/time.Second), exponential)
	})
}

// MaxInflightMessagesSet wraps mosquitto_max_inflight_messages_set: it limits the QoS 1
// and 2 messages in flight.
//
// n is 0 to 65,535, where 0 means 65,535. The default is 20. The library queues further
// messages. The limit takes effect at the next connect, and a broker of MQTT 5 may
// change it. The library searches the messages in flight linearly at each
// acknowledgement. So publishing is fastest with 100 to 300 messages in flight, twice
// as fast as with 1,000.
//
// Deprecated: libmosquitto 2.1 has deprecated mosquitto_max_inflight_messages_set. Use
// [Client.IntOption] with [OptSendMaximum], which does the same on every version.
func (c *Client) MaxInflightMessagesSet(n int) error {
	const op = "max_inflight_messages_set"
	if n < 0 || n > 65535 {
		return badArgument(op, ErrInval, "n: %d is not between 0 and 65535", n)
	}
	return c.configure(op, func() result { return cMaxInflightMessagesSet(c.c, n) })
}

// MessageRetrySet wraps mosquitto_message_retry_set, which does nothing: the library
// sends messages again only when it reconnects.
//
// Deprecated: mosquitto_message_retry_set has no effect, and no replacement.
func (c *Client) MessageRetrySet(retry time.Duration) error {
	return c.configure("message_retry_set", func() result {
		cMessageRetrySet(c.c, int(retry/time.Second))
		return result{}
	})
}

// UsernamePwSet wraps mosquitto_username_pw_set: it sets the credentials. Two empty
// strings remove them. A password without a username needs MQTT 5. Inside
// [Client.OnPreConnect] UsernamePwSet applies to the connection that is being made.
func (c *Client) UsernamePwSet(username, password string) (err error) {
	const op = "username_pw_set"
	if err := checkPair(op, "username", username, "password", password); err != nil {
		return err
	}
	if err := checkMQTTText(op, "username", username); err != nil {
		return err
	}
	defer naming(&err, "username: empty, which with a password needs MQTT 5")
	return c.configure(op, func() result { return cUsernamePwSet(c.c, username, password) })
}

// Socks5Set wraps mosquitto_socks5_set: it makes the client connect through a SOCKS5
// proxy, which resolves the broker's name. host has at most 256 bytes, username and
// password have at most 255 and may be empty. The library does not send CONNECT
// properties through a proxy.
func (c *Client) Socks5Set(host string, port int, username, password string) error {
	const op = "socks5_set"
	if err := checkName(op, "host", host); err != nil {
		return err
	}
	if err := checkPair(op, "username", username, "password", password); err != nil {
		return err
	}
	switch {
	case len(host) > 256:
		return badArgument(op, ErrInval, "host: %d bytes, more than 256", len(host))
	case port < 1 || port > 65535:
		return badArgument(op, ErrInval, "port: %d is not between 1 and 65535", port)
	case len(username) > 255:
		return badArgument(op, ErrInval, "username: %d bytes, more than 255", len(username))
	case len(password) > 255:
		return badArgument(op, ErrInval, "password: %d bytes, more than 255", len(password))
	case (username == "") != (password == ""): // the library reads through a null pointer
		return badArgument(op, ErrInval, "username, password: one is empty")
	}
	return c.configure(op, func() result {
		c.server.proxy = host
		return cSocks5Set(c.c, host, port, username, password)
	})
}

// ThreadedSet wraps mosquitto_threaded_set: true, the default here, makes publishing
// safe from any goroutine. Calls then only queue packets. The loop writes them, and
// callbacks run on the loop alone.
//
// false restores the library's single-threaded behaviour. Publish then writes to the
// socket itself, and runs OnPublish before it returns. All calls must come from one
// goroutine at a time, and nothing in the binding checks this. ThreadedSet returns an
// error while [Client.LoopStart] is on.
func (c *Client) ThreadedSet(threaded bool) error {
	return c.configure("threaded_set", func() result {
		c.single.Store(!threaded)
		return cThreadedSet(c.c, threaded)
	})
}
