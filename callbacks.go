//go:build cgo

package mosquitto

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Setters of callbacks, and panics in callbacks. This file owns the callbacks of a
// client and the panics that C carries to the caller.

// listener holds the callback of one event. The library's callback is installed
// once, in New. Setting a callback swaps this pointer and a bit that C checks before
// it crosses into Go.
type listener[F any] struct{ f atomic.Pointer[F] }

// set sets the callback, and removes it if on is false.
func (l *listener[F]) set(c *Client, event uint32, f F, on bool) {
	if !on {
		cInterestSet(c.c, event, false)
		l.f.Store(nil)
		return
	}
	l.f.Store(&f)
	cInterestSet(c.c, event, true)
}

// get returns the callback, if there is one.
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
	acknowledge listener[func(*Client)]
	preConnect  listener[func(*Client)]
	extAuth     listener[func(*Client, string, []byte, Properties) error]
	password    listener[func(*Client) (string, error)]
}

// clear removes all callbacks. The caller clears the interest in C.
func (l *listeners) clear() {
	l.connect.f.Store(nil)
	l.disconnect.f.Store(nil)
	l.publish.f.Store(nil)
	l.message.f.Store(nil)
	l.subscribe.f.Store(nil)
	l.unsubscribe.f.Store(nil)
	l.log.f.Store(nil)
	l.acknowledge.f.Store(nil)
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
		if !errors.Is(err, ErrBusy) {
			return err == nil
		}
		if cInside(c.c) != 0 { // a log line of Reinitialise, which removes all callbacks
			return false
		}
		c.awaitReinitialise()
	}
}

// awaitReinitialise blocks until a Reinitialise that runs has ended.
func (c *Client) awaitReinitialise() {
	c.reinitialising.Lock()
	defer c.reinitialising.Unlock()
}

// OnConnect wraps mosquitto_connect_v5_callback_set, and replaces
// mosquitto_connect_callback_set and mosquitto_connect_with_flags_callback_set: it
// sets the callback for each CONNACK. A nil f removes the callback. See "Callbacks"
// in the package documentation, also for the other setters.
func (c *Client) OnConnect(f func(c *Client, ack Connack)) {
	listen(c, &c.events().connect, evConnect, f, f != nil)
}

// OnDisconnect wraps mosquitto_disconnect_v5_callback_set, and replaces
// mosquitto_disconnect_callback_set: it sets the callback for the end of a
// connection. Connects that return an error, and failed attempts of loops that
// reconnect, do not call it; nor, before 2.0.13, does a TLS handshake that fails.
// Without a connection, each call of LoopRead and LoopWrite calls it.
func (c *Client) OnDisconnect(f func(c *Client, d Disconnection)) {
	listen(c, &c.events().disconnect, evDisconnect, f, f != nil)
}

// OnPublish wraps mosquitto_publish_v5_callback_set, and replaces
// mosquitto_publish_callback_set: it sets the callback for each message that was
// sent (QoS 0) or acknowledged (QoS 1 and 2). With MQTT 5 code may be a failure. f
// may run before Publish has returned mid to another goroutine.
func (c *Client) OnPublish(f func(c *Client, mid int, code ReasonCode, props Properties)) {
	listen(c, &c.events().publish, evPublish, f, f != nil)
}

// OnMessage wraps mosquitto_message_v5_callback_set, and replaces
// mosquitto_message_callback_set: it sets the callback for each received message,
// in the order of arrival. With the default threading a QoS 1 message is
// acknowledged after f has returned.
func (c *Client) OnMessage(f func(c *Client, m Message)) {
	listen(c, &c.events().message, evMessage, f, f != nil)
}

// OnSubscribe wraps mosquitto_subscribe_v5_callback_set, and replaces
// mosquitto_subscribe_callback_set: it sets the callback for each SUBACK. granted
// has the granted QoS of each filter of the Subscribe call that returned mid, or the
// reason code of its refusal.
func (c *Client) OnSubscribe(f func(c *Client, mid int, granted []ReasonCode, props Properties)) {
	listen(c, &c.events().subscribe, evSubscribe, f, f != nil)
}

// OnUnsubscribe wraps mosquitto_unsubscribe2_v5_callback_set, and replaces
// mosquitto_unsubscribe_v5_callback_set and mosquitto_unsubscribe_callback_set: it
// sets the callback for each UNSUBACK. With MQTT 5 and libmosquitto 2.1 codes has
// the reason code of each filter; otherwise it is nil.
func (c *Client) OnUnsubscribe(f func(c *Client, mid int, codes []ReasonCode, props Properties)) {
	listen(c, &c.events().unsubscribe, evUnsubscribe, f, f != nil)
}

// LogLevel is a MOSQ_LOG_ constant. Levels are bits and can be combined.
type LogLevel uint32

// The levels of log lines. The client library uses LogNotice, LogWarning, LogErr and
// LogDebug.
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

// String returns the name of a single level, for example "debug".
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

// OnLog wraps mosquitto_log_callback_set: it sets the callback for the library's log
// lines of the given levels, or of all levels if none is given. f runs on the loop and
// on each goroutine that calls the client, possibly on several at a time. Inside f
// every call on the client returns [ErrInCallback], because the library would
// deadlock. With a log callback the library formats a line for each packet, for all
// levels. Lines contain topics as they were received: do not trust them.
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

// OnAcknowledge sets the callback that runs before acknowledgements of QoS 1 and 2
// messages are sent. It wraps no C function, and only Run and RunOnce call it. Their
// OnMessage callbacks have returned: Run calls f once for several messages, usually at
// most 16. A program whose OnMessage passes messages to another goroutine can
// wait for that goroutine in f. Then an acknowledged message has been processed, and the
// wait costs less than one in each OnMessage.
//
// While f runs, its client reads and writes nothing: see [Client.Run]. After Close f does not
// run, and Run acknowledges nothing more.
func (c *Client) OnAcknowledge(f func(c *Client)) {
	listen(c, &c.events().acknowledge, evAcknowledge, f, f != nil)
}

// OnPreConnect wraps mosquitto_pre_connect_callback_set: it sets the callback that
// runs before each connect, on the goroutine or thread that connects. f may call
// setters such as [Client.UsernamePwSet]. It returns [ErrNotSupported] before 2.1.
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

// OnExtAuth wraps mosquitto_ext_auth_callback_set: it sets the callback for each AUTH
// packet of the broker (MQTT 5). f replies with [Client.ExtAuthContinue]. An error ends
// the connection, and the loop returns its [Error], or [ErrAuth] if it has none. It
// returns [ErrNotSupported] before 2.1, where the library ignores AUTH.
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

// PanicError is the value of a panic that came from a callback. The binding recovers
// the panic before it reaches C, and cuts the connection, so that the broker keeps
// messages that were not acknowledged. Then the Go call that had entered C panics with
// this value. On the thread of [Client.LoopStart] the panic ends the program.
type PanicError struct {
	Value any    // the value of the panic
	Stack []byte // the stack of the goroutine that panicked
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in a mosquitto callback: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// panics holds recovered panics by ticket until the Go caller raises them again.
var panics struct {
	sync.Mutex
	last    int32
	waiting map[int32]*PanicError
}

// newPanicError is for the goroutine that has recovered value.
func newPanicError(value any) *PanicError {
	if e, ok := value.(*PanicError); ok { // the panic of a call that the callback made
		return e
	}
	return &PanicError{value, debug.Stack()}
}

// keepPanic returns the ticket for C to return to the caller. It is never 0.
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
