package mqtt_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m) }

// start starts a broker that accepts every client.
func start(t testing.TB) *broker.Broker {
	return broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
}

// address returns the address of a server on this machine.
func address(port int) string { return fmt.Sprintf("tcp://127.0.0.1:%d", port) }

// options returns options for servers on this machine, with short delays.
func options(ports ...int) *paho.ClientOptions {
	o := paho.NewClientOptions().SetMaxReconnectInterval(20 * time.Millisecond).SetConnectRetryInterval(20 * time.Millisecond)
	o.SetConnectionLostHandler(nil) // the default one reads a logger, which other tests change
	for _, port := range ports {
		o.AddBroker(address(port))
	}
	return o
}

// connect connects a client that is disconnected when the test ends.
func connect(t testing.TB, o *paho.ClientOptions) paho.Client {
	t.Helper()
	c := paho.NewClient(o)
	t.Cleanup(func() { c.Disconnect(0) })
	succeed(t, c.Connect())
	return c
}

// succeed waits until an operation has succeeded.
func succeed(t testing.TB, token paho.Token) {
	t.Helper()
	require.NoError(t, outcome(t, token))
}

// outcome waits until an operation has ended, and returns its error.
func outcome(t testing.TB, token paho.Token) error {
	t.Helper()
	require.True(t, token.WaitTimeout(wait.Patience), "the operation does not end")
	return token.Error()
}

// collect returns a callback that sends messages on a channel.
func collect() (paho.MessageHandler, <-chan paho.Message) {
	ch := make(chan paho.Message, 10_000)
	return func(_ paho.Client, m paho.Message) { ch <- m }, ch
}

// port returns a port as a text.
func port(n int) string { return strconv.Itoa(n) }

// mid returns the packet id of a PUBLISH packet of QoS 1 or 2.
func mid(p fakebroker.Packet) uint16 {
	topic := 2 + int(binary.BigEndian.Uint16(p.Body))
	return binary.BigEndian.Uint16(p.Body[topic:])
}

// attach connects a client to a fake broker, and disconnects it when the test ends.
func attach(t testing.TB, p *fakebroker.Broker, o *paho.ClientOptions) (paho.Client, *fakebroker.Conn) {
	t.Helper()
	c := paho.NewClient(o)
	t.Cleanup(func() { c.Disconnect(0) })
	token := c.Connect()
	conn := p.AcceptConnect()
	succeed(t, token)
	return c, conn
}
