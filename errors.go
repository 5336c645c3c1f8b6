//go:build cgo

package mosquitto

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Error is a MOSQ_ERR_ code of the library. Success is a nil error. Methods return an
// [*OpError] that wraps it: compare with [errors.Is].
type Error int

// The library's codes. Their numbers are those of the header that the program
// was compiled with; some moved in 2.1. Codes from 128 on have no meaning
// before 2.1.
const (
	ErrQuotaExceeded               Error = cErrQuotaExceeded
	ErrAuthDelayed                 Error = cErrAuthDelayed
	ErrAuthContinue                Error = cErrAuthContinue
	ErrNoSubscribers               Error = cErrNoSubscribers
	ErrSubExists                   Error = cErrSubExists
	ErrConnPending                 Error = cErrConnPending
	ErrNoMem                       Error = cErrNoMem
	ErrProtocol                    Error = cErrProtocol
	ErrInval                       Error = cErrInval
	ErrNoConn                      Error = cErrNoConn
	ErrConnRefused                 Error = cErrConnRefused
	ErrNotFound                    Error = cErrNotFound
	ErrConnLost                    Error = cErrConnLost
	ErrTLS                         Error = cErrTLS
	ErrPayloadSize                 Error = cErrPayloadSize
	ErrNotSupported                Error = cErrNotSupported
	ErrAuth                        Error = cErrAuth
	ErrACLDenied                   Error = cErrACLDenied
	ErrUnknown                     Error = cErrUnknown
	ErrErrno                       Error = cErrErrno
	ErrEAI                         Error = cErrEAI
	ErrProxy                       Error = cErrProxy
	ErrPluginDefer                 Error = cErrPluginDefer
	ErrMalformedUTF8               Error = cErrMalformedUTF8
	ErrKeepalive                   Error = cErrKeepalive
	ErrLookup                      Error = cErrLookup
	ErrMalformedPacket             Error = cErrMalformedPacket
	ErrDuplicateProperty           Error = cErrDuplicateProperty
	ErrTLSHandshake                Error = cErrTLSHandshake
	ErrQoSNotSupported             Error = cErrQoSNotSupported
	ErrOversizePacket              Error = cErrOversizePacket
	ErrOCSP                        Error = cErrOCSP
	ErrTimeout                     Error = cErrTimeout
	ErrRetainNotSupported          Error = cErrRetainNotSupported
	ErrTopicAliasInvalid           Error = cErrTopicAliasInvalid
	ErrAdministrativeAction        Error = cErrAdministrativeAction
	ErrAlreadyExists               Error = cErrAlreadyExists
	ErrPluginIgnore                Error = cErrPluginIgnore
	ErrHTTPBadOrigin               Error = cErrHTTPBadOrigin
	ErrUnspecified                 Error = cErrUnspecified
	ErrImplementationSpecific      Error = cErrImplementationSpecific
	ErrUnsupportedProtocolVersion  Error = cErrUnsupportedProtocolVersion
	ErrClientIdentifierNotValid    Error = cErrClientIdentifierNotValid
	ErrBadUsernameOrPassword       Error = cErrBadUsernameOrPassword
	ErrServerUnavailable           Error = cErrServerUnavailable
	ErrServerBusy                  Error = cErrServerBusy
	ErrBanned                      Error = cErrBanned
	ErrServerShuttingDown          Error = cErrServerShuttingDown
	ErrBadAuthenticationMethod     Error = cErrBadAuthenticationMethod
	ErrSessionTakenOver            Error = cErrSessionTakenOver
	ErrTopicFilterInvalid          Error = cErrTopicFilterInvalid
	ErrTopicNameInvalid            Error = cErrTopicNameInvalid
	ErrPacketIDInUse               Error = cErrPacketIDInUse
	ErrPacketIDNotFound            Error = cErrPacketIDNotFound
	ErrReceiveMaximumExceeded      Error = cErrReceiveMaximumExceeded
	ErrMessageRateTooHigh          Error = cErrMessageRateTooHigh
	ErrPayloadFormatInvalid        Error = cErrPayloadFormatInvalid
	ErrUseAnotherServer            Error = cErrUseAnotherServer
	ErrServerMoved                 Error = cErrServerMoved
	ErrSharedSubsNotSupported      Error = cErrSharedSubsNotSupported
	ErrConnectionRateExceeded      Error = cErrConnectionRateExceeded
	ErrMaximumConnectTime          Error = cErrMaximumConnectTime
	ErrSubscriptionIDsNotSupported Error = cErrSubscriptionIDsNotSupported
	ErrWildcardSubsNotSupported    Error = cErrWildcardSubsNotSupported
)

// Errors of the binding itself, for calls with which the library would crash, deadlock or
// corrupt memory.
var (
	// ErrClosed is returned by every method with an error after [Client.Close].
	ErrClosed = errors.New("client is closed")
	// ErrInCallback is returned by calls that are not allowed inside the running
	// callback.
	ErrInCallback = errors.New("not allowed inside this callback")
	// ErrBusy is returned by calls that must not run beside a loop or a connect
	// of the same client in another goroutine.
	ErrBusy = errors.New("a loop or a connect of this client is running")
)

// Error returns the library's text for the code, or a text of this package if the
// installed library has none. It is one line in lower case.
func (e Error) Error() string {
	if e == ErrErrno { // the library would read the errno of this thread at this moment
		return "system call failed"
	}
	text := sentence(cStrerror(int(e)))
	if text != "" && text != "unknown error" && text != "unknown reason" {
		return text
	}
	if text, ok := missingTexts[e]; ok {
		return text
	}
	return "unknown error " + strconv.Itoa(int(e))
}

// missingTexts are the texts of codes for which the strerror of some version has none.
var missingTexts = map[Error]string{
	ErrQuotaExceeded: "quota exceeded", ErrAuthDelayed: "authentication delayed",
	ErrAuthContinue: "continue with authentication", ErrNoSubscribers: "no subscribers",
	ErrSubExists: "subscription already exists", ErrConnPending: "connection pending",
	ErrUnknown: "unknown error", ErrPluginDefer: "plugin deferred the decision",
	ErrMalformedUTF8: "malformed UTF-8", ErrKeepalive: "no packet from the broker within the keepalive",
	ErrLookup: "DNS lookup failed", ErrMalformedPacket: "malformed packet",
	ErrDuplicateProperty: "duplicate property", ErrTLSHandshake: "TLS handshake failed",
	ErrQoSNotSupported: "QoS not supported by the broker", ErrOversizePacket: "packet larger than the broker accepts",
	ErrOCSP: "OCSP check failed", ErrTimeout: "timeout", ErrRetainNotSupported: "retain not supported by the broker",
	ErrTopicAliasInvalid: "invalid topic alias", ErrAdministrativeAction: "administrative action",
	ErrAlreadyExists: "already exists", ErrPluginIgnore: "plugin ignored the event",
	ErrHTTPBadOrigin: "HTTP origin refused", ErrUnspecified: "unspecified error",
	ErrImplementationSpecific: "implementation specific error", ErrUnsupportedProtocolVersion: "unsupported protocol version",
	ErrClientIdentifierNotValid: "client identifier not valid", ErrBadUsernameOrPassword: "bad username or password",
	ErrServerUnavailable: "server unavailable", ErrServerBusy: "server busy", ErrBanned: "banned",
	ErrServerShuttingDown: "server shutting down", ErrBadAuthenticationMethod: "bad authentication method",
	ErrSessionTakenOver: "session taken over", ErrTopicFilterInvalid: "topic filter invalid",
	ErrTopicNameInvalid: "topic name invalid", ErrPacketIDInUse: "packet identifier in use",
	ErrPacketIDNotFound: "packet identifier not found", ErrReceiveMaximumExceeded: "receive maximum exceeded",
	ErrMessageRateTooHigh: "message rate too high", ErrPayloadFormatInvalid: "payload format invalid",
	ErrUseAnotherServer: "use another server", ErrServerMoved: "server moved",
	ErrSharedSubsNotSupported: "shared subscriptions not supported", ErrConnectionRateExceeded: "connection rate exceeded",
	ErrMaximumConnectTime: "maximum connect time", ErrSubscriptionIDsNotSupported: "subscription identifiers not supported",
	ErrWildcardSubsNotSupported: "wildcard subscriptions not supported",
}

// sentence turns a text of a C library into a part of an error text: one line, without
// a full stop, in lower case except for abbreviations.
func sentence(text string) string {
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	first, size := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[size:]); unicode.IsUpper(second) || unicode.IsDigit(second) {
		return text
	}
	return string(unicode.ToLower(first)) + text[size:]
}

// Strerror wraps mosquitto_strerror: it returns the text of a code, as [Error.Error]
// does.
func Strerror(code Error) string { return code.Error() }

// OpError reports which call failed and why. It unwraps to the library's [Error], or to
// [ErrClosed], [ErrInCallback] or [ErrBusy], and to the [syscall.Errno] if a system
// call failed.
type OpError struct {
	Op     string        // the C function without its prefix, for example "connect_async"
	Err    error         // an Error, ErrClosed, ErrInCallback or ErrBusy; of SetTLS also the error of a file or of KeyPassword
	Errno  syscall.Errno // 0 if there is none, or if the library (2.1's connect) overwrote it
	Detail string        // the wrong argument and its fault, the text of the resolver, or (after SetTLS) the fault of the broker's certificate
}

// Error returns the failed call, the detail, the reason and the text of errno.
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString("mosquitto: ")
	b.WriteString(e.Op)
	b.WriteString(": ")
	if e.Detail != "" {
		b.WriteString(e.Detail)
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Error())
	if e.Errno != 0 {
		b.WriteString(": ")
		b.WriteString(e.Errno.Error())
	}
	return b.String()
}

// Unwrap returns the code and the errno.
func (e *OpError) Unwrap() []error {
	if e.Errno != 0 {
		return []error{e.Err, e.Errno}
	}
	return []error{e.Err}
}

// Code returns the library's code. ok is false for [ErrClosed], [ErrInCallback] and
// [ErrBusy], which have no code: the library was not called.
func (e *OpError) Code() (code Error, ok bool) {
	ok = errors.As(e.Err, &code)
	return code, ok
}

// Timeout reports whether time ran out: [ErrTimeout], or an errno such as ETIMEDOUT.
func (e *OpError) Timeout() bool { return errors.Is(e.Err, ErrTimeout) || e.Errno.Timeout() }

// Is reports true for [os.ErrDeadlineExceeded] if Timeout does.
func (e *OpError) Is(target error) bool { return target == os.ErrDeadlineExceeded && e.Timeout() }

// libError returns the error of a library call, nil on success. Codes below zero mean
// that the operation continues.
func libError(op string, r result) error {
	if r.rc <= cSuccess {
		return nil
	}
	e := &OpError{Op: op, Err: Error(r.rc)}
	switch Error(r.rc) {
	case ErrErrno:
		e.Errno = errnoOf(r.errno)
	case ErrEAI:
		if r.errno < 0 {
			e.Detail = sentence(cAddressError(r.errno))
		}
	}
	if r.refused != 0 {
		e.Detail = "broker's certificate: " + sentence(cRefusalText(r.refused))
	}
	return e
}

// errnoOf drops what 2.1's connect leaves there: EBADF, whatever went wrong.
func errnoOf(errno int) syscall.Errno {
	if has21 && syscall.Errno(errno) == syscall.EBADF {
		return 0
	}
	return syscall.Errno(max(errno, 0))
}

// badArgument is the refusal of an argument, with the code the library would give.
func badArgument(op string, code Error, format string, args ...any) error {
	return &OpError{Op: op, Err: code, Detail: fmt.Sprintf(format, args...)}
}

// naming, deferred, names the argument that the library has refused.
func naming(err *error, format string, args ...any) {
	var e *OpError
	if errors.As(*err, &e) && e.Detail == "" && (errors.Is(e.Err, ErrInval) || errors.Is(e.Err, ErrMalformedUTF8)) {
		e.Detail = fmt.Sprintf(format, args...)
	}
}

// ConnackCode is the code of a CONNACK packet. MQTT 3 has the codes 0 to 5. MQTT 5 has
// 0, and from 128 on the values of [ReasonCode].
type ConnackCode int

// The codes of MQTT 3.1 and 3.1.1.
const (
	ConnackAccepted                  ConnackCode = 0
	ConnackRefusedProtocolVersion    ConnackCode = 1
	ConnackRefusedIdentifierRejected ConnackCode = 2
	ConnackRefusedServerUnavailable  ConnackCode = 3
	ConnackRefusedBadUsernamePasswd  ConnackCode = 4
	ConnackRefusedNotAuthorized      ConnackCode = 5
)

// String returns the library's text for the code. It wraps mosquitto_connack_string for
// the codes of MQTT 3, and mosquitto_reason_string for those of MQTT 5.
func (c ConnackCode) String() string {
	if c >= cRCUnspecified {
		return ReasonCode(c).String()
	}
	return strings.TrimSuffix(cConnackString(int(c)), ".")
}

// Temporary reports whether the next attempt may be accepted. It is false for refused
// credentials, client ids, protocol versions and wills.
func (c ConnackCode) Temporary() bool {
	switch c {
	case ConnackRefusedProtocolVersion, ConnackRefusedIdentifierRejected,
		ConnackRefusedBadUsernamePasswd, ConnackRefusedNotAuthorized:
		return false
	}
	switch ReasonCode(c) {
	case RCMalformedPacket, RCProtocolError, RCUnsupportedProtocolVersion, RCClientIDNotValid,
		RCBadUsernameOrPassword, RCNotAuthorized, RCBanned, RCBadAuthenticationMethod,
		RCTopicNameInvalid, RCPacketTooLarge, RCPayloadFormatInvalid, RCRetainNotSupported,
		RCQoSNotSupported, RCServerMoved:
		return false
	}
	return true
}

// Err returns nil if the broker accepted the connection, and a [ConnackError] otherwise.
func (c ConnackCode) Err() error {
	if c == ConnackAccepted {
		return nil
	}
	return ConnackError{c}
}

// ConnackError is a broker's refusal of a CONNECT. It is comparable:
// errors.Is(err, ConnackError{ConnackRefusedNotAuthorized}).
type ConnackError struct {
	Code ConnackCode // the code of the CONNACK packet
}

func (e ConnackError) Error() string {
	text := strings.Replace(e.Code.String(), "Connection Refused", "connection refused", 1)
	return "mosquitto: connect: " + sentence(text)
}

// ConnackString wraps mosquitto_connack_string: it returns the text of an MQTT 3 code.
func ConnackString(code ConnackCode) string { return cConnackString(int(code)) }

// ReasonCode is a reason code of MQTT 5. Codes from 128 on are failures. In a
// SUBACK, codes 0 to 2 are the granted QoS. With MQTT 3 the only code of a refusal
// is 128.
type ReasonCode int

// The reason codes of MQTT 5.
const (
	RCSuccess                     ReasonCode = cRCSuccess
	RCNormalDisconnection         ReasonCode = cRCSuccess
	RCGrantedQoS0                 ReasonCode = cRCSuccess
	RCGrantedQoS1                 ReasonCode = cRCGrantedQoS1
	RCGrantedQoS2                 ReasonCode = cRCGrantedQoS2
	RCDisconnectWithWillMsg       ReasonCode = cRCDisconnectWithWillMsg
	RCNoMatchingSubscribers       ReasonCode = cRCNoMatchingSubscribers
	RCNoSubscriptionExisted       ReasonCode = cRCNoSubscriptionExisted
	RCContinueAuthentication      ReasonCode = cRCContinueAuthentication
	RCReauthenticate              ReasonCode = cRCReauthenticate
	RCUnspecified                 ReasonCode = cRCUnspecified
	RCMalformedPacket             ReasonCode = cRCMalformedPacket
	RCProtocolError               ReasonCode = cRCProtocolError
	RCImplementationSpecific      ReasonCode = cRCImplementationSpecific
	RCUnsupportedProtocolVersion  ReasonCode = cRCUnsupportedProtocolVersion
	RCClientIDNotValid            ReasonCode = cRCClientIDNotValid
	RCBadUsernameOrPassword       ReasonCode = cRCBadUsernameOrPassword
	RCNotAuthorized               ReasonCode = cRCNotAuthorized
	RCServerUnavailable           ReasonCode = cRCServerUnavailable
	RCServerBusy                  ReasonCode = cRCServerBusy
	RCBanned                      ReasonCode = cRCBanned
	RCServerShuttingDown          ReasonCode = cRCServerShuttingDown
	RCBadAuthenticationMethod     ReasonCode = cRCBadAuthenticationMethod
	RCKeepAliveTimeout            ReasonCode = cRCKeepAliveTimeout
	RCSessionTakenOver            ReasonCode = cRCSessionTakenOver
	RCTopicFilterInvalid          ReasonCode = cRCTopicFilterInvalid
	RCTopicNameInvalid            ReasonCode = cRCTopicNameInvalid
	RCPacketIDInUse               ReasonCode = cRCPacketIDInUse
	RCPacketIDNotFound            ReasonCode = cRCPacketIDNotFound
	RCReceiveMaximumExceeded      ReasonCode = cRCReceiveMaximumExceeded
	RCTopicAliasInvalid           ReasonCode = cRCTopicAliasInvalid
	RCPacketTooLarge              ReasonCode = cRCPacketTooLarge
	RCMessageRateTooHigh          ReasonCode = cRCMessageRateTooHigh
	RCQuotaExceeded               ReasonCode = cRCQuotaExceeded
	RCAdministrativeAction        ReasonCode = cRCAdministrativeAction
	RCPayloadFormatInvalid        ReasonCode = cRCPayloadFormatInvalid
	RCRetainNotSupported          ReasonCode = cRCRetainNotSupported
	RCQoSNotSupported             ReasonCode = cRCQoSNotSupported
	RCUseAnotherServer            ReasonCode = cRCUseAnotherServer
	RCServerMoved                 ReasonCode = cRCServerMoved
	RCSharedSubsNotSupported      ReasonCode = cRCSharedSubsNotSupported
	RCConnectionRateExceeded      ReasonCode = cRCConnectionRateExceeded
	RCMaximumConnectTime          ReasonCode = cRCMaximumConnectTime
	RCSubscriptionIDsNotSupported ReasonCode = cRCSubscriptionIDsNotSupported
	RCWildcardSubsNotSupported    ReasonCode = cRCWildcardSubsNotSupported
)

// String wraps mosquitto_reason_string: it returns the library's text for the code.
func (r ReasonCode) String() string {
	return strings.TrimSuffix(cReasonString(int(r)), ".")
}

// Failed reports whether the code is a failure: 128 or above.
func (r ReasonCode) Failed() bool { return r >= RCUnspecified }

// Err returns a [ReasonError] if the code is a failure, and nil otherwise.
func (r ReasonCode) Err() error {
	if !r.Failed() {
		return nil
	}
	return ReasonError{r}
}

// ReasonError is a failure that the broker reported. It is comparable:
// errors.Is(err, ReasonError{RCNotAuthorized}).
type ReasonError struct {
	Code ReasonCode // 128 or above
}

func (e ReasonError) Error() string {
	return "mosquitto: reason code " + strconv.Itoa(int(e.Code)) + ": " + sentence(e.Code.String())
}

// ReasonString wraps mosquitto_reason_string: it returns the text of a reason code.
func ReasonString(code ReasonCode) string { return cReasonString(int(code)) }
