package test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// acknowledged sends five messages with this QoS at once. It returns after their OnMessage
// callbacks.
func acknowledged(t *testing.T, c *mosquitto.Client, e *events, qos byte) *fakebroker.Conn {
	t.Helper()
	conn, _ := meetRun(t, c, e, fakebroker.Listen(t))
	var all []byte
	for id := range uint16(5) {
		all = append(all, fakebroker.Publish(qos<<1, "a", id+1, "")...)
	}
	conn.Send(all)
	if qos == 2 {
		return conn
	}
	for range 5 {
		wait.For(t, e.message, "OnMessage")
	}
	return conn
}

func TestOnAcknowledge_RunsBeforeAcknowledgements(t *testing.T) {
	c, e := newClient(t, "acknowledge", true)
	called, release := make(chan bool), make(chan struct{})
	c.OnAcknowledge(func(c *mosquitto.Client) {
		called <- c.InCallback()
		<-release
	})
	conn := acknowledged(t, c, e, 1)
	require.True(t, wait.For(t, called, "OnAcknowledge"), "it is a callback")
	received := make(chan byte, 10)
	go func() {
		for packet, err := conn.Next(); err == nil; packet, err = conn.Next() {
			received <- packet.Type()
		}
	}()
	wait.None(t, received, "a packet before OnAcknowledge has returned")
	release <- struct{}{}
	for range 5 {
		require.EqualValues(t, fakebroker.PUBACK, wait.For(t, received, "PUBACK"))
	}
	wait.None(t, called, "a second OnAcknowledge")
}

func TestOnAcknowledge_RunsBeforePubcomp(t *testing.T) {
	c, e := newClient(t, "acknowledge", true)
	called := make(chan struct{}, 10)
	c.OnAcknowledge(func(*mosquitto.Client) { called <- struct{}{} })
	conn := acknowledged(t, c, e, 2)
	for range 5 {
		conn.Send(fakebroker.Ack(fakebroker.PUBREL, conn.Expect(fakebroker.PUBREC).MID()))
	}
	for range 5 {
		wait.For(t, e.message, "OnMessage")
		conn.Expect(fakebroker.PUBCOMP)
	}
	wait.For(t, called, "OnAcknowledge")
}

func TestOnAcknowledge_IsNotCalledForQoS0(t *testing.T) {
	c, e := newClient(t, "acknowledge", true)
	called := make(chan struct{}, 10)
	c.OnAcknowledge(func(*mosquitto.Client) { called <- struct{}{} })
	conn := acknowledged(t, c, e, 0)
	_, err := c.Publish("b", nil, 1, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	wait.None(t, called, "OnAcknowledge")
}

func TestOnAcknowledge_PanicLeavesRunWithoutAcknowledgement(t *testing.T) {
	c, e := newClient(t, "acknowledge", true)
	why := errors.New("why")
	p := fakebroker.Listen(t)
	c.OnAcknowledge(func(*mosquitto.Client) { explode(why) })
	require.NoError(t, c.Connect("127.0.0.1", p.Port, keepalive))
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		_ = c.Run(context.Background())
	}()
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	conn.Send(fakebroker.Publish(2, "a", 1, ""))
	fault, ok := wait.For(t, ended, "the panic").(*mosquitto.PanicError)
	require.True(t, ok)
	requirePanic(t, fault, why)
	conn.ExpectClosed()
}

func TestOnAcknowledge_IsNotCalledOnTheNextConnection(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "acknowledge", false)
	called := make(chan struct{}, 10)
	c.OnAcknowledge(func(*mosquitto.Client) { called <- struct{}{} })
	conn, _ := meetRun(t, c, e, p)
	conn.Send(append(fakebroker.Publish(2, "a", 1, ""), fakebroker.Bytes(0xFF)...)) // the second packet is malformed
	wait.For(t, e.message, "OnMessage")
	conn.ExpectClosed()
	conn = p.Accept()
	_, err := conn.Next()
	for range 2 {
		if err == nil { // libmosquitto 2.1 may find bytes of the old connection and give up the first attempt
			break
		}
		conn = p.Accept()
		_, err = conn.Next()
	}
	require.NoError(t, err, "CONNECT")
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	_, err = c.Publish("b", nil, 1, false)
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	wait.None(t, called, "OnAcknowledge")
}

// OnAcknowledge could wait until another goroutine has processed the message.
func TestOnAcknowledge_CloseAcknowledgesNothing(t *testing.T) {
	for _, leaving := range []bool{false, true} {
		t.Run(fmt.Sprint("after Disconnect ", leaving), func(t *testing.T) {
			c, e := newClient(t, "acknowledge", true)
			called := make(chan struct{}, 10)
			c.OnAcknowledge(func(*mosquitto.Client) { called <- struct{}{} })
			conn, r := meetRun(t, c, e, fakebroker.Listen(t))
			c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) {
				if leaving {
					_ = c.Disconnect()
				}
				_ = c.Close()
			})
			conn.Send(fakebroker.Publish(2, "a", 1, ""))
			for packet, err := conn.Next(); err == nil; packet, err = conn.Next() {
				require.NotEqualValues(t, fakebroker.PUBACK, packet.Type())
			}
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
			wait.None(t, called, "OnAcknowledge after Close")
		})
	}
}
