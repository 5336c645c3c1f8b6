package mqtttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The kernel gives the ports above these to outgoing connections. A port in this range
// stays free while a broker is stopped or a proxy refuses connections.
const firstPort, ports = 12_000, 18_000

// listenFree listens on a free loopback port.
func listenFree() (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp4", loopback(firstPort+rand.IntN(ports))); err == nil {
			return l, nil
		}
	}
	return nil, errors.Join(errors.New("no free port"), err)
}

// freePort returns a loopback port on which no process listens.
func freePort() (int, error) {
	l, err := listenFree()
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
