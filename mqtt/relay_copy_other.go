//go:build cgo && (!linux || mosquitto_portable)

package mqtt

// acknowledgeInput does nothing: only Linux can send a delayed TCP acknowledgement.
func acknowledgeInput(uintptr) {}
