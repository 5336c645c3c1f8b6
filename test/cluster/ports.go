package cluster

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// taken has the ports of all nodes. A stopped node keeps its ports.
var taken sync.Map

// freePort returns a free TCP port of 127.0.0.1 outside the range of ephemeral ports. Otherwise an
// outgoing connection could take the port of a stopped node, even a connection to that node.
func freePort(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		if _, known := taken.LoadOrStore(port, true); known {
			continue
		}
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
	tb.Fatal("no free port")
	return 0
}
