//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Option is a setting of [Dial].
type Option func(*settings) error

// settings are what the options say.
type settings struct {
	clientID    string
	keepSession bool
	expiry      time.Duration
	protocols   []Protocol
	keepalive   time.Duration
	username    string
	password    string
	credentials func(context.Context) (username, password string, err error)
	tls         *TLS
	will        *Will
	connect     Properties
	bind        string
	proxied     bool
	setup       []func(*mosquitto.Client) error

	backoff        backoff
	connectTimeout time.Duration
	oneRound       bool
	background     bool

	queue            queueLimits
	inflight         int
	inflightQoS2     int
	deliveryAttempts int
	outbox           Outbox

	worker           int // limit of its queue, 0 for inline handlers
	overflow         Overflow
	iteratorLimit    int
	unhandled        *target
	subscriptions    []desire
	filtersPerPacket int
	identifiers      bool // subscription identifiers, with MQTT 5

	logger *slog.Logger
	hooks  []Hooks
	state  func(StateChange)
}

func defaults() settings {
	return settings{
		protocols: []Protocol{V311}, keepalive: time.Minute,
		backoff: backoff{500 * time.Millisecond, 30 * time.Second, 0.5}, connectTimeout: 10 * time.Second,
		queue: queueLimits{messages: 10_000, bytes: 64 << 20}, inflight: 100, inflightQoS2: 19, deliveryAttempts: 3,
		iteratorLimit: 1000, filtersPerPacket: 8, identifiers: true,
	}
}

// read applies the options and checks that they go together.
func (s *settings) read(options []Option) error {
	for _, option := range options {
		if err := option(s); err != nil {
			return err
		}
	}
	if s.keepSession && s.clientID == "" {
		return badArgument("WithSession", "needs WithClientID: the broker knows a session by it")
	}
	v5 := slices.Contains(s.protocols, V5)
	if len(s.connect) > 0 && !v5 {
		return badArgument("WithConnectProperties", "needs WithProtocol(V5)")
	}
	for _, d := range s.subscriptions {
		if d.options != 0 && !v5 {
			return badArgument("WithSubscription", "filter %q: its options need MQTT 5: WithProtocol(V5)", d.filter)
		}
	}
	if s.will != nil && len(s.will.Properties) > 0 && !v5 {
		return badArgument("WithWill", "properties need WithProtocol(V5)")
	}
	return nil
}

// expirySeconds is the session expiry as MQTT 5 sends it; the largest is for ever.
func (s *settings) expirySeconds() uint32 {
	if s.expiry < 0 {
		return math.MaxUint32
	}
	return seconds(s.expiry)
}

// publishing runs the Publish hooks.
func (s *settings) publishing(ctx context.Context, p *Publication) func(error) {
	if len(s.hooks) == 0 {
		return nil
	}
	return published(s.hooks, ctx, p)
}

// WithClientID sets the name by which the broker knows the client. Without it
// the broker, or the library, makes one up.
func WithClientID(id string) Option {
	return func(s *settings) error {
		s.clientID = id
		return nil
	}
}

// WithSession makes the broker keep the subscriptions and the messages of QoS 1
// and 2 while the client is away: with MQTT 5 for so long (whole seconds,
// rounded up; a negative duration is for ever), with MQTT 3 as long as the broker
// likes. A broker that is killed comes back with the session that it saved last:
// with MQTT 5 it is told all subscriptions again, with MQTT 3, where that would
// bring all retained messages again, it is not, and has lost the newer ones.
func WithSession(expiry time.Duration) Option {
	return func(s *settings) error {
		s.keepSession, s.expiry = true, expiry
		return nil
	}
}

// WithProtocol sets the version of MQTT: V311 unless said otherwise. With several
// the first is tried first, and the next when a broker refuses that.
func WithProtocol(versions ...Protocol) Option {
	return func(s *settings) error {
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
	}
}

// WithKeepAlive sets how long the connection may be silent before the client and
// the broker make sure of each other: 5 s to 65,535 s, or 0 for never; a minute
// unless said otherwise.
func WithKeepAlive(d time.Duration) Option {
	return func(s *settings) error {
		if d != 0 && (d < 5*time.Second || d > math.MaxUint16*time.Second) {
			return badArgument("WithKeepAlive", "%v is neither 0 nor between 5 s and 65535 s", d)
		}
		s.keepalive = d
		return nil
	}
}

// WithCredentials sets the username and password. They take precedence over those
// of a server's URL.
func WithCredentials(username, password string) Option {
	return func(s *settings) error {
		s.username, s.password = username, password
		return nil
	}
}

// WithCredentialsFunc asks f for the credentials before every attempt to connect:
// for tokens that expire. An error of f is one of the attempt. ctx ends with the
// connect timeout.
func WithCredentialsFunc(f func(ctx context.Context) (username, password string, err error)) Option {
	return func(s *settings) error {
		if f == nil {
			return badArgument("WithCredentialsFunc", "f is nil")
		}
		s.credentials = f
		return nil
	}
}

// Will is the message that the broker publishes when the client is gone without a
// goodbye. Its properties need MQTT 5; the will delay is among them.
type Will = mosquitto.Will

// WithWill sets the will.
func WithWill(w Will) Option {
	return func(s *settings) error {
		if err := checkTopic(w.Topic); err != nil {
			return fmt.Errorf("WithWill: %w", err)
		}
		w.Payload = slices.Clone(w.Payload)
		s.will = &w
		return nil
	}
}

// WithConnectProperties adds properties to the CONNECT packet, for MQTT 5.
func WithConnectProperties(props Properties) Option {
	return func(s *settings) error {
		s.connect = append(s.connect, props...)
		return mosquitto.PropertyCheckAll(mosquitto.CmdConnect, s.connect)
	}
}

// WithBindAddress sets the local address to connect from.
func WithBindAddress(address string) Option {
	return func(s *settings) error {
		s.bind = address
		return nil
	}
}

// WithProxy connects through a SOCKS5 proxy, which resolves the broker's name.
// The library does not send CONNECT properties through it.
func WithProxy(host string, port int, username, password string) Option {
	return func(s *settings) error {
		s.proxied = true
		return WithSetup(func(m *mosquitto.Client) error { return m.Socks5Set(host, port, username, password) })(s)
	}
}

// WithSetup calls f with the client underneath, before it connects: for what has
// no option here, such as OCSP stapling, engines or an SSL_CTX. Callbacks are not
// for f to set.
func WithSetup(f func(*mosquitto.Client) error) Option {
	return func(s *settings) error {
		if f == nil {
			return badArgument("WithSetup", "f is nil")
		}
		s.setup = append(s.setup, f)
		return nil
	}
}

// WithBackoff sets the pauses after a round of attempts at all servers has
// failed: min after the first, twice as long after each further one, up to max.
// jitter, 0 to 1, is the share of a pause that is random. 500 ms, 30 s and 0.5
// unless said otherwise.
func WithBackoff(min, max time.Duration, jitter float64) Option {
	return func(s *settings) error {
		if min <= 0 || max < min || !(jitter >= 0 && jitter <= 1) {
			return badArgument("WithBackoff", "min %v, max %v, jitter %v: wanted 0 < min <= max and a jitter from 0 to 1", min, max, jitter)
		}
		s.backoff = backoff{min, max, jitter}
		return nil
	}
}

// WithConnectTimeout sets how long an attempt to connect to one address may take,
// until the broker has accepted: 10 s unless said otherwise.
func WithConnectTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return badArgument("WithConnectTimeout", "%v is not positive", d)
		}
		s.connectTimeout = d
		return nil
	}
}

// WithOneRound makes Dial fail when each server was tried once, instead of trying
// until its ctx ends.
func WithOneRound() Option {
	return func(s *settings) error {
		s.oneRound = true
		return nil
	}
}

// WithBackground makes Dial return at once; the connection is made meanwhile.
func WithBackground() Option {
	return func(s *settings) error {
		s.background = true
		return nil
	}
}

// WithQueue bounds the messages that were accepted and not yet acknowledged, in
// number and in bytes of topic, payload and properties, and says what happens to those for
// which there is no room: 10,000, 64 MiB and [WaitForRoom] unless said otherwise.
func WithQueue(messages, bytes int, policy QueueFull) Option {
	return func(s *settings) error {
		if messages < 1 || bytes < 1 || policy < WaitForRoom || policy > DropOldestQoS0 {
			return badArgument("WithQueue", "%d messages, %d bytes, policy %d", messages, bytes, int(policy))
		}
		s.queue = queueLimits{messages, bytes, policy}
		return nil
	}
}

// WithInflight sets how many messages of QoS 1 and 2 may be in flight at a time, 1 to
// 65,535. The default is 100, 19 of them of QoS 2. Queued messages can be cancelled;
// messages in flight cannot. More than 100 help if the broker is far away: the client uses
// more only when no acknowledgement comes within 2 ms, since libmosquitto walks through
// all of them at each one. A broker of MQTT 5 may lower
// the limit. A broker of MQTT 3 cannot, and mosquitto closes the connection when a message
// comes while 20 of QoS 2 (max_inflight_messages) are in flight.
func WithInflight(n int) Option {
	return func(s *settings) error {
		if n < 1 || n > math.MaxUint16 {
			return badArgument("WithInflight", "%d is not between 1 and 65535", n)
		}
		s.inflight, s.inflightQoS2 = n, n
		return nil
	}
}

// WithDeliveryAttempts sets after how many connections a message of QoS 1 or 2 is given
// up, if the broker has closed each of them while that message was the oldest in flight:
// 3 by default, 0 for never. Brokers answer in this way to messages that they do not
// take, such as one above their packet size with MQTT 3. The message ends with a
// [*DeliveryError] and leaves the outbox; the others go on. Before it is given up, it is
// sent alone, so that no other message is blamed. The same number counts for a filter
// that the broker closes connections for: its subscription ends with a [*SubscribeError].
func WithDeliveryAttempts(n int) Option {
	return func(s *settings) error {
		if n < 0 {
			return badArgument("WithDeliveryAttempts", "%d is negative", n)
		}
		s.deliveryAttempts = n
		return nil
	}
}

// WithFiltersPerSubscribe sets how many filters a SUBSCRIBE packet has at most: 8 by
// default, which is the limit of AWS IoT Core. If the broker closes the connection in
// answer, the client halves the number, down to one.
func WithFiltersPerSubscribe(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return badArgument("WithFiltersPerSubscribe", "%d is not positive", n)
		}
		s.filtersPerPacket = n
		return nil
	}
}

// WithSubscriptionIdentifiers says whether subscriptions have identifiers with MQTT 5,
// by which messages of overlapping filters reach their handlers once: true by default.
// libmosquitto cannot read a message with several identifiers. When a broker sends one,
// the client logs it, reconnects and uses none with that server.
func WithSubscriptionIdentifiers(on bool) Option {
	return func(s *settings) error {
		s.identifiers = on
		return nil
	}
}

// WithOutbox keeps messages of QoS 1 and 2 in o until they are acknowledged, or
// refused. Those that an earlier process has left there are sent first, in their
// order; what was on its way then may be delivered twice. They count in the queue,
// and are read as it has room for them: until all are, it is full for new ones.
//
// Publish and PublishAsync store the message first, for which they wait whatever
// ctx says. From then on it is sent even if ctx or the client ends: their error
// says ErrAbandoned then. The client does not close o.
func WithOutbox(o Outbox) Option {
	return func(s *settings) error {
		if o == nil {
			return badArgument("WithOutbox", "o is nil")
		}
		s.outbox = o
		return nil
	}
}

// HandlerMode says where handlers run.
type HandlerMode struct {
	bound    int
	overflow Overflow
}

// Inline runs handlers on the goroutine that reads the connection: the default.
func Inline() HandlerMode { return HandlerMode{} }

// Worker runs handlers on a goroutine of their own, in order, behind a queue of
// this many messages.
func Worker(messages int, overflow Overflow) HandlerMode {
	return HandlerMode{max(messages, -1), overflow}
}

// WithHandlerMode says where handlers run: [Inline] or on a [Worker].
func WithHandlerMode(mode HandlerMode) Option {
	return func(s *settings) error {
		if mode.bound < 0 || mode.overflow < Block || mode.overflow > DropNewest {
			return badArgument("WithHandlerMode", "a worker's queue of %d messages, overflow %d", mode.bound, int(mode.overflow))
		}
		s.worker, s.overflow = mode.bound, mode.overflow
		return nil
	}
}

// WithDefaultHandler sets the handler of messages for which there is no other,
// such as those of a kept session before the program has subscribed.
func WithDefaultHandler(h Handler) Option {
	return func(s *settings) error {
		s.unhandled = nil
		if h != nil {
			s.unhandled = &target{handler: h}
		}
		return nil
	}
}

// WithSubscription subscribes before Dial returns, and before any message comes
// in: [Client.Subscribe] for handlers that must not miss one.
func WithSubscription(filter string, qos QoSLevel, h Handler, options ...SubscribeOption) Option {
	return func(s *settings) error {
		d, err := newDesire(filter, qos, h, options)
		if err == nil {
			s.subscriptions = append(s.subscriptions, d)
		}
		return err
	}
}

// WithLogger logs what the client does: connections at Info, failures at Warn,
// what is lost at Error, and the library's own lines, one for each packet, if the
// logger takes Debug. Payloads and secrets are never logged.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error {
		if l == nil {
			return badArgument("WithLogger", "l is nil")
		}
		s.logger = l
		return nil
	}
}

// WithHooks adds hooks; the first added are the outermost.
func WithHooks(h Hooks) Option {
	return func(s *settings) error {
		s.hooks = append(s.hooks, h)
		return nil
	}
}

// WithStateHandler calls f with every change of state, in order, on a goroutine
// of its own: f may call and wait for anything.
func WithStateHandler(f func(StateChange)) Option {
	return func(s *settings) error {
		s.state = f
		return nil
	}
}

var errNoTLS = errors.New("mqtt: WithTLS: the servers are not mqtts:// or wss://")
