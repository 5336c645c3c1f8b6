//go:build !cgo

package mqtt

// A build without cgo ends in the package underneath, which says what to do.
import _ "github.com/mosquitto-go/mosquitto"
