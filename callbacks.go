//go:build cgo

package mosquitto

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// listener holds the closure of one event. The library's callback is installed
// once, in New; setting a closure swaps this pointer and a bit that C looks at
// before it crosses into Go.
type listener[F any] struct{ f atomic.Pointer[F] }

// set takes on for "f is not nil".
func (l *listener[F]) set(c *Client, event uint32, f F, on bool) {
	if !on {
		cInterestSet(c.c, event, false)
		l.f.Store(nil)
		return
	}
	l.f.Store(&f)
	cInterestSet(c.c, event, true)
}

// get returns the closure, the zero F when there is none.
func (l *listener[F]) get() (f F, ok bool) {
	if p := l.f.Load(); p != nil {
		return *p, true
	}
	return f, false
}

type listeners struct {
	connect     listener[func(*Client, Connack)]
	disconnect  listener[func(*Client, Disconnection)]
	publish     listener[func(*Client, int, ReasonCode, Properties)]
	message     listener[func(*Client, Message)]
	subscribe   listener[func(*Client, int, []ReasonCode, Properties)]
	unsubscribe listener[func(*Client, int, []ReasonCode, Properties)]
	log         listener[func(*Client, LogLevel, string)]
	preConnect  listener[func(*Client)]
	extAuth     listener[func(*Client, string, []byte, Properties) error]
	password    listener[func(*Client) (string, error)]
}

// clear forgets all closures; the interest in C is cleared by the caller.
func (l *listeners) clear() {
	l.connect.f.Store(nil)
	l.disconnect.f.Store(nil)
	l.publish.f.Store(nil)
	l.message.f.Store(nil)
	l.subscribe.f.Store(nil)
	l.unsubscribe.f.Store(nil)
	l.log.f.Store(nil)
	l.preConnect.f.Store(nil)
	l.extAuth.f.Store(nil)
	l.password.f.Store(nil)
}

// events is where setters find their listener, also those of a nil client.
func (c *Client) events() *listeners {
	if c == nil {
		return new(listeners)
	}
	return &c.listeners
}

// listen sets one listener. After Close it does nothing: no callback starts any
// more.
func listen[F any](c *Client, l *listener[F], event uint32, f F, on bool) {
	if !c.enterSetter() {
		return
	}
	defer c.end()
	l.set(c, event, f, on)
}

// enterSetter adds a call of a setter that reports no error. Beside Reinitialise
// it waits for its end, so that the setting lasts.
func (c *Client) enterSetter() bool {
	if !c.made() {
		return false
	}
	for {
		err := c.gate.enter()
		if err != ErrBusy {
			return err == nil
		}
		if cInside(c.c) != 0 { // a log line of Reinitialise, which removes all callbacks
			return false
		}
		c.reinitialising.Lock()
		c.reinitialising.Unlock() //nolint:staticcheck // only waits
	}
}

// OnConnect is mosquitto_connect_v5_callback_set, and stands for
// mosquitto_connect_callback_set and mosquitto_connect_with_flags_callback_set:
// f is told the broker's answer to each CONNECT. Nil takes it back. See
// "Callbacks" in the package documentation, also for the setters below.
func (c *Client) OnConnect(f func(c *Client, ack Connack)) {
	listen(c, &c.events().connect, evConnect, f, f != nil)
}

// OnDisconnect is mosquitto_disconnect_v5_callback_set and
// mosquitto_disconnect_callback_set: f is told that a connection has ended. A
// connect that returns an error calls nothing, and neither do the attempts of
// the loops that reconnect; nor, before 2.0.13, a TLS handshake that fails.
// LoopRead and LoopWrite without a connection call it each time.
func (c *Client) OnDisconnect(f func(c *Client, d Disconnection)) {
	listen(c, &c.events().disconnect, evDisconnect, f, f != nil)
}

// OnPublish is mosquitto_publish_v5_callback_set and
// mosquitto_publish_callback_set: f is told that the message mid has been sent
// (QoS 0), or acknowledged as its QoS demands. code may be a failure with MQTT
// 5. It may run before Publish has returned mid to another goroutine.
func (c *Client) OnPublish(f func(c *Client, mid int, code ReasonCode, props Properties)) {
	listen(c, &c.events().publish, evPublish, f, f != nil)
}

// OnMessage is mosquitto_message_v5_callback_set and
// mosquitto_message_callback_set: f is given each message, in the order of
// arrival. With the default threading a QoS 1 message is acknowledged after f
// has returned.
func (c *Client) OnMessage(f func(c *Client, m Message)) {
	listen(c, &c.events().message, evMessage, f, f != nil)
}

// OnSubscribe is mosquitto_subscribe_v5_callback_set and
// mosquitto_subscribe_callback_set: f is told the granted QoS of each filter
// of the Subscribe call that returned mid, or the reason of its refusal.
func (c *Client) OnSubscribe(f func(c *Client, mid int, granted []ReasonCode, props Properties)) {
	listen(c, &c.events().subscribe, evSubscribe, f, f != nil)
}

// OnUnsubscribe is mosquitto_unsubscribe2_v5_callback_set,
// mosquitto_unsubscribe_v5_callback_set and
// mosquitto_unsubscribe_callback_set. codes has the reason code of each filter
// with MQTT 5 and libmosquitto 2.1, and is nil otherwise.
func (c *Client) OnUnsubscribe(f func(c *Client, mid int, codes []ReasonCode, props Properties)) {
	listen(c, &c.events().unsubscribe, evUnsubscribe, f, f != nil)
}

// LogLevel is a MOSQ_LOG_ constant; they are bits.
type LogLevel uint32

// The levels of log lines. The client library uses notice, warning, error and
// debug.
const (
	LogInfo        LogLevel = cLogInfo
	LogNotice      LogLevel = cLogNotice
	LogWarning     LogLevel = cLogWarning
	LogErr         LogLevel = cLogErr
	LogDebug       LogLevel = cLogDebug
	LogSubscribe   LogLevel = cLogSubscribe
	LogUnsubscribe LogLevel = cLogUnsubscribe
	LogWebsockets  LogLevel = cLogWebsockets
	LogInternal    LogLevel = cLogInternal
	LogAll         LogLevel = cLogAll
)

// String names a single level, for example "debug".
func (l LogLevel) String() string {
	switch l {
	case LogInfo:
		return "info"
	case LogNotice:
		return "notice"
	case LogWarning:
		return "warning"
	case LogErr:
		return "error"
	case LogDebug:
		return "debug"
	case LogSubscribe:
		return "subscribe"
	case LogUnsubscribe:
		return "unsubscribe"
	case LogWebsockets:
		return "websockets"
	case LogInternal:
		return "internal"
	}
	return fmt.Sprintf("level %#x", uint32(l))
}

// OnLog is mosquitto_log_callback_set: f is given the library's log lines of
// the named levels, of all levels when none is named. Lines come on any
// goroutine that calls the client, and on the loop; f may run on several at a
// time. Inside f every call on the client is refused with [ErrInCallback]: the
// library would deadlock. With a log listener the library formats a line for
// each packet, whatever the levels. Lines hold topics as they came.
func (c *Client) OnLog(f func(c *Client, level LogLevel, text string), levels ...LogLevel) {
	var mask LogLevel
	for _, l := range levels {
		mask |= l
	}
	if len(levels) == 0 {
		mask = LogAll
	}
	if !c.enterSetter() {
		return
	}
	defer c.end()
	cLogLevelsSet(c.c, mask)
	c.listeners.log.set(c, evLog, f, f != nil)
	if c.logging.Swap(f != nil) == (f != nil) || cInside(c.c)&evLog != 0 {
		return // the library's setter would deadlock inside its log callback
	}
	cLogInstall(c.c, f != nil)
}

// OnPreConnect is mosquitto_pre_connect_callback_set: f runs before each
// attempt to connect, on the goroutine or thread that connects, and may call
// setters such as [Client.UsernamePwSet]. [ErrNotSupported] before 2.1.
func (c *Client) OnPreConnect(f func(c *Client)) error {
	if !has21 {
		return &OpError{Op: "pre_connect_callback_set", Err: ErrNotSupported}
	}
	if !c.made() {
		return c.begin("pre_connect_callback_set")
	}
	listen(c, &c.events().preConnect, evPreConnect, f, f != nil)
	return nil
}

// OnExtAuth is mosquitto_ext_auth_callback_set: f is given each AUTH packet of
// the broker (MQTT 5) and answers with [Client.ExtAuthContinue]. An error ends
// the connection; its [Error], [ErrAuth] when it has none, is what the loop
// returns. [ErrNotSupported] before 2.1, where the library ignores AUTH.
func (c *Client) OnExtAuth(f func(c *Client, method string, data []byte, props Properties) error) error {
	if !has21 {
		return &OpError{Op: "ext_auth_callback_set", Err: ErrNotSupported}
	}
	if !c.made() {
		return c.begin("ext_auth_callback_set")
	}
	listen(c, &c.events().extAuth, evExtAuth, f, f != nil)
	return nil
}

// PanicError is what a panic in a callback becomes on its way through C: it is
// caught before the library's frames, the connection is cut so that the broker
// keeps what was not acknowledged, and the Go call that had entered C panics
// with this value. On the thread of [Client.LoopStart] it ends the program.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the panic
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in a mosquitto callback: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// panics holds, by ticket, the panics that are on their way through C.
var panics struct {
	sync.Mutex
	last    int32
	waiting map[int32]*PanicError
}

// newPanicError is for the goroutine that has recovered value.
func newPanicError(value any) *PanicError {
	if e, ok := value.(*PanicError); ok { // of a call that the callback made
		return e
	}
	return &PanicError{value, debug.Stack()}
}

// keepPanic returns the ticket that C carries back to the caller, never 0.
func keepPanic(value any) int32 {
	e := newPanicError(value)
	panics.Lock()
	defer panics.Unlock()
	if panics.waiting == nil {
		panics.waiting = make(map[int32]*PanicError)
	}
	panics.last = panics.last%(1<<30) + 1
	panics.waiting[panics.last] = e
	return panics.last
}

func takePanic(ticket int32) *PanicError {
	panics.Lock()
	defer panics.Unlock()
	e := panics.waiting[ticket]
	delete(panics.waiting, ticket)
	return e
}
