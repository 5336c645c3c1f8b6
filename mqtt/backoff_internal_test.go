//go:build cgo

package mqtt

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackoff_GrowsUpToTheMaximum(t *testing.T) {
	b := backoff{time.Second, time.Minute, 0}
	for round, want := range map[int]int{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 40: 60, 1000: 60} {
		require.Equal(t, time.Duration(want)*time.Second, b.pause(round))
	}
	b.jitter = 0.5
	seen := map[time.Duration]bool{}
	for range 100 {
		d := b.pause(3)
		require.True(t, d > 2*time.Second && d <= 4*time.Second, "%v", d)
		seen[d] = true
	}
	require.Greater(t, len(seen), 50, "jitter must vary the delays")
}

func TestBackoff_LongDelaysEndTogether(t *testing.T) {
	for _, delay := range []time.Duration{alignsFrom, time.Second, time.Second + time.Millisecond} {
		d := aligned(delay)
		require.True(t, d > delay-alignment && d <= delay, "%v", d)
	}
	require.Equal(t, time.Millisecond, aligned(time.Millisecond))
}
