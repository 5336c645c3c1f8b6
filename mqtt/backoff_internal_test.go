//go:build cgo

package mqtt

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackoff_GrowsUpToTheMaximum(t *testing.T) {
	b := backoff{time.Second, time.Minute, 0}
	for round, want := range map[int]int{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 40: 60, 1000: 60} {
		require.Equal(t, time.Duration(want)*time.Second, b.delay(round))
	}
	b.jitter = 0.5
	seen := map[time.Duration]bool{}
	for range 100 {
		d := b.delay(3)
		require.True(t, d > 2*time.Second && d <= 4*time.Second, "%v", d)
		seen[d] = true
	}
	require.Greater(t, len(seen), 50, "jitter must vary the delays")
}

func TestBackoff_LongDelaysDoNotOverflow(t *testing.T) {
	b := backoff{3<<39 + 1<<20, 632 * time.Hour, 0} // min is 27m29s; min<<25 overflows to 9h46m
	for _, round := range []int{12, 26, 63, 64, 65, 1000} {
		require.Equal(t, b.max, b.delay(round), "round %d", round)
	}
	b = backoff{math.MaxInt64/2 + 1, math.MaxInt64, 0}
	require.Equal(t, b.max, b.delay(2))
}

func TestBackoff_LongDelaysEndTogether(t *testing.T) {
	for _, delay := range []time.Duration{alignsFrom, time.Second, time.Second + time.Millisecond} {
		d := aligned(delay)
		require.True(t, d > delay-alignment && d <= delay, "%v", d)
	}
	require.Equal(t, time.Millisecond, aligned(time.Millisecond))
}
