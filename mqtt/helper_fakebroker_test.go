//go:build cgo

package mqtt_test

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// This file holds fakeBroker, a fake broker that replies without the test.

// script decides how the fake broker replies to a packet. It returns true if it replied or
// closed the connection. If it returns false, the fake broker accepts the packet with the
// usual reply. The fake broker runs one script call at a time.
type script func(c *brokerConn, p packet) (replied bool)

// fakeBroker serves all connections of its clients and records the packets that they send.
type fakeBroker struct {
	port    int
	script  script
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    []*brokerConn
	latest   *brokerConn // the connection of the last CONNECT
	connects int
	packets  []packet
}

// brokerConn is a client's connection to the fake broker.
type brokerConn struct {
	*fakebroker.Conn
	number  int // counts CONNECT packets, from 1
	version fakebroker.Version
	closed  atomic.Bool
}

// Close closes the connection. The fake broker ignores packets that it has received and not
// replied to.
func (c *brokerConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// packet is a packet that a client sent.
type packet struct {
	fakebroker.Packet
	connection int // brokerConn.number of its connection
	version    fakebroker.Version
}

// startFakeBroker starts a fake broker that stops at the end of the test. With a nil script
// it accepts every packet.
func startFakeBroker(t testing.TB, s script) *fakeBroker {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	return fakeBrokerOn(t, l, s)
}

// fakeBrokerOn starts a fake broker that uses the listener l, for example a TLS listener.
func fakeBrokerOn(t testing.TB, l net.Listener, s script) *fakeBroker {
	t.Helper()
	p := fakebroker.On(t, l)
	b := &fakeBroker{port: p.Port, script: s}
	b.running.Add(1)
	go b.accept(p)
	t.Cleanup(func() {
		p.Close()
		b.end()
		b.running.Wait()
	})
	return b
}

func (b *fakeBroker) accept(p *fakebroker.Broker) {
	defer b.running.Done()
	for {
		conn, err := p.TryAccept()
		switch {
		case isTimeout(err):
			continue
		case err != nil:
			return
		}
		if c := (&brokerConn{Conn: conn}); b.admit(c) {
			go b.serve(c)
		}
	}
}

func isTimeout(err error) bool {
	var failure net.Error
	return errors.As(err, &failure) && failure.Timeout()
}

func (b *fakeBroker) admit(c *brokerConn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		c.Close()
		return false
	}
	b.conns = append(b.conns, c)
	b.running.Add(1)
	return true
}

func (b *fakeBroker) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, c := range b.conns {
		c.Close()
	}
}

func (b *fakeBroker) serve(c *brokerConn) {
	defer b.running.Done()
	defer c.Close()
	for {
		p, err := c.Next()
		switch {
		case isTimeout(err): // an idle connection
			continue
		case err != nil:
			return
		}
		b.receive(c, p)
	}
}

func (b *fakeBroker) receive(c *brokerConn, raw fakebroker.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.closed.Load() {
		return
	}
	if raw.Type() == fakebroker.CONNECT {
		b.connects++
		c.number, c.version = b.connects, protocolLevel(raw)
		b.latest = c
	}
	p := packet{raw, c.number, c.version}
	b.packets = append(b.packets, p)
	if b.script == nil || !b.script(c, p) {
		c.accept(p)
	}
}

func protocolLevel(connect fakebroker.Packet) fakebroker.Version {
	return fakebroker.Version(connect.Body[2+binary.BigEndian.Uint16(connect.Body)])
}

// closesAfterPublish is a script that acknowledges each message and then closes the connection.
func closesAfterPublish(c *brokerConn, p packet) bool {
	if p.Type() != fakebroker.PUBLISH {
		return false
	}
	c.acknowledge(p)
	c.Close()
	return true
}

// connections counts the CONNECT packets.
func (b *fakeBroker) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connects
}

// received lists the packets of a type, in the order of their arrival.
func (b *fakeBroker) received(kind byte) (all []packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.packets {
		if p.Type() == kind {
			all = append(all, p)
		}
	}
	return all
}

// published lists the PUBLISH packets on a topic.
func (b *fakeBroker) published(topic string) (all []packet) {
	for _, p := range b.received(fakebroker.PUBLISH) {
		if p.topic() == topic {
			all = append(all, p)
		}
	}
	return all
}

// conn returns the connection of the last CONNECT.
func (b *fakeBroker) conn() *brokerConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.latest
}

// write sends bytes. It ignores errors, because the client may have closed the connection.
func (c *brokerConn) write(b []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(wait.Patience))
	_, _ = c.Write(b)
}

func (c *brokerConn) publish(qos byte, topic string, mid uint16, payload string, props ...fakebroker.Property) {
	c.write(c.version.Publish(qos<<1, topic, mid, payload, props...))
}

// accept sends the reply of a broker that accepts the packet.
func (c *brokerConn) accept(p packet) {
	switch p.Type() {
	case fakebroker.CONNECT:
		c.write(c.version.Connack(false, 0))
	case fakebroker.PUBLISH:
		c.acknowledge(p)
	case fakebroker.PUBREL:
		c.write(c.version.Pubcomp(p.MID()))
	case fakebroker.SUBSCRIBE:
		c.grant(p)
	case fakebroker.UNSUBSCRIBE:
		c.write(c.version.Unsuback(p.MID(), make([]byte, len(p.filters()))))
	case fakebroker.PINGREQ:
		c.write(fakebroker.Bytes(fakebroker.PINGRESP))
	case fakebroker.DISCONNECT:
		c.Close()
	}
}

// acknowledge replies to a PUBLISH with PUBACK or PUBREC.
func (c *brokerConn) acknowledge(p packet) {
	switch p.qos() {
	case 1:
		c.write(c.version.Puback(p.mid()))
	case 2:
		c.write(c.version.Pubrec(p.mid()))
	}
}

// grant replies to a SUBSCRIBE: it grants each filter the requested QoS.
func (c *brokerConn) grant(p packet) {
	var codes []byte
	for _, f := range p.filters() {
		codes = append(codes, f.Options&3)
	}
	c.write(c.version.Suback(p.MID(), codes))
}

// cutText cuts a text, which follows two bytes with its length, from the beginning of b.
func cutText(b []byte) (text string, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(b))
	return string(b[2:n]), b[n:]
}

// cutProperties cuts the properties from the beginning of b.
func (p packet) cutProperties(b []byte) (props, rest []byte) {
	if p.version != fakebroker.V5 {
		return nil, b
	}
	size, n := binary.Uvarint(b)
	return b[n : n+int(size)], b[n+int(size):]
}

// The parts of a PUBLISH.

func (p packet) qos() byte { return p.First >> 1 & 3 }

func (p packet) retain() bool { return p.First&1 == 1 }

func (p packet) topic() string {
	topic, _ := cutText(p.Body)
	return topic
}

func (p packet) mid() uint16 {
	_, rest := cutText(p.Body)
	return binary.BigEndian.Uint16(rest)
}

func (p packet) publishProperties() (props []byte, payload string) {
	_, rest := cutText(p.Body)
	if p.qos() > 0 {
		rest = rest[2:]
	}
	props, rest = p.cutProperties(rest)
	return props, string(rest)
}

func (p packet) payload() string {
	_, payload := p.publishProperties()
	return payload
}

// filters lists the filters of a SUBSCRIBE, with their options, or of an UNSUBSCRIBE.
func (p packet) filters() (all []fakebroker.Filter) {
	_, rest := p.cutProperties(p.Body[2:])
	for len(rest) > 0 {
		var f fakebroker.Filter
		f.Name, rest = cutText(rest)
		if p.Type() == fakebroker.SUBSCRIBE {
			f.Options, rest = rest[0], rest[1:]
		}
		all = append(all, f)
	}
	return all
}

// names lists the filters without their options.
func (p packet) names() (all []string) {
	for _, f := range p.filters() {
		all = append(all, f.Name)
	}
	return all
}

// subscriptionID returns the subscription identifier of a SUBSCRIBE. It returns 0 if the
// packet has none.
func (p packet) subscriptionID() int {
	props, _ := p.cutProperties(p.Body[2:])
	if len(props) == 0 || props[0] != fakebroker.SubscriptionID(1)[0] {
		return 0
	}
	id, _ := binary.Uvarint(props[1:])
	return int(id)
}

// textProperty returns the first property of a PUBLISH of MQTT 5 with this identifier. All
// properties before it must have text values.
func (p packet) textProperty(id byte) (text string) {
	props, _ := p.publishProperties()
	for len(props) > 0 {
		text, rest := cutText(props[1:])
		if props[0] == id {
			return text
		}
		props = rest
	}
	return ""
}

func (p packet) responseTopic() string { return p.textProperty(fakebroker.ResponseTopic("")[0]) }

func (p packet) correlationData() string { return p.textProperty(fakebroker.CorrelationData("")[0]) }
