//go:build cgo

package mqtt

import (
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/stretchr/testify/require"
)

// Which addresses a name has is not a test's to choose: the choice among their
// failures is tested by itself.
func TestGraverFailureOfAServersAddresses(t *testing.T) {
	unreachable := &ConnectError{Server: "s", Err: mosquitto.ErrConnRefused}
	late := &ConnectError{Server: "s", Err: ErrTimeout}
	forged := &ConnectError{Server: "s", Err: mosquitto.ErrTLS, Detail: "certificate verify failed"}
	require.Equal(t, error(late), graver(graver(nil, unreachable), late))
	require.Equal(t, error(forged), graver(graver(nil, forged), unreachable))
	require.Equal(t, error(forged), graver(graver(nil, unreachable), forged))
}
