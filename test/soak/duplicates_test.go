package main

import (
	"context"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/mosquitto-go/mosquitto/test/wait"
	"github.com/stretchr/testify/require"
)

// What the library, in every version, makes of QoS 2 messages that the broker
// sends again after a reconnect: it keeps each copy. This is why the soak does
// not promise exactly once to its QoS 2 subscribers.

// receiver is a client with a kept session under Run, and what it receives.
func receiver(t *testing.T, p *peer.Peer, version, receiveMaximum int) (messages <-chan string) {
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

// acceptV5 accepts an MQTT 5 client. After a protocol error the client drops an
// attempt with the library 2.1, whose rest of input would spoil it.
func acceptV5(t *testing.T, p *peer.Peer) *peer.Conn {
	t.Helper()
	for {
		conn := p.Accept()
		if _, err := conn.Next(); err == nil {
			conn.Send(peer.Bytes(peer.CONNACK, 0, 0, 0))
			return conn
		}
		conn.Close()
	}
}

const dup = 8 // and QoS 2 is 4: flags of PUBLISH

func TestRepeatedQoS2MessageIsReceivedTwice(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	messages := receiver(t, p, mosquitto.ProtocolV311, 20)

	conn := p.AcceptConnect()
	conn.Send(peer.Publish(4, "a", 1, "once"))
	conn.Expect(peer.PUBREC)
	conn.Reset() // before the PUBREC has arrived, for all the broker knows

	conn = p.AcceptConnect()
	conn.Send(peer.Publish(4|dup, "a", 1, "once"))
	conn.Expect(peer.PUBREC)
	conn.Send(peer.Ack(peer.PUBREL, 1))
	conn.Expect(peer.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"))
	conn.Reset() // before the PUBCOMP has arrived

	conn = p.AcceptConnect()
	conn.Send(peer.Ack(peer.PUBREL, 1))
	conn.Expect(peer.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"), "the library has mended its bug: promise it in the soak")
}

// The copies that are left come in the place of later messages.
func TestRepeatedQoS2MessageHoldsLaterOnesBack(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	messages := receiver(t, p, mosquitto.ProtocolV311, 20)

	conn := p.AcceptConnect()
	conn.Send(peer.Publish(4, "a", 1, "first"))
	conn.Expect(peer.PUBREC)
	conn.Reset()

	conn = p.AcceptConnect()
	for _, m := range []struct {
		flags   byte
		payload string
	}{{4 | dup, "first"}, {4, "second"}, {4, "third"}} {
		conn.Send(peer.Publish(m.flags, "a", 1, m.payload)) // the id may be used again after PUBCOMP
		conn.Expect(peer.PUBREC)
		conn.Send(peer.Ack(peer.PUBREL, 1))
		conn.Expect(peer.PUBCOMP)
	}
	for _, payload := range []string{"first", "first", "second"} {
		require.Equal(t, payload, wait.For(t, messages, "a message"))
	}
}

// With MQTT 5 each copy takes a place of the receive maximum, and what is sent
// again counts a second time: when the places are used up no connection lasts.
func TestRepeatedQoS2MessagesEndEveryConnection(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	const places = 2
	messages := receiver(t, p, mosquitto.ProtocolV5, places)

	conn := p.AcceptConnect()
	for mid := uint16(1); mid <= places; mid++ {
		conn.Send(peer.PublishV5(4, "a", mid, nil, "once"))
		conn.Expect(peer.PUBREC)
	}
	conn.Reset()
	for range 3 {
		conn = acceptV5(t, p)
		conn.Send(peer.PublishV5(4|dup, "a", 1, nil, "once"))
		conn.ExpectClosed()
		conn.Close()
	}
	require.Empty(t, messages)
}

// The remedy: a receive maximum beyond what the broker has in flight.
func TestReceiveMaximumLeavesRoomForRepeatedMessages(t *testing.T) {
	t.Parallel()
	p := peer.Listen(t)
	const places = 2
	messages := receiver(t, p, mosquitto.ProtocolV5, 65535)

	for _, flags := range []byte{4, 4 | dup, 4 | dup} {
		conn := p.AcceptConnect()
		for mid := uint16(1); mid <= places; mid++ {
			conn.Send(peer.PublishV5(flags, "a", mid, nil, "once"))
			conn.Expect(peer.PUBREC)
		}
		conn.Reset()
	}
	conn := p.AcceptConnect()
	conn.Send(peer.Ack(peer.PUBREL, 1))
	conn.Expect(peer.PUBCOMP)
	require.Equal(t, "once", wait.For(t, messages, "a message"))
}
