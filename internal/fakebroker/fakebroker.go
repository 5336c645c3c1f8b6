// Package fakebroker is a fake broker for tests. The test decides which bytes it sends, so
// it can do what a real broker cannot be made to do.
package fakebroker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
)

// Broker is a fake broker that listens on a loopback port.
type Broker struct {
	Port int

	tb testing.TB
	l  net.Listener
}

// Listen starts a fake broker. It stops listening when the test ends.
func Listen(tb testing.TB) *Broker {
	tb.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return On(tb, l)
}

// On returns a fake broker that uses an existing listener, for example a TLS
// listener.
func On(tb testing.TB, l net.Listener) *Broker {
	b := &Broker{tb: tb, l: l}
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		b.Port = addr.Port
	}
	tb.Cleanup(func() { l.Close() })
	return b
}

// Close stops listening.
func (b *Broker) Close() { b.l.Close() }

// Accept waits for a client's connection. It is closed when the test ends.
func (b *Broker) Accept() *Conn {
	b.tb.Helper()
	c, err := b.TryAccept()
	if err != nil {
		b.tb.Fatalf("fake broker: no client has connected: %v", err)
	}
	return c
}

// TryAccept is like Accept, but it returns an error if no client connects.
func (b *Broker) TryAccept() (*Conn, error) {
	if l, ok := b.l.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(time.Now().Add(wait.Patience))
	}
	conn, err := b.l.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, tb: b.tb, r: bufio.NewReader(conn)}
	b.tb.Cleanup(func() { conn.Close() })
	return c, nil
}

// AcceptConnect waits for a client, reads its CONNECT and accepts it. The CONNACK has
// the client's protocol version.
func (b *Broker) AcceptConnect() *Conn {
	b.tb.Helper()
	c := b.Accept()
	connect := c.Expect(CONNECT)
	nameLen := int(binary.BigEndian.Uint16(connect.Body))
	if connect.Body[2+nameLen] == 5 {
		c.Send(Bytes(CONNACK, 0, 0, 0))
	} else {
		c.Send(Bytes(CONNACK, 0, 0))
	}
	return c
}

// The packet types: the first byte of each packet, without flags.
const (
	CONNECT     = 0x10
	CONNACK     = 0x20
	PUBLISH     = 0x30
	PUBACK      = 0x40
	PUBREC      = 0x50
	PUBREL      = 0x60
	PUBCOMP     = 0x70
	SUBSCRIBE   = 0x80
	SUBACK      = 0x90
	UNSUBSCRIBE = 0xA0
	UNSUBACK    = 0xB0
	PINGREQ     = 0xC0
	PINGRESP    = 0xD0
	DISCONNECT  = 0xE0
	AUTH        = 0xF0
)

// Packet is an MQTT packet.
type Packet struct {
	First byte   // type and flags
	Body  []byte // the bytes after the remaining length
}

// Type returns the packet type, without the flags.
func (p Packet) Type() byte { return p.First & 0xF0 }

// MID returns the packet id. The body must begin with it.
func (p Packet) MID() uint16 { return binary.BigEndian.Uint16(p.Body) }

// Bytes encodes a packet.
func Bytes(first byte, body ...byte) []byte {
	b := []byte{first}
	for n := len(body); ; {
		digit := byte(n % 128)
		if n /= 128; n > 0 {
			digit |= 0x80
		}
		b = append(b, digit)
		if n == 0 {
			return append(b, body...)
		}
	}
}

// Publish encodes an MQTT 3 PUBLISH. flags is a sum of 8 for DUP, 2 for QoS 1, 4 for
// QoS 2 and 1 for RETAIN.
func Publish(flags byte, topic string, mid uint16, payload string) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if flags&6 != 0 {
		body = binary.BigEndian.AppendUint16(body, mid)
	}
	return Bytes(PUBLISH|flags, append(body, payload...)...)
}

// PublishV5 encodes an MQTT 5 PUBLISH. props holds the encoded properties without
// their length; it must be shorter than 128 bytes.
func PublishV5(flags byte, topic string, mid uint16, props []byte, payload string) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if flags&6 != 0 {
		body = binary.BigEndian.AppendUint16(body, mid)
	}
	body = append(append(body, byte(len(props))), props...)
	return Bytes(PUBLISH|flags, append(body, payload...)...)
}

// Ack encodes a PUBACK, PUBREC, PUBREL or PUBCOMP of MQTT 3. It sets the flags that
// PUBREL needs.
func Ack(kind byte, mid uint16) []byte {
	if kind == PUBREL {
		kind |= 2
	}
	return Bytes(kind, binary.BigEndian.AppendUint16(nil, mid)...)
}

// Conn is the fake broker's end of a client's connection.
type Conn struct {
	net.Conn
	tb testing.TB
	r  *bufio.Reader
}

// Send writes bytes to the client.
func (c *Conn) Send(b []byte) {
	c.tb.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(wait.Patience))
	if _, err := c.Write(b); err != nil {
		c.tb.Fatalf("fake broker: write: %v", err)
	}
}

// NextBytes reads the next packet and returns its bytes. If the connection ends
// inside the packet, it returns the bytes so far and an error.
func (c *Conn) NextBytes() ([]byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(wait.Patience))
	packet, n, err := c.header()
	if err != nil {
		return packet, err
	}
	body := make([]byte, n)
	read, err := io.ReadFull(c.r, body)
	return append(packet, body[:read]...), err
}

// header reads a packet's first byte and length, and decodes the length.
func (c *Conn) header() (header []byte, n int, err error) {
	for shift := -7; ; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return header, 0, err
		}
		header = append(header, b)
		if shift < 0 { // the first byte
			continue
		}
		if n |= int(b&0x7F) << shift; b&0x80 == 0 {
			return header, n, nil
		}
		if shift >= 21 {
			return header, 0, errors.New("fake broker: remaining length of more than four bytes")
		}
	}
}

// Next reads the next packet. It returns an error if the connection ends.
func (c *Conn) Next() (Packet, error) {
	packet, err := c.NextBytes()
	if err != nil {
		return Packet{}, err
	}
	_, length := binary.Uvarint(packet[1:]) // MQTT's variable byte integer is the same
	return Packet{packet[0], packet[1+length:]}, nil
}

// Expect reads the next packet. The test fails if it has another type.
func (c *Conn) Expect(kind byte) Packet {
	c.tb.Helper()
	p, err := c.Next()
	if err != nil {
		c.tb.Fatalf("fake broker: waiting for packet %#x: %v", kind, err)
	}
	if p.Type() != kind {
		c.tb.Fatalf("fake broker: wanted packet %#x, got %v", kind, p)
	}
	return p
}

// ExpectClosed waits until the client closes the connection. The test fails if
// another packet arrives first.
func (c *Conn) ExpectClosed() {
	c.tb.Helper()
	p, err := c.Next()
	var timeout net.Error
	if err == nil {
		c.tb.Fatalf("fake broker: wanted a closed connection, got %v", p)
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.tb.Fatal("fake broker: the client did not close the connection")
	}
}

// Reset closes the connection with a TCP RST.
func (c *Conn) Reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

func (p Packet) String() string { return fmt.Sprintf("packet %#x, body % x", p.First, p.Body) }
