package cluster

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// taken are the ports that were given to nodes: those of a node that is down
// belong to it still.
var taken sync.Map

// freePort is a TCP port of 127.0.0.1 below those that the system gives to
// outgoing connections: one of those could take it while a node is down, a
// client's attempt to reach that very node among them.
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
