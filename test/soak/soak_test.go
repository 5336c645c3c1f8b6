package main

import (
	"context"
	"math/rand"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m) }

// This is a short form of make soak. The third round kills the broker with SIGKILL.
func TestSoak_AllChecksPass(t *testing.T) {
	const rounds = 3
	s := start(t, config{rounds: rounds, faultTime: 3 * time.Second, seed: 1})
	s.soak(context.Background())
	s.stop()
	t.Log(s.summary())
	require.Zero(t, s.report.count(), s.summary())
	require.Len(t, s.samples, rounds)
	f := &s.report.figures
	require.Equal(t, [2]int{rounds - 1, 1}, [2]int{f.restarts, f.kills})
	for qos := range 3 {
		require.NotZero(t, f.received[qos])
	}
	require.Equal(t, f.published[1], f.acked[1])
	require.Equal(t, f.published[2], f.acked[2])
}

func TestLedger_ReportsLostAndRepeatedMessages(t *testing.T) {
	exact, other := &recipient{name: "exact", qos: []int{1, 2}, exact: true}, &recipient{name: "other", qos: []int{0, 2}}
	recipients := []*recipient{exact, other}
	for _, c := range []struct {
		name string
		qos  int
		do   func(l *ledger, m id)
		want string // the first failure
		left missing
	}{
		{"no failure", 1, func(l *ledger, m id) { l.ack(m); l.receive(exact, m) }, "", missing{}},
		{"QoS 1 again", 1, func(l *ledger, m id) { l.ack(m); l.receive(exact, m); l.receive(exact, m) }, "", missing{}},
		{"QoS 0 lost", 0, func(l *ledger, m id) {}, "", missing{}},
		{"QoS 0 again", 0, func(l *ledger, m id) { l.receive(other, m); l.receive(other, m) },
			"other received twice: message 0 of publisher 7, QoS 0, round 3", missing{}},
		{"QoS 1 lost", 1, func(l *ledger, m id) { l.ack(m) }, "",
			missing{lost: 1, names: []string{"exact: message 0 of publisher 7, QoS 1, round 3"}}},
		{"not acknowledged", 1, func(l *ledger, m id) { l.receive(exact, m) }, "", missing{unacked: 1}},
		{"acknowledged twice", 1, func(l *ledger, m id) { l.receive(exact, m); l.ack(m); l.ack(m) },
			"acknowledged twice or in a later round: message 0 of publisher 7, QoS 1, round 3", missing{}},
		{"QoS 2 again", 2, func(l *ledger, m id) { l.ack(m); l.receive(exact, m); l.receive(other, m); l.receive(exact, m) },
			"exact received twice: message 0 of publisher 7, QoS 2, round 3", missing{}},
		{"QoS 2 again, by the library's bug", 2, func(l *ledger, m id) { l.ack(m); l.receive(exact, m); l.receive(other, m); l.receive(other, m) }, "", missing{}},
		{"QoS 2 not delivered, by the library's bug", 2, func(l *ledger, m id) { l.ack(m); l.receive(exact, m) }, "", missing{bug: 1}},
		{"QoS 2 again in a later round", 2, func(l *ledger, m id) { m.round--; l.receive(exact, m) },
			"exact received twice: message 0 of publisher 7, QoS 2, round 2", missing{unacked: 1, lost: 1, bug: 1,
				names: []string{"exact: message 0 of publisher 7, QoS 2, round 3"}}},
		{"never published", 1, func(l *ledger, m id) { l.ack(m); l.receive(exact, m); m.number++; l.receive(exact, m) },
			"exact received a message that was not published: message 1 of publisher 7, QoS 1, round 3", missing{}},
		{"forgotten by a killed broker", 1, func(l *ledger, m id) { l.ack(m); l.kill(); l.restart() }, "", missing{forgotten: 1}},
		{"lost after a kill", 1, func(l *ledger, m id) {
			l.kill()
			l.restart()
			l.restarted = l.restarted.Add(-settled) // a while ago
			l.ack(m)
		}, "", missing{lost: 1, names: []string{"exact: message 0 of publisher 7, QoS 1, round 3"}}},
		{"lost long before a kill", 1, func(l *ledger, m id) { l.ack(m); l.kill(); l.killed = l.killed.Add(unsaved) }, "",
			missing{lost: 1, names: []string{"exact: message 0 of publisher 7, QoS 1, round 3"}}},
	} {
		l := newLedger(newReport())
		l.open(3)
		c.do(l, l.publish(7, c.qos))
		require.Equal(t, c.left, l.missing(recipients), c.name)
		var got string
		if l.report.count() > 0 {
			got = l.report.failures[0]
		}
		require.Equal(t, c.want, got, c.name)
	}
}

func TestCheckGrowth_ReportsEveryQuantity(t *testing.T) {
	s := &soak{report: newReport()}
	for range minSamples {
		s.samples = append(s.samples, sample{10 << 20, 1 << 20, 1 << 20, 50, 10, 40})
	}
	s.checkGrowth()
	require.Zero(t, s.report.count())
	for i := range 3 {
		s.samples[minSamples-1-i] = sample{30 << 20, 5 << 20, 3 << 20, 53, 23, 43}
	}
	s.checkGrowth()
	require.Equal(t, []string{
		"RSS grew from 10485760 to 31457280", "Go heap grew from 1048576 to 5242880", "C heap grew from 1048576 to 3145728",
		"descriptors grew from 50 to 53", "threads grew from 10 to 23", "goroutines grew from 40 to 43",
	}, s.report.failures)
	now := take()
	require.Positive(t, now.rss*now.goHeap*now.descriptors*now.threads*now.goroutines)
}

func TestDecode_RejectsChangedMessage(t *testing.T) {
	m := id{1, 2, 3, 4}
	payload := encode(m, rand.New(rand.NewSource(1)))
	got, err := decode(m.topic(), payload)
	require.NoError(t, err)
	require.Equal(t, m, got)
	_, err = decode("soak/1/1", payload)
	require.ErrorIs(t, err, errChanged)
	for i := range payload {
		payload[i] ^= 0xFF
		_, err := decode(m.topic(), payload)
		require.ErrorIs(t, err, errChanged)
		payload[i] ^= 0xFF
	}
	_, err = decode(m.topic(), payload[:5])
	require.ErrorIs(t, err, errChanged)
}
