//go:build cgo

package mqtt

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Option is a setting for [Dial]. The zero value changes nothing.
type Option struct{ apply func(*settings) error }

// settings holds the values of the options.
type settings struct {
	clientID    string
	keepSession bool
	expiry      time.Duration
	protocols   []Protocol
	keepalive   time.Duration
	username    string
	password    string
	credentials func(context.Context) (username, password string, err error)
	authMethod  string
	auth        func() AuthExchange // nil without WithAuth
	tls         *TLS
	tlsFunc     func(context.Context) (TLS, error)
	dial        dialFunc
	tlsConfig   *tls.Config
	will        *Will
	willFunc    func(context.Context) (Will, error)
	connect     Properties
	bind        string
	proxied     bool
	setup       []func(*mosquitto.Client) error

	backoff        backoff
	connectTimeout time.Duration
	connectRetry   bool
	redirect       bool
	background     bool

	queue            queueLimits
	inflight         int
	inflightQoS2     int
	deliveryAttempts int
	outbox           Outbox

	worker           int // capacity of the worker's queue; 0 for inline handlers
	overflow         Overflow
	iteratorLimit    int
	unhandled        *target
	subscriptions    []desire
	filtersPerPacket int
	identifiers      bool // subscription identifiers, with MQTT 5
	assignAliases    bool // topic aliases for messages of QoS 0
	aliasMaximum     int  // topic aliases that the broker may use
	trustSession     bool // the session has the subscriptions

	responsePrefix      string // of response topics; "" for the default
	responseInformation bool   // response topics begin with the broker's response information

	logger        *slog.Logger
	hooks         []Hooks
	onConnect     []func(context.Context, *Client, Connack) error
	stateHandlers []func(*Client, StateChange)
}

func defaults() settings {
	return settings{
		protocols: []Protocol{V311}, keepalive: time.Minute,
		backoff: backoff{time.Second, 30 * time.Second, 0.5}, connectTimeout: 10 * time.Second,
		queue: queueLimits{messages: 10_000, bytes: 64 << 20}, inflight: 100, inflightQoS2: 19, deliveryAttempts: 3,
		iteratorLimit: 1000, filtersPerPacket: 8, identifiers: true,
	}
}

// read applies the options and checks their combinations.
func (s *settings) read(options []Option) error {
	for _, option := range options {
		if option.apply == nil {
			continue
		}
		if err := option.apply(s); err != nil {
			return err
		}
	}
	if s.keepSession && s.clientID == "" {
		return badArgument("WithSession", "needs WithClientID: the broker finds a session by the client id")
	}
	if s.trustSession && !s.keepSession {
		return badArgument("WithTrustedSession", "needs WithSession")
	}
	v5 := slices.Contains(s.protocols, V5)
	if s.responsePrefix != "" && !v5 {
		return badArgument("WithResponsePrefix", "needs WithProtocol(V5)")
	}
	if s.responseInformation && !v5 {
		return badArgument("WithResponseInformation", "needs WithProtocol(V5)")
	}
	if len(s.connect) > 0 && !v5 {
		return badArgument("WithConnectProperties", "needs WithProtocol(V5)")
	}
	for _, d := range s.subscriptions {
		if d.options != 0 && !v5 {
			return badArgument("WithSubscription", "filter %q: its options need MQTT 5: WithProtocol(V5)", d.filter)
		}
	}
	if s.will != nil && s.willFunc == nil && len(s.will.Properties) > 0 && !v5 {
		return badArgument("WithWill", "properties need WithProtocol(V5)")
	}
	return nil
}

// expirySeconds returns the session expiry for MQTT 5. The largest value means no
// expiry.
func (s *settings) expirySeconds() uint32 {
	if s.expiry < 0 {
		return math.MaxUint32
	}
	return seconds(s.expiry)
}

// publishing runs the Publish hooks. The caller must call the result with the outcome,
// unless it is nil.
func (s *settings) publishing(ctx context.Context, p *Publication) func(error) {
	if len(s.hooks) == 0 {
		return nil
	}
	return published(s.hooks, ctx, p)
}

// WithClientID sets the client id. Without it the broker or the library chooses a random
// id.
func WithClientID(id string) Option {
	return Option{func(s *settings) error {
		s.clientID = id
		return nil
	}}
}

// WithSession makes the broker keep the subscriptions and the messages of QoS 1 and 2
// while the client is disconnected. It needs [WithClientID].
//
// With MQTT 5 the session ends when the client was disconnected for longer than expiry.
// The unit is whole seconds, rounded up. A negative expiry keeps the session for ever.
// With MQTT 3 expiry has no effect: the broker decides how long it keeps the session.
//
// After a crash, a broker may restore an older version of the session. With MQTT 5 the
// client therefore sends all subscriptions again. With MQTT 3 it does not, because that
// would replay retained messages; recent subscriptions may be lost. At its first
// connection a client always sends its subscriptions, unless [WithTrustedSession] is set.
func WithSession(expiry time.Duration) Option {
	return Option{func(s *settings) error {
		s.keepSession, s.expiry = true, expiry
		return nil
	}}
}

// WithTrustedSession makes the client rely on the subscriptions of a kept session. It
// needs [WithSession]. If the broker reports a session at the first connection, the client
// sends no SUBSCRIBE for the filters of [WithSubscription]: they count as granted with the
// QoS of the option. So retained messages do not arrive again at each start of the
// program. If there is no session, the client subscribes. With MQTT 3.1 it always
// subscribes, because the broker cannot report a session.
//
// An earlier process must have subscribed to the same filters with the same options. The
// client cannot check this: no message arrives for a filter that the session does not
// have. Start the program once without this option after its filters have changed.
//
// Subscribe always sends a SUBSCRIBE. At a reconnect to a kept session the client sends no
// subscriptions again with MQTT 5 either. If the broker has restored an older version of
// the session after a crash, recent subscriptions are lost. If a broker turns out to send
// several subscription identifiers in one message, the client sends the subscriptions again
// without them: see [WithSubscriptionIdentifiers].
func WithTrustedSession() Option {
	return Option{func(s *settings) error {
		s.trustSession = true
		return nil
	}}
}

// WithProtocol sets the versions of MQTT. The default is V311. With several versions the
// client tries the first version first, and the next version if the broker refuses it.
func WithProtocol(versions ...Protocol) Option {
	return Option{func(s *settings) error {
		if len(versions) == 0 {
			return badArgument("WithProtocol", "no version")
		}
		for _, v := range versions {
			if v != V31 && v != V311 && v != V5 {
				return badArgument("WithProtocol", "%d is none of V31, V311, V5", int(v))
			}
		}
		s.protocols = slices.Clone(versions)
		return nil
	}}
}

// WithKeepAlive sets the keepalive: the longest time without a packet before the client
// sends PINGREQ. It is 5 s to 65,535 s, or 0 to turn the keepalive off. The default is
// 60 s.
func WithKeepAlive(d time.Duration) Option {
	return Option{func(s *settings) error {
		if d != 0 && (d < 5*time.Second || d > math.MaxUint16*time.Second) {
			return badArgument("WithKeepAlive", "%v is neither 0 nor between 5 s and 65535 s", d)
		}
		s.keepalive = d
		return nil
	}}
}

// WithCredentials sets the username and the password. They replace the credentials in
// the URL of a server.
func WithCredentials(username, password string) Option {
	return Option{func(s *settings) error {
		s.username, s.password = username, password
		return nil
	}}
}

// WithCredentialsFunc sets a function that returns the credentials, for example a token
// that expires. The client calls f before every attempt to connect, on a separate
// goroutine. If f returns an error, the attempt fails with this error. ctx ends with the
// connect timeout.
func WithCredentialsFunc(f func(ctx context.Context) (username, password string, err error)) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithCredentialsFunc", "f is nil")
		}
		s.credentials = f
		return nil
	}}
}

// Will is the message that the broker publishes if the connection ends without
// DISCONNECT. [Client.Close] sends DISCONNECT. The properties, such as the will delay,
// need MQTT 5. [mosquitto.Will] describes the fields. The default of QoS is 0.
type Will = mosquitto.Will

// WithWill sets the will. It copies the payload.
func WithWill(w Will) Option {
	return Option{func(s *settings) error {
		if err := checkWill(&w); err != nil {
			return named("WithWill", err)
		}
		w.Payload = slices.Clone(w.Payload)
		s.will = &w
		return nil
	}}
}

// WithWillFunc sets a function that returns the will of a connection. It takes precedence
// over [WithWill]. The client calls f before every attempt to connect, on a separate
// goroutine. If f returns an error, the attempt fails with this error. ctx ends with the
// connect timeout. A Will with an empty topic means that the connection has no will.
//
// The properties of a will need MQTT 5: without WithProtocol(V5) the attempt fails. If the
// client has lowered the version to MQTT 3, it leaves them out, as with WithWill.
func WithWillFunc(f func(ctx context.Context) (Will, error)) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithWillFunc", "f is nil")
		}
		s.willFunc = f
		return nil
	}}
}

// WithConnectProperties adds properties to the CONNECT packet. They need MQTT 5.
func WithConnectProperties(props Properties) Option {
	return Option{func(s *settings) error {
		s.connect = append(s.connect, props...)
		return named("WithConnectProperties", checkProperties(mosquitto.CmdConnect, "CONNECT", s.connect))
	}}
}

// WithBindAddress sets the local address of connections.
func WithBindAddress(address string) Option {
	return Option{func(s *settings) error {
		if strings.IndexByte(address, 0) >= 0 {
			return badArgument("WithBindAddress", "%.100q contains a NUL byte", address)
		}
		s.bind = address
		return nil
	}}
}

// WithProxy sets a SOCKS5 proxy, which also resolves the broker's name. With a proxy the
// library does not send CONNECT properties.
func WithProxy(host string, port int, username, password string) Option {
	return Option{func(s *settings) error {
		s.proxied = true
		s.setup = append(s.setup, func(m *mosquitto.Client) error {
			return named("WithProxy", m.Socks5Set(host, port, username, password))
		})
		return nil
	}}
}

// WithLibrarySetup calls f with the library client before it connects. Use it for settings that
// have no option here, such as OCSP stapling, engines or an SSL_CTX. The client may make
// several library clients, and calls f for each. f must not set callbacks.
//
// If f sets TLS up, with TLSSet, TLSPSKSet or an SSL_CTX, these settings apply to all
// connections, and [WithTLS] returns an error.
func WithLibrarySetup(f func(*mosquitto.Client) error) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithLibrarySetup", "f is nil")
		}
		s.setup = append(s.setup, func(m *mosquitto.Client) error { return named("WithLibrarySetup", f(m)) })
		return nil
	}}
}

// WithBackoff sets the delays between rounds of attempts. A round tries all servers. The
// delay is min after the first failed round, and doubles with each further round up to
// max. jitter, 0 to 1, is the random share of a delay. Delays from 200 ms on are up to 20 ms
// shorter, so that clients of one process wake together. The defaults are 1 s, 30 s and 0.5.
func WithBackoff(min, max time.Duration, jitter float64) Option {
	return Option{func(s *settings) error {
		if min <= 0 || max < min || !(jitter >= 0 && jitter <= 1) {
			return badArgument("WithBackoff", "min %v, max %v, jitter %v: wanted 0 < min <= max and a jitter from 0 to 1", min, max, jitter)
		}
		s.backoff = backoff{min, max, jitter}
		return nil
	}}
}

// WithConnectTimeout sets the limit of an attempt to connect to one address, until the
// broker has accepted the connection. The default is 10 s.
func WithConnectTimeout(d time.Duration) Option {
	return Option{func(s *settings) error {
		if d <= 0 {
			return badArgument("WithConnectTimeout", "%v is not positive", d)
		}
		s.connectTimeout = d
		return nil
	}}
}

// WithConnectRetry makes Dial try again until its ctx ends, or until all servers refuse
// permanently. Wrong credentials and a CA that does not fit are permanent. By default Dial
// returns an error when no server has accepted the client in one round.
func WithConnectRetry() Option {
	return Option{func(s *settings) error {
		s.connectRetry = true
		return nil
	}}
}

// WithBackgroundConnect makes Dial return at once. The client connects in the background.
func WithBackgroundConnect() Option {
	return Option{func(s *settings) error {
		s.background = true
		return nil
	}}
}

// WithRedirect makes the client follow the server reference of a broker that refuses
// the connection (MQTT 5, reason codes 0x9C and 0x9D).
//
// The client follows at most five references in a row, with the same scheme and
// credentials. After that, and after a connection loss, it tries the servers of Dial.
// Without this option the reference is only reported: see [Connack]. libmosquitto drops
// the reference of a DISCONNECT packet, so the client cannot follow it.
func WithRedirect() Option {
	return Option{func(s *settings) error {
		s.redirect = true
		return nil
	}}
}

// WithQueue sets the limits of the queue. They count the messages that were accepted and
// not yet acknowledged, and the bytes of their topics, payloads and properties. policy
// decides about messages that exceed a limit. The defaults are 10,000 messages, 64 MiB
// and [WaitForRoom].
func WithQueue(messages, bytes int, policy QueueFull) Option {
	return Option{func(s *settings) error {
		if messages < 1 || bytes < 1 || policy < WaitForRoom || policy > DropOldestQoS0 {
			return badArgument("WithQueue", "%d messages, %d bytes, policy %d", messages, bytes, int(policy))
		}
		s.queue = queueLimits{messages, bytes, policy}
		return nil
	}}
}

// WithInflight sets how many messages of QoS 1 and 2 may be in flight at a time: 1 to
// 65,535. The default is 100, and at most 19 of them may have QoS 2. An explicit n also
// replaces the limit of 19. Queued messages can be cancelled; messages in flight cannot.
//
// More than 100 messages in flight increase the throughput only if the broker is far
// away. The client uses more than 100 only while every acknowledgement takes longer than
// 2 ms, because libmosquitto searches its in-flight list linearly.
//
// An MQTT 5 broker may lower the limit. An MQTT 3 broker cannot. Mosquitto closes an
// MQTT 3 connection if a message arrives while 20 messages of QoS 2 are in flight
// (max_inflight_messages).
func WithInflight(n int) Option {
	return Option{func(s *settings) error {
		if n < 1 || n > math.MaxUint16 {
			return badArgument("WithInflight", "%d is not between 1 and 65535", n)
		}
		s.inflight, s.inflightQoS2 = n, n
		return nil
	}}
}

// WithDeliveryAttempts limits how often a message of QoS 1 or 2 is sent if the broker
// closes the connection after each attempt. It counts the connections that the broker closes
// while the message is the oldest in flight. The default is 3, and 0 means no limit.
// Brokers close the connection for messages that they do not accept, such as a message
// above their packet size with MQTT 3.
//
// The number is for each server: a client of three servers sends a message up to 3n times,
// to any of them. While one node of a cluster fails, the other nodes may close connections
// too, although they accept the message later.
//
// At the limit the message fails with a [*DeliveryError] and leaves the outbox. Other
// messages are sent normally. Before the message fails, the client sends it alone, so
// that no other message can be the cause.
//
// The limit also applies to a filter for which the broker closes connections. Its
// subscription fails with a [*SubscribeError].
func WithDeliveryAttempts(n int) Option {
	return Option{func(s *settings) error {
		if n < 0 {
			return badArgument("WithDeliveryAttempts", "%d is negative", n)
		}
		s.deliveryAttempts = n
		return nil
	}}
}

// WithFiltersPerSubscribe sets the maximum number of filters in a SUBSCRIBE packet. The
// default is 8, which is the limit of AWS IoT Core. If the broker closes the connection
// instead of sending SUBACK, the client halves the number, down to 1.
func WithFiltersPerSubscribe(n int) Option {
	return Option{func(s *settings) error {
		if n < 1 {
			return badArgument("WithFiltersPerSubscribe", "%d is not positive", n)
		}
		s.filtersPerPacket = n
		return nil
	}}
}

// WithSubscriptionIdentifiers turns subscription identifiers on or off. They need MQTT
// 5. The default is on. With them, a message that matches several filters reaches each
// handler once, even if the broker sends several copies.
//
// libmosquitto cannot parse a message with several identifiers. If a server sends such a
// message, the client logs a warning, reconnects and uses no identifiers with this
// server.
func WithSubscriptionIdentifiers(on bool) Option {
	return Option{func(s *settings) error {
		s.identifiers = on
		return nil
	}}
}

// WithOutbox keeps messages of QoS 1 and 2 in o until the broker has acknowledged or
// refused them. The client does not close o.
//
// Messages of an earlier process are sent first, in their order. Messages that were in
// flight when that process ended may be delivered twice. The messages count in the
// queue, and the client reads them as the queue has capacity. Until it has read all of
// them, the queue accepts no new messages.
//
// Publish and PublishAsync store a message before they queue it. They wait for the
// outbox even if ctx ends. A stored message is sent even if ctx or the client ends: the
// error then wraps [ErrAbandoned]. The outbox does not store the messages of
// [WithOnConnect] functions.
func WithOutbox(o Outbox) Option {
	return Option{func(s *settings) error {
		if o == nil {
			return badArgument("WithOutbox", "o is nil")
		}
		s.outbox = o
		return nil
	}}
}

// HandlerMode selects the goroutine that runs handlers: see [Inline] and [Worker].
type HandlerMode struct {
	capacity int
	overflow Overflow
}

// Inline runs handlers on the loop goroutine. It is the default.
func Inline() HandlerMode { return HandlerMode{} }

// Worker runs handlers on a goroutine of their own, in the order of arrival. messages is
// the capacity of its queue; 0 means [Inline]. overflow is the policy of the full queue.
func Worker(messages int, overflow Overflow) HandlerMode {
	return HandlerMode{max(messages, -1), overflow}
}

// WithHandlerMode sets which goroutine runs handlers: see [Inline] and [Worker].
func WithHandlerMode(mode HandlerMode) Option {
	return Option{func(s *settings) error {
		if mode.capacity < 0 || mode.overflow < Block || mode.overflow > DropNewest {
			return badArgument("WithHandlerMode", "a worker's queue of %d messages, overflow %d", mode.capacity, int(mode.overflow))
		}
		s.worker, s.overflow = mode.capacity, mode.overflow
		return nil
	}}
}

// WithDefaultHandler sets the handler of messages that match no other handler. For
// example, the broker may send messages of a kept session before the program has
// subscribed.
func WithDefaultHandler(h Handler) Option {
	return Option{func(s *settings) error {
		s.unhandled = nil
		if h != nil {
			s.unhandled = &target{handler: h}
		}
		return nil
	}}
}

// WithSubscription adds a subscription that is made before Dial returns. Its handler is
// set before the first message can arrive, so it misses no message of a kept session.
// For the arguments see [Client.Subscribe].
func WithSubscription(filter string, qos QoS, h Handler, options ...SubscribeOption) Option {
	return Option{func(s *settings) error {
		d, err := newDesire(filter, qos, h, options)
		if err == nil {
			s.subscriptions = append(s.subscriptions, d)
		}
		return named("WithSubscription", err)
	}}
}

// WithResponsePrefix sets the beginning of the response topics of [Client.Request], for
// example "myapp/replies/". The client appends a random name. The default is "responses/".
// It needs MQTT 5.
func WithResponsePrefix(prefix string) Option {
	return Option{func(s *settings) error {
		if prefix == "" {
			return badArgument("WithResponsePrefix", "empty")
		}
		if fault := responseTopicFault(prefix + randomName()); fault != "" {
			return badArgument("WithResponsePrefix", "%.100q cannot begin a topic: %s", prefix, fault)
		}
		s.responsePrefix = prefix
		return nil
	}}
}

// WithResponseInformation makes the client ask the broker for response information, and
// begin the response topics of [Client.Request] with it. The client appends a level with a
// random name. If the broker sends no response information, the topics begin as without
// this option: see [WithResponsePrefix]. It needs MQTT 5.
//
// Request then waits for the first connection. If the information changes at a reconnect,
// later requests use another topic, and the responses to earlier requests may be lost.
func WithResponseInformation() Option {
	return Option{func(s *settings) error {
		s.responseInformation = true
		return nil
	}}
}

// WithLogger sets the logger. The client logs connections at level Info, failures at
// Warn and lost messages and subscriptions at Error. If the logger accepts level Debug,
// the client also logs the library's lines, one line for each packet. It never logs
// payloads or secrets.
func WithLogger(l *slog.Logger) Option {
	return Option{func(s *settings) error {
		if l == nil {
			return badArgument("WithLogger", "l is nil")
		}
		s.logger = l
		return nil
	}}
}

// WithHooks adds hooks. Hooks that are added first are the outermost.
func WithHooks(h Hooks) Option {
	return Option{func(s *settings) error {
		s.hooks = append(s.hooks, h)
		return nil
	}}
}

// WithStateHandler adds a handler that is called with the client and each change of its
// state, in order. Handlers run one after the other on a goroutine of their own. They
// may call and wait for anything. A slow handler delays the next changes, but loses
// none.
func WithStateHandler(f func(c *Client, change StateChange)) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithStateHandler", "f is nil")
		}
		s.stateHandlers = append(s.stateHandlers, f)
		return nil
	}}
}

// WithOnConnect adds a function that runs at every connection, when all subscriptions are
// restored. Messages that f publishes with ctx are sent before all queued messages, in
// the order of the calls. Use f for birth messages.
//
// The functions run one after the other on a goroutine of their own. They may call and
// wait for anything, such as Publish, Subscribe and Request. Messages that are published
// with another context wait in the queue until all functions have returned. Only then
// [StateConnected] is announced, and Dial returns. Messages of an earlier connection that
// are in flight are sent before f runs. If the client had to replace the library client,
// they follow the messages of f.
//
// ctx marks the messages of f: publish with ctx, or with a context that derives from it.
// These messages need no free capacity in the queue. [WithOutbox] does not store them,
// because f runs again at the next connection. If the connection is lost, unsent messages
// of PublishAsync stay queued, before the messages that were queued earlier.
//
// ctx ends when the connection is lost, when Close is called, and when the functions have
// run for the connect timeout ([WithConnectTimeout]) in total. Then the client no longer
// waits for f. No other function runs before f has returned. If f returns an error, the
// client logs it and keeps the connection. AwaitConnected, Reconnect and Close return
// [ErrInCallback] if f calls them with ctx.
func WithOnConnect(f func(ctx context.Context, c *Client, connack Connack) error) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithOnConnect", "f is nil")
		}
		s.onConnect = append(s.onConnect, f)
		return nil
	}}
}
