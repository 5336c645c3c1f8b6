//go:build cgo && !mosquitto_portable

package mqtt

import "golang.org/x/sys/unix"

// acknowledgeInput sends a TCP acknowledgement that the kernel delays by up to 40 ms. A
// broker with the Nagle delay, which is the default of mosquitto, sends no further small
// packet before it has arrived.
func acknowledgeInput(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
}
