//go:build cgo

package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"syscall"

	"github.com/mosquitto-go/mosquitto"
)

// This file classifies the errors of connections that the client dials itself.

// isPermanentGoTLS reports whether an error of crypto/tls is permanent: the client does
// not trust the server, or an alert of the server refuses the client.
func isPermanentGoTLS(err error) bool {
	var (
		untrusted *tls.CertificateVerificationError
		unknown   x509.UnknownAuthorityError // the functions of a tls.Config may return these
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	if errors.As(err, &untrusted) || errors.As(err, &unknown) || errors.As(err, &wrongName) || errors.As(err, &invalid) {
		return true
	}
	number, ok := alertFrom(err)
	return ok && slices.Contains(permanentReasons, alert+number)
}

// alertFrom returns the number of the TLS alert that the server sent. The type of
// crypto/tls for alerts is a number, but its name is not exported.
func alertFrom(err error) (number uint64, ok bool) {
	var failure *net.OpError
	if !errors.As(err, &failure) || failure.Op != "remote error" {
		return 0, false
	}
	value := reflect.ValueOf(failure.Err)
	if value.Kind() != reflect.Uint8 {
		return 0, false
	}
	return value.Uint(), true
}

// isClosedByServer reports whether the server has closed the connection, as far as an
// error of a dialed connection shows.
func isClosedByServer(err error) bool {
	_, alerted := alertFrom(err)
	return alerted || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
}

// isEndOfStream reports whether the server ended its stream without an error. Many
// servers close a TLS connection without the close_notify alert. This is safe with MQTT,
// because each packet has a length.
func isEndOfStream(err error) bool {
	return err == io.EOF || err == io.ErrUnexpectedEOF //nolint:errorlint // an error that wraps them has more to say
}

// isLoss reports whether the library ended its connection because its socket failed.
func isLoss(err error) bool {
	for _, loss := range []error{mosquitto.ErrConnLost, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, loss) {
			return true
		}
	}
	return false
}
