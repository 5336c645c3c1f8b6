package wire

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
)

// The client must not crash, hang or leak, no matter which bytes a broker sends after
// CONNACK.
func FuzzPeer311(f *testing.F) { fuzzPeer(f, fakebroker.V311, malformed311, connack311) }

func FuzzPeer5(f *testing.F) { fuzzPeer(f, fakebroker.V5, malformed5, connack5, unknownProperty) }

func fuzzPeer(f *testing.F, v fakebroker.Version, tables ...[]row) {
	for _, rows := range tables {
		for _, r := range rows {
			f.Add(fakebroker.Hex(r.send.(string)))
		}
	}
	for _, packet := range valid(v) {
		f.Add(packet)
	}
	for _, packets := range sequences(v) {
		f.Add(packets)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if v == fakebroker.V5 && unknownProperty[0].actual.current() == aborts {
			data = cutBeforeAbort(data)
		}
		runClient(t, l.(*net.TCPListener), v, data)
	})
}

// sequences returns sequences of packets for the client of runClient. That client has
// sent a QoS 1 message with packet id 1 and a QoS 2 message with packet id 2.
func sequences(v fakebroker.Version) (all [][]byte) {
	for _, packets := range [][][]byte{
		{v.Puback(1), v.Pubrec(2), v.Pubcomp(2)},
		{v.Pubrec(2), v.Pubrec(2), v.Puback(1), v.Puback(1), v.Pubcomp(2), v.Pubcomp(2)},
		{v.Puback(2), v.Pubrec(1)},
		{v.Publish(4, "a", 7, "x"), v.Publish(8|4, "a", 7, "x"), v.Pubrel(7), v.Pubrel(7)},
		{v.Publish(2, "a", 7, "x"), v.Suback(3, []byte{0, 1, 2}), v.Unsuback(3, []byte{0}), fakebroker.Bytes(fakebroker.PINGRESP)},
		{v.Connack(false, 0, fakebroker.TopicAliasMaximum(5)), v.Publish(0, "a", 0, "1", fakebroker.TopicAlias(1)), v.Publish(0, "", 0, "2", fakebroker.TopicAlias(1))},
		{v.Connack(true, 0, fakebroker.MaximumPacketSize(1), fakebroker.ReceiveMaximum(1)), v.Connack(false, 0, fakebroker.ServerKeepalive(1))},
		{challenge(0x18, "yo"), challenge(0x19, "no", fakebroker.ReasonString("r"))},
	} {
		var sequence []byte
		for _, packet := range packets {
			sequence = append(sequence, packet...)
		}
		all = append(all, sequence)
	}
	return all
}

// runClient sends CONNACK and these bytes to a client, and then closes the connection.
// The client must report the lost connection.
func runClient(t *testing.T, l *net.TCPListener, v fakebroker.Version, data []byte) {
	c, err := mosquitto.New("id", true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	disconnected := make(chan struct{}, 1)
	setUpClient(c, v, disconnected)
	if err := c.Connect("127.0.0.1", l.Addr().(*net.TCPAddr).Port, time.Hour); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(ctx)
	}()
	conn := serve(t, l, append(v.Connack(false, 0), data...))
	defer conn.Close()
	select {
	case <-disconnected:
	case <-ended: // some packets end Run
	case <-time.After(wait.Patience):
		t.Error("the client does not report the lost connection")
	}
	cancel()
	wait.For(t, ended, "the end of Run")
}

// setUpClient sets all callbacks and queues two messages. OnDisconnect sends to
// disconnected.
func setUpClient(c *mosquitto.Client, v fakebroker.Version, disconnected chan<- struct{}) {
	_ = c.IntOption(mosquitto.OptProtocolVersion, int(v))
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) {})
	c.OnPublish(func(*mosquitto.Client, int, mosquitto.ReasonCode, mosquitto.Properties) {})
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {})
	c.OnSubscribe(func(*mosquitto.Client, int, []mosquitto.ReasonCode, mosquitto.Properties) {})
	c.OnUnsubscribe(func(*mosquitto.Client, int, []mosquitto.ReasonCode, mosquitto.Properties) {})
	c.OnLog(func(*mosquitto.Client, mosquitto.LogLevel, string) {})
	authenticate(c)
	c.OnDisconnect(func(*mosquitto.Client, mosquitto.Disconnection) {
		select {
		case disconnected <- struct{}{}:
		default:
		}
	})
	for qos := range mosquitto.QoS(2) { // queued, although there is no connection
		_, _ = c.Publish("a", []byte("x"), qos+1, false)
	}
}

// serve accepts a client, reads its CONNECT, sends the bytes and closes the connection
// for writing. It discards what the client sends.
func serve(t *testing.T, l *net.TCPListener, data []byte) *net.TCPConn {
	t.Helper()
	deadline := time.Now().Add(wait.Patience)
	_ = l.SetDeadline(deadline)
	conn, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_, _ = conn.Write(data) // the client may close before the end
	_ = conn.CloseWrite()
	return conn
}
