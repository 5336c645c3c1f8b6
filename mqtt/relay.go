//go:build cgo

package mqtt

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay copies the bytes between the library's socket and a dialed connection, on two
// goroutines. Shared: it has its own mutex.
type relay struct {
	library   *net.UnixConn // connected to the library's socket
	transport transport
	copying   sync.WaitGroup
	drained   chan struct{} // closed when the relay has written the last byte from the library, or cannot write
	received  chan struct{} // closed when nothing more comes from the server
	written   atomic.Int64  // bytes from the library that the relay has written

	mu  sync.Mutex
	err error // the first error of the transport
}

const (
	drainPatience = 5 * time.Second        // limit for the server to accept more bytes after the library has closed its socket
	cutGrace      = 50 * time.Millisecond  // the same limit after the context has ended
	resetPatience = 500 * time.Millisecond // limit for the last bytes from the server after a failed write
)

// startRelay makes the library connect to a private socket and relays the connection to
// t. connect gets the path of the socket. The relay owns t, also if startRelay fails.
func startRelay(t transport, connect func(path string) error) (*relay, error) {
	conn, err := connectPrivately(connect)
	if err != nil {
		t.cut()
		return nil, err
	}
	r := &relay{library: conn, transport: t, drained: make(chan struct{}), received: make(chan struct{})}
	r.copying.Add(2)
	go r.send()
	go r.receive()
	return r, nil
}

// send copies bytes from the library to the server.
func (r *relay) send() {
	defer r.copying.Done()
	_, err := copyBytes(r.transport.Conn, r.library, &r.written)
	if err == nil {
		closeWrite(r.transport.Conn) // libmosquitto 2.1 waits after DISCONNECT until the server closes
		close(r.drained)
		return
	}
	close(r.drained)
	r.awaitReceive(err)
	_ = r.library.CloseRead() // the library's next write fails
}

// awaitReceive gives receive some time after a failed write: the last bytes from the
// server may contain a reason, and the error of receive is more exact. After that it
// fails with the error of the write.
func (r *relay) awaitReceive(writeErr error) {
	timer := time.NewTimer(resetPatience)
	defer timer.Stop()
	select {
	case <-r.received:
	case <-timer.C:
		r.fail(writeErr)
		r.transport.cut()
	}
}

// receive copies bytes from the server to the library. The library reads all of them
// before it sees the end.
func (r *relay) receive() {
	defer r.copying.Done()
	defer close(r.received)
	err, _ := copyBytes(r.library, r.transport.Conn, new(atomic.Int64))
	if err != nil && !isEndOfStream(err) {
		r.fail(err)
	}
	_ = r.library.CloseWrite()
}

// closeWrite ends one direction of a connection, if the connection supports this.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// fail stores the first error of the transport.
func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// failure returns the first error of the transport. It is nil if the server has closed
// the connection, or if the connection has not ended.
func (r *relay) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// end ends the relay after the library has closed its socket. It blocks until the server
// has accepted the library's last bytes, drainPatience has passed without progress, or
// ctx has ended.
func (r *relay) end(ctx context.Context) {
	defer context.AfterFunc(ctx, r.cutSoon)()
	r.drain()
	_ = r.transport.Close()
	_ = r.library.Close()
	r.copying.Wait()
}

// cutSoon leaves time for sending a DISCONNECT packet.
func (r *relay) cutSoon() { time.AfterFunc(cutGrace, r.transport.cut) }

// drain blocks until the bytes from the library are written. It cuts the connection if
// the server accepts no bytes.
func (r *relay) drain() {
	timer := time.NewTicker(drainPatience)
	defer timer.Stop()
	for {
		before := r.written.Load()
		select {
		case <-r.drained:
			return
		case <-timer.C:
			if r.written.Load() == before {
				r.transport.cut()
				return
			}
		}
	}
}

// openRelay dials a server and connects the library to it. The loop runs turns while it
// dials.
func (c *Client) openRelay(ctx context.Context, a *attempt, props Properties) error {
	t, err := c.dial(ctx, *a.server)
	if err != nil {
		return err
	}
	a.relay, err = startRelay(t, func(path string) error {
		return c.library.Load().ConnectAsyncContext(ctx, path, 0, c.opts.keepalive, "", props)
	})
	return err
}

// endRelay ends the relay of an attempt in the background. err is the error of the
// library. If the connection was lost, endRelay returns the error of the dialed
// connection instead, because the library sees only its private socket.
func (c *Client) endRelay(a *attempt, err error) error {
	if a.relay == nil {
		return err
	}
	cause := a.relay.failure()
	c.goroutines.Add(1)
	go func() {
		defer c.goroutines.Done()
		a.relay.end(&c.handlerCtx)
	}()
	if cause != nil && isLoss(err) {
		return cause
	}
	return err
}
