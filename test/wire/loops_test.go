package wire

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

func forever(c *mosquitto.Client) error { return c.LoopForever(-1) }

// byHand is a loop of LoopRead, LoopWrite and LoopMisc that connects again when
// the connection is lost, until the client is to leave.
func byHand(c *mosquitto.Client) error {
	for {
		err := turn(c)
		if errors.Is(err, mosquitto.ErrClosed) || c.Socket() < 0 && c.UserData() == leaving {
			return nil
		}
		if c.Socket() < 0 {
			_ = c.Reconnect()
		}
	}
}

// turn waits for the socket, for ten milliseconds at most, and serves it.
func turn(c *mosquitto.Client) error {
	fd := c.Socket()
	if fd < 0 || fd >= 1024 {
		return mosquitto.ErrNoConn
	}
	var readable, writable syscall.FdSet
	readable.Bits[fd/64] |= 1 << (fd % 64)
	if c.WantWrite() {
		writable = readable
	}
	if n, err := syscall.Select(fd+1, &readable, &writable, nil, &syscall.Timeval{Usec: 10000}); err != nil || n == 0 {
		return c.LoopMisc()
	}
	if readable.Bits[fd/64] != 0 {
		if err := c.LoopRead(); err != nil {
			return err
		}
	}
	if writable.Bits[fd/64] != 0 && c.Socket() >= 0 {
		return c.LoopWrite()
	}
	return nil
}

// fatal are the reasons on which the library's own loop gives up.
var fatal = map[string]bool{"protocol": true, "memory": true, "auth": true, "argument": true, "not found": true}

// The outcome of each row is the same in the library's loops; only Run connects
// again whatever it was.
func TestMalformedInOtherLoops(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(*mosquitto.Client) error{"LoopForever": forever, "LoopRead": byHand} {
		for v, rows := range map[peer.Version][]row{peer.V311: malformed311, peer.V5: malformed5} {
			for i, r := range rows {
				if i%4 != 0 || r.clause[:3] == "3.1" && v == peer.V5 { // a selection; DISCONNECT ends the loop of 2.0.11
					continue
				}
				t.Run(name+" "+v.String()+" "+r.clause+" "+r.name, func(t *testing.T) {
					t.Parallel()
					x := meet(t, v, setup{loop: loop})
					want := strings.TrimSuffix(r.does.here(), ", "+loopEnds)
					_, reason, gone := strings.Cut(want, closed+": ")
					if name == "LoopForever" && gone && fatal[reason] {
						want += ", " + loopEnds
					}
					// 2.1 would take the probe behind a mistake for input of the next connection
					x.alone = gone && name == "LoopForever" && has21()
					require.Equal(t, want, x.outcome(r.send))
					x.end()
				})
			}
		}
	}
}

// A handshake of each kind, with a loss, in the library's loops.
func TestHandshakesInOtherLoops(t *testing.T) {
	for name, loop := range map[string]func(*mosquitto.Client) error{"LoopForever": forever, "LoopRead": byHand} {
		t.Run(name, func(t *testing.T) {
			both(t, "MQTT-4.4.0-1", "MQTT-4.4.0-1", func(t *testing.T, v peer.Version) {
				x := meet(t, v, setup{kept: true, loop: loop})
				one, two := x.publish("a", "1", 1), x.publish("a", "2", 2)
				x.Expect(v.Publish(2, "a", one, "1"), v.Publish(4, "a", two, "2"))
				x.Send(v.Publish(4, "b", 7, "x"))
				x.Expect(v.Pubrec(7))
				x.lose(true)
				x.Expect(v.Publish(8|2, "a", one, "1"), v.Publish(8|4, "a", two, "2"))
				x.Send(v.Puback(one), v.Pubrec(two), v.Pubrel(7))
				x.Expect(v.Pubrel(two), v.Pubcomp(7))
				x.hears(published(one), `message b "x" qos 2`)
				x.Send(v.Pubcomp(two))
				x.hears(published(two))
				x.quiet()
				x.end()
			})
		})
	}
}

var eofInPacket = row{"4.8", "the end of the connection inside a packet, as OnDisconnect is told", nil,
	"closed: lost", all("closed: errno")}

var behindDisconnect = row{"MQTT-3.14.4-1", "bytes behind the broker's DISCONNECT", nil,
	"taken no notice of", does{"taken no notice of", "taken no notice of", "the next connection is closed at once"}}

// 2.1 takes what came behind a DISCONNECT for input of the next connection; the
// one after that is clean.
func TestBytesBehindDisconnect(t *testing.T) {
	t.Parallel()
	t.Run("5 "+behindDisconnect.clause, func(t *testing.T) {
		t.Parallel()
		x := meet(t, peer.V5, setup{})
		x.Send("E0 01 8B", x.v.Publish(0, "a", 0, ""))
		x.hears("disconnected: 0x8B")
		x.Close()
		got := "taken no notice of"
		x.again()
		x.Send(x.v.Connack(false, 0))
		if line := x.next(); line != "connected" {
			require.Contains(t, line, "disconnected")
			got = "the next connection is closed at once"
			x.hears("connected")
		}
		require.Equal(t, behindDisconnect.does.here(), got)
		x.quiet()
		x.end()
	})
}

// The end of the connection inside a packet, without any keepalive: the loop
// must notice by itself.
func TestEndInsidePacket(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(*mosquitto.Client) error{"Run": nil, "LoopForever": forever, "LoopRead": byHand} {
		t.Run(name+" "+eofInPacket.clause, func(t *testing.T) {
			t.Parallel()
			x := meet(t, peer.V311, setup{loop: loop, keepalive: time.Hour})
			x.Send(x.probe(), "30 0A 00 01")
			x.hears(probeHeard)
			x.Expect(x.v.Puback(probeID)) // so it has read that far
			x.Close()
			require.Equal(t, eofInPacket.does.here(), closed+strings.TrimPrefix(x.next(), "disconnected"))
			x.again()
			x.accept(false)
			x.quiet()
			x.end()
		})
	}
}
