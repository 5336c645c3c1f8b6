package wire

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func loopForever(c *mosquitto.Client) error { return c.LoopForever(-1) }

// loopByHand calls LoopRead, LoopWrite and LoopMisc. It reconnects after each connection
// loss, until end has called Disconnect.
func loopByHand(c *mosquitto.Client) error {
	for {
		err := loopOnce(c)
		if errors.Is(err, mosquitto.ErrClosed) || c.Socket() < 0 && c.UserData() == disconnecting {
			return nil
		}
		if c.Socket() < 0 {
			_ = c.Reconnect()
		}
	}
}

// loopOnce waits for the socket for at most 10 ms, and reads or writes.
func loopOnce(c *mosquitto.Client) error {
	fd := c.Socket()
	if fd < 0 {
		return mosquitto.ErrNoConn
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if c.WantWrite() {
		fds[0].Events |= unix.POLLOUT
	}
	if n, err := unix.Poll(fds, 10); err != nil || n == 0 {
		return c.LoopMisc()
	}
	ready := fds[0].Revents
	if ready&^unix.POLLOUT != 0 { // also POLLERR and POLLHUP
		if err := c.LoopRead(); err != nil {
			return err
		}
	}
	if ready&unix.POLLOUT != 0 && c.Socket() >= 0 {
		return c.LoopWrite()
	}
	return nil
}

// endsLoop has the errors after which LoopForever returns instead of reconnecting.
var endsLoop = map[string]bool{"protocol": true, "memory": true, "auth": true, "argument": true, "not found": true}

// The outcome of each row does not depend on the loop, except that Run reconnects after
// every error.
func TestMalformed_OtherLoopsHaveSameOutcome(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(*mosquitto.Client) error{"LoopForever": loopForever, "LoopRead": loopByHand} {
		for v, rows := range map[fakebroker.Version][]row{fakebroker.V311: malformed311, fakebroker.V5: malformed5} {
			for i, r := range rows {
				if i%4 != 0 || r.clause[:3] == "3.1" && v == fakebroker.V5 { // one row in four; DISCONNECT ends the loop of 2.0.11
					continue
				}
				t.Run(name+" "+v.String()+" "+r.clause+" "+r.name, func(t *testing.T) {
					t.Parallel()
					x := dialAccepted(t, v, setup{loop: loop})
					want := strings.TrimSuffix(r.actual.current(), ", "+loopEnds)
					_, reason, closes := strings.Cut(want, closed+": ")
					if name == "LoopForever" && closes && endsLoop[reason] {
						want += ", " + loopEnds
					}
					// 2.1 would read a probe after the malformed packet as input of the next connection
					x.alone = closes && name == "LoopForever" && has21()
					require.Equal(t, want, x.outcome(r.send))
					x.end()
				})
			}
		}
	}
}

// A handshake of each QoS continues after a connection loss.
func TestHandshakes_OtherLoopsContinueAfterLoss(t *testing.T) {
	for name, loop := range map[string]func(*mosquitto.Client) error{"LoopForever": loopForever, "LoopRead": loopByHand} {
		t.Run(name, func(t *testing.T) {
			both(t, "MQTT-4.4.0-1", "MQTT-4.4.0-1", func(t *testing.T, v fakebroker.Version) {
				x := dialAccepted(t, v, setup{kept: true, loop: loop})
				one, two := x.publish("a", "1", 1), x.publish("a", "2", 2)
				x.Expect(v.Publish(2, "a", one, "1"), v.Publish(4, "a", two, "2"))
				x.Send(v.Publish(4, "b", 7, "x"))
				x.Expect(v.Pubrec(7))
				x.lose(true)
				x.Expect(v.Publish(8|2, "a", one, "1"), v.Publish(8|4, "a", two, "2"))
				x.Send(v.Puback(one), v.Pubrec(two), v.Pubrel(7))
				x.Expect(v.Pubrel(two), v.Pubcomp(7))
				x.expectEvents(published(one), `message b "x" qos 2`)
				x.Send(v.Pubcomp(two))
				x.expectEvents(published(two))
				x.expectNothing()
				x.end()
			})
		})
	}
}

var eofInPacket = row{"4.8", "the error of OnDisconnect after the connection ends inside a packet", nil,
	"closed: lost", all("closed: errno")}

var afterDisconnect = row{"MQTT-3.14.4-1", "bytes after the broker's DISCONNECT", nil,
	"ignored", byVersion{"ignored", "ignored", "the next connection is closed at once"}}

// 2.1 reads bytes after DISCONNECT as input of the next connection. The connection after
// that works.
func TestDisconnect_BytesAfterIt(t *testing.T) {
	t.Parallel()
	t.Run("5 "+afterDisconnect.clause, func(t *testing.T) {
		t.Parallel()
		x := dialAccepted(t, fakebroker.V5, setup{})
		x.Send("E0 01 8B", x.v.Publish(0, "a", 0, ""))
		x.expectEvents("disconnected: 0x8B")
		x.Close()
		got := "ignored"
		x.awaitReconnect()
		x.Send(x.v.Connack(false, 0))
		if line := x.nextEvent(); line != "connected" {
			require.Contains(t, line, "disconnected")
			got = "the next connection is closed at once"
			x.expectEvents("connected")
		}
		require.Equal(t, afterDisconnect.actual.current(), got)
		x.expectNothing()
		x.end()
	})
}

// The keepalive is an hour, so that the loop must detect the end of the connection.
func TestConnection_EndInsidePacketIsDetected(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(*mosquitto.Client) error{"Run": nil, "LoopForever": loopForever, "LoopRead": loopByHand} {
		t.Run(name+" "+eofInPacket.clause, func(t *testing.T) {
			t.Parallel()
			x := dialAccepted(t, fakebroker.V311, setup{loop: loop, keepalive: time.Hour})
			x.Send(x.probe(), "30 0A 00 01")
			x.expectEvents(probeReceived)
			x.Expect(x.v.Puback(probeID)) // so the client has read the probe
			x.Close()
			require.Equal(t, eofInPacket.actual.current(), closed+strings.TrimPrefix(x.nextEvent(), "disconnected"))
			x.awaitReconnect()
			x.accept(false)
			x.expectNothing()
			x.end()
		})
	}
}
