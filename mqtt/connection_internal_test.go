//go:build cgo

package mqtt

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/stretchr/testify/require"
)

// A test cannot choose the addresses of a host name. It therefore tests only the function that
// selects one error from the errors of all addresses.
func TestConnection_PermanentFailureOfAnAddressIsReported(t *testing.T) {
	unreachable := &ending{err: &ConnectError{Server: "s", Err: mosquitto.ErrConnRefused}}
	late := &ending{err: &ConnectError{Server: "s", Err: ErrConnectTimeout}}
	forged := &ending{err: &ConnectError{Server: "s", Err: mosquitto.ErrTLS, Detail: "OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed"}}
	require.Equal(t, late, preferPermanent(preferPermanent(&ending{}, unreachable), late))
	require.Equal(t, forged, preferPermanent(preferPermanent(&ending{}, forged), unreachable))
	require.Equal(t, forged, preferPermanent(preferPermanent(&ending{}, unreachable), forged))
}
