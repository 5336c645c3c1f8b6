// Package relay copies bytes between two connections. Tests use it for servers that forward
// clients to a broker.
package relay

import (
	"io"
	"net"
)

// Join connects to address and copies bytes between the client and this connection, until
// either side closes. It closes both connections.
func Join(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp4", address)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	_, _ = io.Copy(server, client)
	server.Close()
	<-done
}
