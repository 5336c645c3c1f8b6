package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto/test/peer"
)

// witness is a subscriber that is not the library's, straight at the broker,
// whose QoS 2 is exactly once also when connections are lost. What the library
// sent is judged by what comes here.
type witness struct {
	addr    string
	filter  string
	receive func(topic string, payload []byte)
	stop    chan struct{}
	ended   chan struct{}

	subscribed atomic.Bool

	mu   sync.Mutex
	conn net.Conn
	held map[uint16]bool // ids whose PUBREL has not come
}

func newWitness(addr, filter string, receive func(topic string, payload []byte)) *witness {
	return &witness{
		addr: addr, filter: filter, receive: receive, held: make(map[uint16]bool),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

// run reconnects until close.
func (w *witness) run() {
	defer close(w.ended)
	for {
		if conn, err := net.Dial("tcp4", w.addr); err == nil {
			w.serve(conn)
		}
		select {
		case <-w.stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close ends the witness.
func (w *witness) close() {
	close(w.stop)
	w.mu.Lock()
	if w.conn != nil {
		w.conn.Close()
	}
	w.mu.Unlock()
	<-w.ended
}

// forget is for a broker that has lost its memory, and may use an id that is
// held for another message.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.held)
}

// adopt lets close reach the connection.
func (w *witness) adopt(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn
	select {
	case <-w.stop:
		conn.Close()
	default:
	}
}

// serve looks after one connection.
func (w *witness) serve(conn net.Conn) {
	defer conn.Close()
	w.adopt(conn)
	defer w.subscribed.Store(false)
	const name, keptSession = "witness", 0
	connect := append([]byte("\x00\x04MQTT\x04"), keptSession, 0, 0, 0, byte(len(name)))
	_, _ = conn.Write(peer.Bytes(peer.CONNECT, append(connect, name...)...))
	subscribe := append([]byte{0, 1, 0, byte(len(w.filter))}, w.filter...)
	_, _ = conn.Write(peer.Bytes(peer.SUBSCRIBE|2, append(subscribe, 2)...))
	for r := bufio.NewReader(conn); ; {
		first, body, err := next(r)
		if err != nil {
			return
		}
		if answer := w.packet(first, body); answer != nil {
			_, _ = conn.Write(answer)
		}
	}
}

// packet takes a packet and returns the answer to it.
func (w *witness) packet(first byte, body []byte) (answer []byte) {
	switch first & 0xF0 {
	case peer.CONNACK:
		if body[0]&1 == 0 { // the broker has no session
			w.forget()
		}
	case peer.SUBACK:
		w.subscribed.Store(true)
	case peer.PUBLISH:
		n := 2 + int(binary.BigEndian.Uint16(body))
		mid := binary.BigEndian.Uint16(body[n:])
		if w.hold(mid) {
			w.receive(string(body[2:n]), body[n+2:])
		}
		return peer.Ack(peer.PUBREC, mid)
	case peer.PUBREL:
		mid := binary.BigEndian.Uint16(body)
		w.release(mid)
		return peer.Ack(peer.PUBCOMP, mid)
	}
	return nil
}

// hold is false for a message that was sent again.
func (w *witness) hold(mid uint16) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[mid] {
		return false
	}
	w.held[mid] = true
	return true
}

func (w *witness) release(mid uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, mid)
}

// next reads a packet.
func next(r *bufio.Reader) (first byte, body []byte, err error) {
	if first, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r) // MQTT's variable byte integer is the same
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return first, body, err
}
