//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// idLedger is a script that acknowledges all messages except those on the topic "held". It
// records packet ids that two messages in flight have. The fake broker makes one call at a time.
type idLedger struct {
	inFlight map[uint16]string // topics by packet id
	twice    []string
}

func (l *idLedger) reply(c *brokerConn, p packet) bool {
	switch p.Type() {
	case fakebroker.CONNECT:
		clear(l.inFlight) // a clean session
	case fakebroker.PUBLISH:
		return l.publish(c, p)
	case fakebroker.PUBREL:
		delete(l.inFlight, p.MID())
	}
	return false
}

func (l *idLedger) publish(c *brokerConn, p packet) bool {
	if before, found := l.inFlight[p.mid()]; found {
		l.twice = append(l.twice, fmt.Sprintf("packet id %d: %q while %q is in flight", p.mid(), p.topic(), before))
	}
	l.inFlight[p.mid()] = p.topic()
	if p.topic() == "held" {
		return true
	}
	if p.qos() == 1 {
		delete(l.inFlight, p.mid())
	}
	return false
}

// violations lists the packet ids that were in flight twice.
func (l *idLedger) violations(b *fakeBroker) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return l.twice
}

// The packet ids start again after 65,535 messages. Ids that are still in flight are skipped,
// and each acknowledgement completes its own message.
func TestPacketIDs_NoneIsInFlightTwice(t *testing.T) {
	t.Parallel()
	const messages = 70_000
	ledger := &idLedger{inFlight: map[uint16]string{}}
	b := startFakeBroker(t, ledger.reply)
	c := dial(t, b.port)
	held := []*mqtt.Token{c.PublishAsync(wait.Soon(t), "held", nil, mqtt.WithQoS(1)), c.PublishAsync(wait.Soon(t), "held", nil, mqtt.WithQoS(2))}
	var all []*mqtt.Token
	for n := range messages {
		qos := mqtt.QoS(1)
		if n%1000 == 0 {
			qos = 2
		}
		all = append(all, c.PublishAsync(t.Context(), "answered", nil, mqtt.WithQoS(qos)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*wait.Patience)
	defer cancel()
	for _, token := range all {
		if err := token.Wait(ctx); err != nil || len(ledger.violations(b)) > 0 {
			require.Empty(t, ledger.violations(b))
			require.NoError(t, err)
		}
	}
	for _, token := range held {
		requirePending(t, token)
	}

	sent := b.published("held")
	require.Len(t, sent, 2)
	for _, p := range sent {
		b.conn().acknowledge(p)
	}
	for _, token := range held {
		require.NoError(t, token.Wait(wait.Soon(t)))
	}
	require.Len(t, b.published("answered"), messages)
	require.Equal(t, 1, b.connections())
}

func TestPacketIDs_NoneIsInFlightTwiceWithAMaximumPacketSize(t *testing.T) {
	const messages = 66_000
	ledger := &idLedger{inFlight: map[uint16]string{}}
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() == fakebroker.CONNECT {
			ledger.reply(c, p)
			c.write(c.version.Connack(false, 0, fakebroker.MaximumPacketSize(1<<20)))
			return true
		}
		return ledger.reply(c, p)
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5))
	held := c.PublishAsync(wait.Soon(t), "held", nil, mqtt.WithQoS(1))
	var all []*mqtt.Token
	for range messages {
		all = append(all, c.PublishAsync(t.Context(), "answered", nil, mqtt.WithQoS(1)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, token := range all {
		if err := token.Wait(ctx); err != nil || len(ledger.violations(b)) > 0 {
			require.Empty(t, ledger.violations(b))
			require.NoError(t, err)
		}
	}
	requirePending(t, held)
}

// The packet ids start again after 65,535 messages. The acknowledgement of a later message does
// not complete an earlier message.
func TestPacketIDs_StartAgain(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, conn := dialScriptedBroker(t, p)
	first := c.PublishAsync(wait.Soon(t), "first", nil)
	conn.Expect(fakebroker.PUBLISH)
	const n = 70_000
	read := inBackground(func() error {
		for range n {
			if _, err := conn.Next(); err != nil {
				return err
			}
		}
		return nil
	})
	ctx := context.Background()
	for range n {
		c.PublishAsync(ctx, "a", nil, mqtt.WithQoS(0))
	}
	require.NoError(t, wait.For(t, read, "the fake broker"))
	require.Equal(t, 1, first.MID())
	requirePending(t, first)
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, 1))
	require.NoError(t, first.Wait(wait.Soon(t)))
}
