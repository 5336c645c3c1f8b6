//go:build cgo

package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// sessionlessBroker is a broker without sessions: it delivers a message of QoS 2 if PUBLISH and
// PUBREL arrived on the same connection. It closes the first connection instead of sending
// PUBCOMP.
type sessionlessBroker struct {
	stored    map[uint16]string // payloads by packet id, for the current connection
	delivered []string
}

func (f *sessionlessBroker) reply(c *brokerConn, p packet) bool {
	switch p.Type() {
	case fakebroker.CONNECT:
		f.stored = map[uint16]string{}
	case fakebroker.PUBLISH:
		f.stored[p.mid()] = p.payload()
	case fakebroker.PUBREL:
		if c.number == 1 {
			c.Close()
			return true
		}
		f.release(c, p.MID())
		return true
	}
	return false
}

func (f *sessionlessBroker) release(c *brokerConn, mid uint16) {
	payload, found := f.stored[mid]
	delete(f.stored, mid)
	if !found {
		c.write(c.version.Answer(fakebroker.PUBCOMP, mid, byte(mosquitto.RCPacketIDNotFound)))
		return
	}
	f.delivered = append(f.delivered, payload)
	c.write(c.version.Pubcomp(mid))
}

// A broker that has lost the session between PUBREC and PUBCOMP has lost the message
// too, and may still send PUBCOMP. Publish returns nil only for messages that were
// delivered.
func TestQoS2_SuccessMeansDeliveryWhenTheSessionIsLost(t *testing.T) {
	t.Parallel()
	sessions := map[string][]mqtt.Option{
		"clean session": nil,
		"kept session":  {mqtt.WithClientID("publisher"), mqtt.WithSession(time.Hour)},
	}
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		for name, session := range sessions {
			t.Run(fmt.Sprint(version, ", ", name), func(t *testing.T) {
				t.Parallel()
				f := &sessionlessBroker{}
				b := startFakeBroker(t, f.reply)
				c := dial(t, b.port, append(session, mqtt.WithProtocol(version))...)
				all := map[string]*mqtt.Token{}
				for n := range 5 {
					payload := fmt.Sprint(n)
					all[payload] = c.PublishAsync(wait.Soon(t), "a", []byte(payload), mqtt.WithQoS(2))
				}
				succeeded := []string{}
				for payload, token := range all {
					wait.For(t, token.Done(), "the end of the message")
					if token.Err() == nil {
						succeeded = append(succeeded, payload)
					}
				}
				require.NoError(t, c.Publish(wait.Soon(t), "a", []byte("later"), mqtt.WithQoS(2)))
				b.mu.Lock()
				delivered := f.delivered
				b.mu.Unlock()
				require.Subset(t, delivered, append(succeeded, "later"))
				once := map[string]bool{}
				for _, payload := range delivered {
					require.False(t, once[payload], "%s was delivered twice", payload)
					once[payload] = true
				}
			})
		}
	}
}

// A broker that has kept the session completes the message with PUBREL alone.
func TestQoS2_MessageIsDeliveredOnceWhenTheSessionIsKept(t *testing.T) {
	t.Parallel()
	for _, version := range []mqtt.Protocol{mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				switch {
				case p.Type() == fakebroker.CONNECT:
					c.write(c.version.Connack(c.number > 1, 0))
					return true
				case p.Type() == fakebroker.PUBREL && c.number == 1:
					c.Close()
					return true
				}
				return false
			})
			c := dial(t, b.port, mqtt.WithProtocol(version), mqtt.WithClientID("publisher"), mqtt.WithSession(time.Hour))
			require.NoError(t, c.Publish(wait.Soon(t), "a", nil, mqtt.WithQoS(2)))
			require.Len(t, b.published("a"), 1)
			require.Len(t, b.received(fakebroker.PUBREL), 2)
		})
	}
}
