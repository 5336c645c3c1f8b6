package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// The peer replaces the broker, so that the speed of the broker is not measured. It
// reads all available bytes, answers each read with one write, and sends floods in
// prepared bursts of whole packets. It has a port with TLS, too. The filter of a client's
// subscription is a command:
//
//	flood/SIZE/COUNT  send COUNT messages as fast as possible
//	count/COUNT       send one message after COUNT messages have arrived
//
// Messages on topics that begin with "echo" are sent back. QoS 1 messages are always
// acknowledged.

// servePeer runs the peer's process. It prints its ports without and with TLS, and exits
// when its standard input is closed.
func servePeer(certificate, key string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	encrypted, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(plain.Addr().(*net.TCPAddr).Port, encrypted.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	go func() { fail(accept(tls.NewListener(encrypted, config))) }()
	return accept(plain)
}

func accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go (&peerConn{conn: conn, in: make([]byte, smallest)}).serve()
	}
}

const (
	smallest = 512       // first size of a read buffer; small, because thousands of clients may be idle
	largest  = 256 << 10 // largest size of a read buffer
	burst    = 128 << 10 // bytes of one write of a flood, at least one packet
	window   = 1000      // limit of QoS 1 messages in flight, everywhere
)

type peerConn struct {
	conn  net.Conn
	five  bool // MQTT 5
	in    []byte
	out   []byte // replies that are not written yet
	await int    // number of messages still to arrive
	topic string // of the message to send after them
	lock  sync.Mutex
}

func (p *peerConn) serve() {
	defer p.conn.Close()
	defer func() {
		if r := recover(); r != nil { // a malformed packet ends this connection only
			fmt.Fprintln(os.Stderr, "peer: malformed packet:", r)
		}
	}()
	filled := 0
	for {
		n, err := p.conn.Read(p.in[filled:])
		if err != nil {
			return
		}
		filled += n
		full := filled == len(p.in)
		used := p.handle(p.in[:filled])
		filled = copy(p.in, p.in[used:filled])
		if full && len(p.in) < largest || used == 0 && filled == len(p.in) {
			p.in = append(p.in, make([]byte, 3*len(p.in))...)
		}
		if !p.flush() {
			return
		}
	}
}

func (p *peerConn) flush() bool {
	ok := len(p.out) == 0 || p.write(p.out)
	p.out = p.out[:0]
	return ok
}

func (p *peerConn) write(b []byte) bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	_, err := p.conn.Write(b)
	return err == nil
}

// handle processes the complete packets, and returns their size in bytes.
func (p *peerConn) handle(in []byte) (used int) {
	for {
		head, body := header(in[used:])
		if head == 0 {
			return used
		}
		p.packet(in[used:used+head+body], in[used+head:used+head+body])
		used += head + body
	}
}

// header returns the size of the fixed header and of the rest, or 0 if the packet is
// incomplete.
func header(in []byte) (head, body int) {
	for i := 1; i < len(in) && i < 5; i++ {
		body |= int(in[i]&0x7f) << (7 * (i - 1))
		if in[i]&0x80 == 0 {
			if len(in) < i+1+body {
				return 0, 0
			}
			return i + 1, body
		}
	}
	return 0, 0
}

func (p *peerConn) packet(whole, body []byte) {
	switch whole[0] & 0xf0 {
	case 0x10: // CONNECT
		if p.five = body[2+len16(body)] == 5; p.five {
			p.out = append(p.out, 0x20, 6, 0, 0, 3, 0x21, window>>8, window&0xff) // with a receive maximum
		} else {
			p.out = append(p.out, 0x20, 2, 0, 0)
		}
	case 0x30: // PUBLISH
		p.publish(whole, body)
	case 0x80: // SUBSCRIBE
		p.subscribe(body)
	case 0xc0: // PINGREQ
		p.out = append(p.out, 0xd0, 0)
	case 0xe0: // DISCONNECT
		p.conn.Close()
	}
}

func (p *peerConn) publish(whole, body []byte) {
	topic := body[2 : 2+len16(body)]
	if whole[0]&0x06 != 0 {
		p.out = append(p.out, 0x40, 2, body[2+len(topic)], body[3+len(topic)])
	}
	if bytes.HasPrefix(topic, []byte("echo")) {
		p.out = append(p.out, whole...)
	}
	if p.await > 0 {
		if p.await--; p.await == 0 {
			p.out = append(p.out, p.message(p.topic, nil)...)
		}
	}
}

func (p *peerConn) subscribe(body []byte) {
	rest := body[2:]
	if p.five {
		rest = rest[1+int(rest[0]):] // no client here has more than 127 bytes of properties
		p.out = append(p.out, 0x90, 4, body[0], body[1], 0, 0)
	} else {
		p.out = append(p.out, 0x90, 3, body[0], body[1], 0)
	}
	filter := string(rest[2 : 2+len16(rest)])
	words := append(strings.Split(filter, "/"), "", "")
	switch words[0] {
	case "flood":
		size, _ := strconv.Atoi(words[1])
		count, _ := strconv.Atoi(words[2])
		p.flush() // the SUBACK, before the first message
		go p.flood(p.message(filter, make([]byte, size)), count)
	case "count":
		p.topic = filter
		p.await, _ = strconv.Atoi(words[1])
	}
}

func (p *peerConn) flood(packet []byte, count int) {
	perBurst := max(1, burst/len(packet))
	prepared := bytes.Repeat(packet, min(perBurst, count))
	for count > 0 {
		n := min(perBurst, count)
		if !p.write(prepared[:n*len(packet)]) {
			return
		}
		count -= n
	}
}

// message encodes a PUBLISH of QoS 0.
func (p *peerConn) message(topic string, payload []byte) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if p.five {
		body = append(body, 0)
	}
	body = append(body, payload...)
	b := []byte{0x30}
	for n := len(body); ; {
		digit := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			digit |= 0x80
		}
		b = append(b, digit)
		if n == 0 {
			return append(b, body...)
		}
	}
}

func len16(b []byte) int { return int(binary.BigEndian.Uint16(b)) }
