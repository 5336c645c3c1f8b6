//go:build cgo

package mqtt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The last message in flight may be older than a birth message.
func TestInflight_HighestNumberMayNotBeTheLast(t *testing.T) {
	f := newInflight(&settings{inflight: 10})
	for id, number := range []uint64{10, 11, 1, 2} {
		f.add(&Token{number: number, pub: Publication{QoS: 1}}, id+1)
	}
	require.EqualValues(t, 11, f.highestNumber())
}
