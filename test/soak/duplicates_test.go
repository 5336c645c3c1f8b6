package main

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// These tests show a bug of every library version. If the broker sends a QoS 2 message
// again after a reconnect, the library keeps each copy. Therefore the soak does not
// require exactly-once delivery from its QoS 2 subscribers.

// receiver starts a client without clean session, driven by Run. It returns the
// payloads that the client receives.
func receiver(t *testing.T, p *fakebroker.Broker, version, receiveMaximum int) (messages <-chan string) {
	t.Helper()
	c, err := mosquitto.New("receiver", false, nil)
	require.NoError(t, err)
	require.NoError(t, c.IntOption(mosquitto.OptProtocolVersion, version))
	require.NoError(t, c.IntOption(mosquitto.OptReceiveMaximum, receiveMaximum))
	received := make(chan string, 10)
	c.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { received <- string(m.Payload) })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, time.Minute))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		c.Close()
	})
	return received
}

// acceptV5 accepts an MQTT 5 client. With library 2.1, the first reconnect after a
// protocol error may fail, because the client still reads old input.
func acceptV5(t *testing.T, p *fakebroker.Broker) *fakebroker.Conn {
	t.Helper()
	for {
		conn := p.Accept()
		if _, err := conn.Next(); err == nil {
			conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0, 0))
			return conn
		}
		conn.Close()
	}
}

const dup = 8 // a flag of PUBLISH; QoS 2 is 4

func TestRepeatedQoS2_MessageIsReceivedTwice(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	messages := receiver(t, p, mosquitto.ProtocolV311, 20)

	conn := p.AcceptConnect()
	conn.Send(fakebroker.Publish(4, "a", 1, "once"))
	conn.Expect(fakebroker.PUBREC)
	conn.Reset() // as if the PUBREC were lost

	conn = p.AcceptConnect()
	conn.Send(fakebroker.Publish(4|dup, "a", 1, "once"))
	conn.Expect(fakebroker.PUBREC)
	conn.Send(fakebroker.Ack(fakebroker.PUBREL, 1))
	conn.Expect(fakebroker.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"))
	conn.Reset() // as if the PUBCOMP were lost

	conn = p.AcceptConnect()
	conn.Send(fakebroker.Ack(fakebroker.PUBREL, 1))
	conn.Expect(fakebroker.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"), "the library has fixed its bug: the soak can require exactly once")
}

// The library delivers the remaining copies instead of later messages with the same
// packet id.
func TestRepeatedQoS2_CopiesDelayLaterMessages(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	messages := receiver(t, p, mosquitto.ProtocolV311, 20)

	conn := p.AcceptConnect()
	conn.Send(fakebroker.Publish(4, "a", 1, "first"))
	conn.Expect(fakebroker.PUBREC)
	conn.Reset()

	conn = p.AcceptConnect()
	for _, m := range []struct {
		flags   byte
		payload string
	}{{4 | dup, "first"}, {4, "second"}, {4, "third"}} {
		conn.Send(fakebroker.Publish(m.flags, "a", 1, m.payload)) // the packet id is free again after PUBCOMP
		conn.Expect(fakebroker.PUBREC)
		conn.Send(fakebroker.Ack(fakebroker.PUBREL, 1))
		conn.Expect(fakebroker.PUBCOMP)
	}
	for _, payload := range []string{"first", "first", "second"} {
		require.Equal(t, payload, wait.For(t, messages, "a message"))
	}
}

// With MQTT 5 each copy counts against the receive maximum. When the receive maximum
// is used up, the client closes every connection on which a message is repeated.
func TestRepeatedQoS2_MessagesEndEveryConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	const receiveMaximum = 2
	messages := receiver(t, p, mosquitto.ProtocolV5, receiveMaximum)

	conn := p.AcceptConnect()
	for mid := uint16(1); mid <= receiveMaximum; mid++ {
		conn.Send(fakebroker.PublishV5(4, "a", mid, nil, "once"))
		conn.Expect(fakebroker.PUBREC)
	}
	conn.Reset()
	for range 3 {
		conn = acceptV5(t, p)
		conn.Send(fakebroker.PublishV5(4|dup, "a", 1, nil, "once"))
		conn.ExpectClosed()
		conn.Close()
	}
	require.Empty(t, messages)
}

// The workaround: a receive maximum much greater than the number of messages that the
// broker has in flight.
func TestRepeatedQoS2_LargeReceiveMaximumKeepsConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	const inFlight = 2
	messages := receiver(t, p, mosquitto.ProtocolV5, 65535)

	for _, flags := range []byte{4, 4 | dup, 4 | dup} {
		conn := p.AcceptConnect()
		for mid := uint16(1); mid <= inFlight; mid++ {
			conn.Send(fakebroker.PublishV5(flags, "a", mid, nil, "once"))
			conn.Expect(fakebroker.PUBREC)
		}
		conn.Reset()
	}
	conn := p.AcceptConnect()
	conn.Send(fakebroker.Ack(fakebroker.PUBREL, 1))
	conn.Expect(fakebroker.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"))
}
