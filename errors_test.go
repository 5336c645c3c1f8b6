package mosquitto

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// allErrors are all codes that have a constant.
var allErrors = []Error{
	ErrQuotaExceeded, ErrAuthDelayed, ErrAuthContinue, ErrNoSubscribers, ErrSubExists, ErrConnPending,
	ErrNoMem, ErrProtocol, ErrInval, ErrNoConn, ErrConnRefused, ErrNotFound, ErrConnLost, ErrTLS,
	ErrPayloadSize, ErrNotSupported, ErrAuth, ErrACLDenied, ErrUnknown, ErrErrno, ErrEAI, ErrProxy,
	ErrPluginDefer, ErrMalformedUTF8, ErrKeepalive, ErrLookup, ErrMalformedPacket, ErrDuplicateProperty,
	ErrTLSHandshake, ErrQoSNotSupported, ErrOversizePacket, ErrOCSP, ErrTimeout, ErrRetainNotSupported,
	ErrTopicAliasInvalid, ErrAdministrativeAction, ErrAlreadyExists, ErrPluginIgnore, ErrHTTPBadOrigin,
	ErrUnspecified, ErrImplementationSpecific, ErrUnsupportedProtocolVersion, ErrClientIdentifierNotValid,
	ErrBadUsernameOrPassword, ErrServerUnavailable, ErrServerBusy, ErrBanned, ErrServerShuttingDown,
	ErrBadAuthenticationMethod, ErrSessionTakenOver, ErrTopicFilterInvalid, ErrTopicNameInvalid,
	ErrPacketIDInUse, ErrPacketIDNotFound, ErrReceiveMaximumExceeded, ErrMessageRateTooHigh,
	ErrPayloadFormatInvalid, ErrUseAnotherServer, ErrServerMoved, ErrSharedSubsNotSupported,
	ErrConnectionRateExceeded, ErrMaximumConnectTime, ErrSubscriptionIDsNotSupported,
	ErrWildcardSubsNotSupported,
}

func TestError_TextsAreUnique(t *testing.T) {
	numbers := make(map[Error]bool)
	for _, code := range allErrors {
		text := code.Error()
		require.NotEmpty(t, text)
		require.False(t, strings.HasSuffix(text, "."), text)
		require.NotContains(t, text, "\n")
		require.NotRegexp(t, `^[A-Z][a-z]|[0-9]{2}`, text)
		require.NotContains(t, text, "libmosquitto")
		if code != ErrUnknown {
			require.False(t, strings.EqualFold(text, "Unknown error"), "%d", int(code))
		}
		require.Equal(t, text, Strerror(code))
		require.False(t, numbers[code], "%d twice", int(code))
		numbers[code] = true
	}
	require.Equal(t, "unknown error 1000", Error(1000).Error())
	require.Contains(t, ErrNoConn.Error(), "not currently connected")
	require.Equal(t, "system call failed", ErrErrno.Error(), "the code alone has no errno")
}

// Some codes have other numbers in 2.1. The names are the same.
func TestError_NumbersAreThoseOfTheHeader(t *testing.T) {
	if has21 {
		require.EqualValues(t, 154, ErrRetainNotSupported)
		require.EqualValues(t, 148, ErrTopicAliasInvalid)
		require.EqualValues(t, 152, ErrAdministrativeAction)
	} else {
		require.EqualValues(t, 28, ErrRetainNotSupported)
		require.EqualValues(t, 29, ErrTopicAliasInvalid)
		require.EqualValues(t, 30, ErrAdministrativeAction)
	}
	require.EqualValues(t, 4, ErrNoConn)
	require.EqualValues(t, -1, ErrConnPending)
	require.EqualValues(t, 31, ErrAlreadyExists)
}

func TestLibVersion_IsThatOfTheHeader(t *testing.T) {
	major, minor, revision := LibVersion()
	number := major*1000000 + minor*1000 + revision
	require.GreaterOrEqual(t, number, 2000011)
	if has21 {
		require.Equal(t, 2001000, number, "2.1.0 to 2.1.2 report 2.1.0")
	}
	require.Equal(t, cHeaderVersion, number)
}

// The same number has a different meaning as Error, ConnackCode and ReasonCode.
func TestError_NumbersDifferFromOtherCodes(t *testing.T) {
	require.Contains(t, strings.ToLower(Error(5).Error()), "refused")
	require.Contains(t, strings.ToLower(ConnackCode(5).String()), "not authorised")
	require.NotEqual(t, Error(5).Error(), ReasonCode(5).String())
	require.Contains(t, strings.ToLower(ReasonCode(135).String()), "not authorized")
	require.Equal(t, ReasonCode(135).String(), ConnackCode(135).String())
	require.NotEqual(t, Error(17).Error(), RCNoSubscriptionExisted.String())
}

func TestConnackCode_ErrNamesTheCode(t *testing.T) {
	for code := ConnackAccepted; code <= ConnackRefusedNotAuthorized; code++ {
		require.Equal(t, strings.TrimSuffix(ConnackString(code), "."), code.String())
		if code == ConnackAccepted {
			require.NoError(t, code.Err())
			continue
		}
		err := Connack{Code: code}.Err()
		require.ErrorIs(t, err, ConnackError{code})
		require.NotErrorIs(t, err, ConnackError{code + 1})
		require.Equal(t, "mosquitto: connect: "+strings.ToLower(code.String()), err.Error())
	}
	require.EqualValues(t, 5, ConnackRefusedNotAuthorized)
	require.EqualError(t, ConnackCode(135).Err(), "mosquitto: connect: "+strings.ToLower(RCNotAuthorized.String()))
}

func TestReasonCode_TextsAreUnique(t *testing.T) {
	require.NoError(t, RCGrantedQoS2.Err())
	require.NoError(t, RCNoMatchingSubscribers.Err())
	require.False(t, RCReauthenticate.Failed())
	for code := RCUnspecified; code <= RCWildcardSubsNotSupported; code++ {
		require.True(t, code.Failed())
		require.ErrorIs(t, code.Err(), ReasonError{code})
		require.Equal(t, strings.TrimSuffix(ReasonString(code), "."), code.String())
		require.Equal(t, strings.ToLower(fmt.Sprintf("mosquitto: reason code %d: %s", code, code)), strings.ToLower(code.Err().Error()))
	}
	texts := make(map[string]ReasonCode)
	for _, code := range []ReasonCode{
		RCSuccess, RCGrantedQoS1, RCGrantedQoS2, RCDisconnectWithWillMsg, RCNoMatchingSubscribers, RCNoSubscriptionExisted,
		RCContinueAuthentication, RCReauthenticate, RCUnspecified, RCMalformedPacket, RCProtocolError, RCImplementationSpecific,
		RCUnsupportedProtocolVersion, RCClientIDNotValid, RCBadUsernameOrPassword, RCNotAuthorized, RCServerUnavailable,
		RCServerBusy, RCBanned, RCServerShuttingDown, RCBadAuthenticationMethod, RCKeepAliveTimeout, RCSessionTakenOver,
		RCTopicFilterInvalid, RCTopicNameInvalid, RCPacketIDInUse, RCPacketIDNotFound, RCReceiveMaximumExceeded,
		RCTopicAliasInvalid, RCPacketTooLarge, RCMessageRateTooHigh, RCQuotaExceeded, RCAdministrativeAction,
		RCPayloadFormatInvalid, RCRetainNotSupported, RCQoSNotSupported, RCUseAnotherServer, RCServerMoved,
		RCSharedSubsNotSupported, RCConnectionRateExceeded, RCMaximumConnectTime, RCSubscriptionIDsNotSupported,
		RCWildcardSubsNotSupported,
	} {
		text := code.String()
		require.NotContains(t, strings.ToLower(text), "unknown", "%d", int(code))
		other, twice := texts[text]
		require.False(t, twice, "%d and %d: %s", int(other), int(code), text)
		texts[text] = code
	}
	require.EqualValues(t, 162, RCWildcardSubsNotSupported)
	require.Equal(t, RCSuccess, RCGrantedQoS0)
	require.Equal(t, RCSuccess, RCNormalDisconnection)
}

func TestOpError_WrapsCodeAndErrno(t *testing.T) {
	err := libError("connect", result{rc: cErrErrno, errno: int(syscall.ECONNREFUSED)})
	require.ErrorIs(t, err, ErrErrno)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.EqualError(t, err, "mosquitto: connect: system call failed: connection refused")

	err = libError("publish", result{rc: cErrNoConn, errno: int(syscall.EAGAIN)})
	require.ErrorIs(t, err, ErrNoConn)
	require.NotErrorIs(t, err, syscall.EAGAIN, "errno is valid only with ErrErrno")
	require.NotErrorIs(t, err, ErrInval)

	err = libError("connect", result{rc: cErrEAI, errno: -2})
	require.ErrorIs(t, err, ErrEAI)
	require.Contains(t, err.Error(), "name or service not known")

	require.NoError(t, libError("loop", result{}))
	require.NoError(t, libError("connect_async", result{rc: cErrConnPending}), "a negative code means in progress")

	err = badArgument("publish", ErrPayloadSize, "payload: %d bytes", 3)
	require.True(t, strings.HasPrefix(err.Error(), "mosquitto: publish: payload: 3 bytes: "), err.Error())
}

func TestOpError_CodeIsTheLibrarysOnly(t *testing.T) {
	for err, want := range map[error]Error{ErrNoConn: ErrNoConn, fmt.Errorf("with: %w", ErrTLS): ErrTLS} {
		code, ok := (&OpError{Op: "x", Err: err}).Code()
		require.True(t, ok, err)
		require.Equal(t, want, code, err)
	}
	for _, err := range []error{ErrClosed, ErrBusy, ErrInCallback} {
		_, ok := (&OpError{Op: "x", Err: err}).Code()
		require.False(t, ok, err)
	}
}

func TestOpError_TimeoutIsADeadlineExceeded(t *testing.T) {
	for _, err := range []*OpError{{Op: "x", Err: ErrTimeout}, {Op: "x", Err: ErrErrno, Errno: syscall.ETIMEDOUT}} {
		require.True(t, err.Timeout(), err)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	for _, err := range []*OpError{{Op: "x", Err: ErrClosed}, {Op: "x", Err: ErrErrno, Errno: syscall.ECONNREFUSED}} {
		require.False(t, err.Timeout(), err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
}

// The connect of libmosquitto 2.1 always leaves EBADF in errno.
func TestErrno_OfConnectIsUnknownIn21(t *testing.T) {
	require.Equal(t, syscall.ECONNREFUSED, errnoOf(int(syscall.ECONNREFUSED)))
	if has21 {
		require.Zero(t, errnoOf(int(syscall.EBADF)))
	} else {
		require.Equal(t, syscall.EBADF, errnoOf(int(syscall.EBADF)))
	}
	require.Zero(t, errnoOf(-2))
}

func TestDisconnectError_WrapsTheCause(t *testing.T) {
	require.NoError(t, disconnectError(result{rc: 0, errno: 5}))
	require.ErrorIs(t, disconnectError(result{rc: cErrConnLost, errno: 0}), ErrConnLost)
	require.ErrorIs(t, disconnectError(result{rc: 139, errno: 0}), ReasonError{RCServerShuttingDown})
	err := disconnectError(result{rc: cErrErrno, errno: int(syscall.ECONNRESET)})
	require.ErrorIs(t, err, ErrErrno)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NotErrorIs(t, err, ErrConnLost)
}

func TestExtAuthCode_EndsTheConnection(t *testing.T) {
	require.EqualValues(t, 0, extAuthCode(nil))
	require.Equal(t, ErrNoConn, extAuthCode(&OpError{Op: "x", Err: ErrNoConn}))
	require.Equal(t, ErrAuth, extAuthCode(errors.New("no")))
	require.Equal(t, ErrAuth, extAuthCode(ErrConnPending), "a negative code would not end the connection")
}
