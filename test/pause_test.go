package test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// turned waits until Run has run posted functions in two passes. By then it has
// processed all earlier calls and input.
func turned(t testing.TB, c *mosquitto.Client) {
	t.Helper()
	for range 2 {
		wait.For(t, postReport(t, c), "a posted function")
	}
}

// numbered returns n encoded QoS 0 messages with the payloads 0, 1, 2, and so on.
func numbered(n int) []byte {
	var all []byte
	for i := range n {
		all = append(all, fakebroker.Publish(0, "a", 0, fmt.Sprint(i))...)
	}
	return all
}

func TestPauseReading_DeliversNothingUntilResumeReading(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "pause", true)
	conn, _ := meetRun(t, c, e, p)
	require.NoError(t, c.PauseReading())
	turned(t, c)
	conn.Send(numbered(100))
	turned(t, c)
	wait.None(t, e.message, "message while paused")
	require.NoError(t, c.ResumeReading())
	for i := range 100 {
		require.Equal(t, fmt.Sprint(i), string(wait.For(t, e.message, "OnMessage").Payload))
	}
}

// Every callback pauses, as a full queue does, and another goroutine resumes at once: also
// when Run is about to wait for input.
func TestResumeReading_WakesRunAtEachMoment(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "resume", true)
	const messages = 20_000
	received, all := make(chan struct{}, messages), make(chan struct{})
	ended := make(chan struct{})
	defer close(ended)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		_ = c.PauseReading()
		received <- struct{}{}
		if string(m.Payload) == fmt.Sprint(messages-1) {
			close(all)
		}
	})
	conn, _ := meetRun(t, c, e, p)
	go func() {
		for range messages {
			select {
			case <-received:
				_ = c.ResumeReading()
			case <-ended:
				return
			}
		}
	}()
	conn.Send(numbered(messages))
	wait.For(t, all, "the last message")
}

func TestPauseReading_LetsTheConnectionFillUp(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "pause", true)
	conn, _ := meetRun(t, c, e, p)
	require.NoError(t, c.PauseReading())
	turned(t, c)
	full := make(chan struct{})
	go func() {
		defer close(full)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		piece := bytes.Repeat(fakebroker.Publish(0, "a", 0, string(make([]byte, 1000))), 1000)
		for range 100 { // 100 MB
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
		t.Error("Run has read all messages while paused")
	}()
	wait.For(t, full, "the connection to be full")
	wait.None(t, e.message, "message while paused")
}

func TestPauseReading_InsideACallbackDefersLaterMessages(t *testing.T) {
	const messages = 300
	p := fakebroker.Listen(t)
	c, _ := newClient(t, "pause", true)
	e := listen(c)
	received := make(chan string, messages)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		_ = c.PauseReading()
		received <- string(m.Payload)
	})
	conn, _ := meetRun(t, c, e, p)
	conn.Send(numbered(messages))
	for i := range messages {
		require.Equal(t, fmt.Sprint(i), wait.For(t, received, "OnMessage"))
		turned(t, c)
		wait.None(t, received, "message while paused")
		require.NoError(t, c.ResumeReading())
	}
}

func TestPauseReading_KeepsTheOrderOfMessagesAndEvents(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "pause", true)
	order := make(chan string, 100)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		if m.QoS == 0 {
			_ = c.PauseReading()
		}
		order <- string(m.Payload)
	})
	c.OnSubscribe(func(*mosquitto.Client, int, []mosquitto.ReasonCode, mosquitto.Properties) { order <- "suback" })
	conn, _ := meetRun(t, c, e, p)
	_, err := c.Subscribe("a", 1)
	require.NoError(t, err)
	conn.Expect(fakebroker.SUBSCRIBE)
	var all []byte
	for _, packet := range [][]byte{
		fakebroker.Publish(0, "a", 0, "one"), fakebroker.Publish(0, "a", 0, "two"), fakebroker.Bytes(fakebroker.SUBACK, 0, 1, 1),
		fakebroker.Publish(0, "a", 0, "three"), fakebroker.Publish(2, "a", 9, "four"),
	} {
		all = append(all, packet...)
	}
	conn.Send(all)
	for _, want := range []string{"one", "two", "suback", "three", "four"} {
		require.Equal(t, want, wait.For(t, order, want))
		turned(t, c)
		require.NoError(t, c.ResumeReading())
	}
	conn.Expect(fakebroker.PUBACK)
}

func TestPauseReading_AcknowledgesOnlyDeliveredMessages(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "pause", true)
	conn, _ := meetRun(t, c, e, p)
	c.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		_ = c.PauseReading()
		e.message <- m
	})
	conn.Send(fakebroker.Publish(0, "a", 0, "one"))
	wait.For(t, e.message, "OnMessage")
	turned(t, c)
	conn.Send(fakebroker.Publish(2, "a", 7, "two"))
	turned(t, c)
	_, err := c.Publish("b", nil, 0, false) // sent while reading is paused
	require.NoError(t, err)
	conn.Expect(fakebroker.PUBLISH)
	wait.None(t, e.message, "message while paused")
	require.NoError(t, c.ResumeReading())
	require.Equal(t, "two", string(wait.For(t, e.message, "OnMessage").Payload))
	require.Equal(t, uint16(7), conn.Expect(fakebroker.PUBACK).MID())
}

func TestPauseReading_KeepsTheConnectionAlive(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"short id": "pause", "long id": strings.Repeat("i", 2000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keepsAlive(t, id)
		})
	}
}

func keepsAlive(t *testing.T, id string) {
	t.Helper()
	p := fakebroker.Listen(t)
	c, e := newClient(t, id, true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	require.NoError(t, c.PauseReading())
	turned(t, c)
	conn.Send(numbered(10))
	for range 2 {
		conn.Expect(fakebroker.PINGREQ)
		for range 2 { // messages before the PINGRESP are delivered
			for range 10 {
				wait.For(t, e.message, "OnMessage before PINGRESP")
			}
			conn.Send(numbered(10))
		}
		for range 10 {
			wait.For(t, e.message, "OnMessage before PINGRESP")
		}
		conn.Send(append(fakebroker.Bytes(fakebroker.PINGRESP), numbered(10)...))
		turned(t, c)
		if len(id) < 400 { // the library truncates its log lines, so the end of a long PINGRESP line is not seen
			wait.None(t, e.message, "message after PINGRESP")
		} else {
			for range 10 {
				wait.For(t, e.message, "OnMessage")
			}
			conn.Send(numbered(10))
		}
	}
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestPauseReading_ReadsAtMostOneMiBForAPingresp(t *testing.T) {
	t.Parallel()
	const size = 10_000
	p := fakebroker.Listen(t)
	c, e := newClient(t, "pause", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	run(t, c)
	conn := p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect")
	require.NoError(t, c.PauseReading())
	turned(t, c)
	conn.Expect(fakebroker.PINGREQ)
	piece := bytes.Repeat(fakebroker.Publish(0, "a", 0, string(make([]byte, size))), 200)
	go func() { _, _ = conn.Write(piece) }() // returns when the connection is closed
	refusal(t, wait.For(t, e.disconnect, "OnDisconnect"), mosquitto.ErrKeepalive)
	p.AcceptConnect()
	wait.For(t, e.connect, "OnConnect after the reconnect")
	require.NoError(t, c.ResumeReading()) // on a slow machine, some messages were read but held back
	wait.Until(t, "the messages", func() bool { return len(e.message) >= 1<<20/size })
	turned(t, c)
	require.LessOrEqual(t, len(e.message), 1<<20/size+2)
}

func TestPauseReading_NoticesALostConnection(t *testing.T) {
	for name, lose := range map[string]func(*fakebroker.Conn){
		"reset":  func(conn *fakebroker.Conn) { conn.Reset() },
		"closed": func(conn *fakebroker.Conn) { conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			c, e := newClient(t, "pause", true)
			conn, _ := meetRun(t, c, e, p)
			require.NoError(t, c.PauseReading())
			turned(t, c)
			lose(conn)
			wait.For(t, e.disconnect, "OnDisconnect")
			conn = p.AcceptConnect()
			require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
			conn.Send(numbered(1))
			turned(t, c)
			wait.None(t, e.message, "message after the reconnect: reading is still paused")
			require.NoError(t, c.ResumeReading())
			wait.For(t, e.message, "OnMessage")
		})
	}
}

func TestPauseReading_DoesNotPreventTheEndOfRun(t *testing.T) {
	b := plain(t)
	for name, test := range map[string]struct {
		end  func(*mosquitto.Client, *running)
		want error
	}{
		"Disconnect": {func(c *mosquitto.Client, _ *running) { _ = c.Disconnect() }, nil},
		"context":    {func(_ *mosquitto.Client, r *running) { r.cancel() }, context.Canceled},
		"Close":      {func(c *mosquitto.Client, _ *running) { c.Close() }, mosquitto.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := newClient(t, "", true)
			r := connectRun(t, c, e, b.Port)
			subscribe(t, c, e, "a", 0)
			require.NoError(t, c.PauseReading())
			turned(t, c)
			_, err := c.Publish("a", []byte("x"), 0, false)
			require.NoError(t, err)
			turned(t, c)
			test.end(c, r)
			require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), test.want)
		})
	}
}

func TestPauseReading_InsideOnLogAndAfterCloseIsRefused(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "pause", true)
	refused := make(chan error, 1000)
	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, _ string) {
		refused <- c.PauseReading()
		refused <- c.ResumeReading()
	})
	connectRun(t, c, e, b.Port)
	for range 2 {
		require.ErrorIs(t, wait.For(t, refused, "OnLog"), mosquitto.ErrInCallback)
	}
	c.Close()
	require.ErrorIs(t, c.PauseReading(), mosquitto.ErrClosed)
	require.ErrorIs(t, c.ResumeReading(), mosquitto.ErrClosed)
}
