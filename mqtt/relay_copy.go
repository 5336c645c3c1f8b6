//go:build cgo

package mqtt

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// This file copies bytes between two connections. An idle connection holds no large
// buffer, because a process may have thousands of clients.

const (
	largeChunk = 16 << 10 // also the largest record of TLS
	smallChunk = 512
)

var largeChunks = sync.Pool{New: func() any { return new([largeChunk]byte) }}

// copyBytes copies from src to dst until an error, and adds to written. readErr is the
// error of src, io.EOF included; writeErr is the error of dst. One of them is nil.
func copyBytes(dst, src net.Conn, written *atomic.Int64) (readErr, writeErr error) {
	r := newChunkReader(src)
	for {
		chunk, err := r.read()
		if len(chunk) > 0 {
			n, err := dst.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				r.release()
				return nil, err
			}
		}
		r.release()
		if err != nil {
			return err, nil
		}
	}
}

// chunkReader reads what has arrived. The caller must release each chunk.
type chunkReader interface {
	read() (chunk []byte, err error)
	release()
}

// newChunkReader returns the reader for a connection. It checks the exact type: a
// connection that embeds a *net.TCPConn may have a Read method of its own.
func newChunkReader(conn net.Conn) chunkReader {
	tcp := tcpBelow(conn)
	var raw syscall.RawConn
	var isTCP bool
	switch exact := conn.(type) {
	case *net.TCPConn:
		raw, isTCP = tcp, true
	case *net.UnixConn:
		raw, _ = exact.SyscallConn()
	}
	if raw == nil {
		return &anyReader{conn: conn, tcp: tcp}
	}
	r := &socketReader{conn: conn, raw: raw, isTCP: isTCP}
	r.try = r.tryRead
	return r
}

// tcpBelow returns the TCP connection below a *tls.Conn, or nil.
func tcpBelow(conn net.Conn) syscall.RawConn {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// socketReader reads from a socket. It takes a buffer only when there are bytes.
type socketReader struct {
	conn   net.Conn
	raw    syscall.RawConn
	isTCP  bool
	try    func(fd uintptr) bool // tryRead as a func value, made once
	buffer *[largeChunk]byte
	n      int
	err    error
}

func (r *socketReader) read() ([]byte, error) {
	if err := r.raw.Read(r.try); err != nil { // closed
		return nil, err
	}
	switch {
	case r.err != nil:
		return nil, &net.OpError{
			Op: "read", Net: r.conn.LocalAddr().Network(), Source: r.conn.LocalAddr(), Addr: r.conn.RemoteAddr(),
			Err: os.NewSyscallError("read", r.err),
		}
	case r.n == 0:
		return nil, io.EOF
	}
	return r.buffer[:r.n], nil
}

// tryRead reads once. It reports false if there are no bytes yet.
func (r *socketReader) tryRead(fd uintptr) bool {
	r.buffer = largeChunks.Get().(*[largeChunk]byte)
	for {
		r.n, r.err = syscall.Read(int(fd), r.buffer[:])
		if !errors.Is(r.err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(r.err, syscall.EAGAIN) {
		r.release()
		return false
	}
	if r.isTCP {
		acknowledgeInput(fd)
	}
	return true
}

func (r *socketReader) release() {
	if r.buffer != nil {
		largeChunks.Put(r.buffer)
		r.buffer = nil
	}
}

// anyReader reads from a connection of any type. It waits with a small buffer, and takes
// a large buffer after a read that has filled the small buffer.
type anyReader struct {
	conn  net.Conn
	tcp   syscall.RawConn // nil if it is not known
	small [smallChunk]byte
	large *[largeChunk]byte
	more  bool // the last read has filled its buffer
}

func (r *anyReader) read() ([]byte, error) {
	buffer := r.small[:]
	if r.more {
		r.large = largeChunks.Get().(*[largeChunk]byte)
		buffer = r.large[:]
	}
	n, err := r.conn.Read(buffer)
	if r.tcp != nil {
		_ = r.tcp.Control(acknowledgeInput)
	}
	r.more = n == len(buffer)
	return buffer[:n], err
}

func (r *anyReader) release() {
	if r.large != nil {
		largeChunks.Put(r.large)
		r.large = nil
	}
}
