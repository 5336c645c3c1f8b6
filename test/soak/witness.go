package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
)

// witness is a QoS 2 subscriber that does not use the library. It connects to the
// broker directly, and receives each message exactly once, even if connections are
// lost. The messages that it receives show what the library's publishers have sent.
type witness struct {
	addr    string
	filter  string
	receive func(topic string, payload []byte)
	stop    chan struct{}
	ended   chan struct{}

	subscribed atomic.Bool

	mu   sync.Mutex
	conn net.Conn
	held map[uint16]bool // packet ids of messages whose PUBREL has not arrived
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

// close closes the connection and waits until run has returned.
func (w *witness) close() {
	close(w.stop)
	w.mu.Lock()
	if w.conn != nil {
		w.conn.Close()
	}
	w.mu.Unlock()
	<-w.ended
}

// forget clears held when the broker has lost the session. The broker may use the
// packet ids for other messages.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.held)
}

// adopt sets the connection that close must close.
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

// serve connects and subscribes, and handles packets until the connection ends.
func (w *witness) serve(conn net.Conn) {
	defer conn.Close()
	w.adopt(conn)
	defer w.subscribed.Store(false)
	const name, noCleanSession = "witness", 0
	connect := append([]byte("\x00\x04MQTT\x04"), noCleanSession, 0, 0, 0, byte(len(name)))
	_, _ = conn.Write(fakebroker.Bytes(fakebroker.CONNECT, append(connect, name...)...))
	subscribe := append([]byte{0, 1, 0, byte(len(w.filter))}, w.filter...)
	_, _ = conn.Write(fakebroker.Bytes(fakebroker.SUBSCRIBE|2, append(subscribe, 2)...))
	for r := bufio.NewReader(conn); ; {
		first, body, err := next(r)
		if err != nil {
			return
		}
		if answer := w.handle(first, body); answer != nil {
			_, _ = conn.Write(answer)
		}
	}
}

// handle handles a packet and returns the packet to send, or nil.
func (w *witness) handle(first byte, body []byte) (answer []byte) {
	switch first & 0xF0 {
	case fakebroker.CONNACK:
		if body[0]&1 == 0 { // the broker has no session
			w.forget()
		}
	case fakebroker.SUBACK:
		w.subscribed.Store(true)
	case fakebroker.PUBLISH:
		n := 2 + int(binary.BigEndian.Uint16(body))
		mid := binary.BigEndian.Uint16(body[n:])
		if w.hold(mid) {
			w.receive(string(body[2:n]), body[n+2:])
		}
		return fakebroker.Ack(fakebroker.PUBREC, mid)
	case fakebroker.PUBREL:
		mid := binary.BigEndian.Uint16(body)
		w.release(mid)
		return fakebroker.Ack(fakebroker.PUBCOMP, mid)
	}
	return nil
}

// hold records a packet id. It returns false if the message was sent again.
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
