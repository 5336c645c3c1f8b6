//go:build cgo

package mosquitto

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlaces_AttemptsBeginInGroups(t *testing.T) {
	var p places
	now := time.Now()
	for range groupSize {
		require.Zero(t, p.reserve(now, 1))
	}
	for range groupSize {
		require.Equal(t, groupInterval, p.reserve(now, 1))
	}
	require.Equal(t, 2*groupInterval, p.reserve(now, 1))
	require.Equal(t, groupInterval, p.reserve(now.Add(groupInterval), 1), "the others of this group wait too")
	require.Zero(t, p.reserve(now.Add(time.Minute), groupSize), "a place is free at once if no other attempt waits")
}
