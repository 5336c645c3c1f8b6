//go:build cgo

package mqtt

import (
	"regexp"
	"slices"
	"strconv"
)

// permanentReasons are OpenSSL's reason codes of permanent errors: the client does not
// trust the broker, or the broker's alert refuses the client. A broker that is starting
// may send other alerts, so these count as temporary.
var permanentReasons = []uint64{
	134,         // certificate verify failed
	191,         // no protocols available
	258,         // unsupported protocol
	alert + 42,  // bad certificate
	alert + 43,  // unsupported certificate
	alert + 44,  // certificate revoked
	alert + 45,  // certificate expired
	alert + 46,  // certificate unknown
	alert + 48,  // unknown CA
	alert + 49,  // access denied
	alert + 70,  // protocol version
	alert + 71,  // insufficient security
	alert + 115, // unknown PSK identity
	alert + 116, // certificate required
	alert + 120, // no application protocol
}

const alert = 1000 // offset of the reason codes for TLS alerts

var opensslErrors = regexp.MustCompile(`error:([0-9A-Fa-f]+):`)

// isPermanentTLS reports whether the library's log lines about a TLS handshake describe
// a permanent error. The last three hex digits of OpenSSL's error number are the reason
// code.
func isPermanentTLS(detail string) bool {
	for _, number := range opensslErrors.FindAllStringSubmatch(detail, -1) {
		code, err := strconv.ParseUint(number[1], 16, 64)
		if err == nil && slices.Contains(permanentReasons, code&0xfff) {
			return true
		}
	}
	return false
}
