//go:build cgo

package mqtt

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// OpenSSL's reason codes of failures that the next attempt would meet again: the client
// does not trust the broker, or the broker's alert says that it does not take the client.
// Other alerts may come from a broker that is starting.
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

const alert = 1000 // of the reason codes that stand for a TLS alert

var opensslErrors = regexp.MustCompile(`error:([0-9A-Fa-f]+):`)

// isPermanentTLS reports whether what the library has logged about a TLS handshake says
// that the next one would fail in the same way. OpenSSL's error number holds the reason
// code in its last three digits; the library reports a wrong host name itself.
func isPermanentTLS(detail string) bool {
	for _, number := range opensslErrors.FindAllStringSubmatch(detail, -1) {
		code, err := strconv.ParseUint(number[1], 16, 64)
		if err == nil && slices.Contains(permanentReasons, code&0xfff) {
			return true
		}
	}
	return strings.Contains(detail, "host name verification failed")
}
