//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"testing"

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
