package mosquitto

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMilliseconds_RoundsUp(t *testing.T) {
	for timeout, want := range map[time.Duration]int{
		-1: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, 1 << 62: 1<<31 - 1,
	} {
		require.Equal(t, want, milliseconds(timeout), timeout)
	}
}
