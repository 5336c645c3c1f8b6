//go:build cgo

package mosquitto

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiter_AttemptsBeginInGroups(t *testing.T) {
	var l limiter
	now := time.Now()
	for range groupWeight {
		require.Zero(t, l.reserve(now, 1))
	}
	for range groupWeight {
		require.Equal(t, groupInterval, l.reserve(now, 1))
	}
	require.Equal(t, 2*groupInterval, l.reserve(now, 1))
	require.Equal(t, groupInterval, l.reserve(now.Add(groupInterval), 1), "the others of this group wait too")
	require.Zero(t, l.reserve(now.Add(time.Minute), groupWeight), "an attempt begins at once if no other attempt waits")
}
