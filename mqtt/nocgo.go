//go:build !cgo

package mqtt

// A build without cgo fails in package mosquitto, with an error that explains what to do.
import _ "github.com/mosquitto-go/mosquitto"
