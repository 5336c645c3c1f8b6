package mosquitto

import (
	"sync/atomic"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// Ids rise from 1 and are never reused. The id of a closed client finds no client.
func TestHandles_RiseAndAreNotReused(t *testing.T) {
	c := new(Client)
	last := uintptr(0)
	for range 3 * handleShards {
		id := registerHandle(c)
		require.Greater(t, id, last)
		require.Same(t, c, lookupHandle(id))
		dropHandle(id)
		require.Nil(t, lookupHandle(id))
		last = id
	}
	require.Nil(t, lookupHandle(0))
	require.Nil(t, lookupHandle(last+1))
}

func TestHandles_FromManyGoroutinesAreUnique(t *testing.T) {
	const goroutines, each = 8, 1000
	before := OpenClients()
	ids := make(chan uintptr, goroutines*each)
	wait.AtOnce(goroutines, func(int) {
		for range each {
			c := new(Client)
			id := registerHandle(c)
			if lookupHandle(id) == c {
				ids <- id
			}
		}
	})
	close(ids)
	require.Equal(t, before+goroutines*each, OpenClients())
	seen := make(map[uintptr]bool)
	for id := range ids {
		require.False(t, seen[id], "id %d was used twice", id)
		seen[id] = true
		dropHandle(id)
	}
	require.Len(t, seen, goroutines*each)
	require.Equal(t, before, OpenClients())
}

// Late callbacks of C for a closed client must do nothing.
func TestHandles_CallbacksOfClosedClientsDoNothing(t *testing.T) {
	gone := registerHandle(new(Client))
	dropHandle(gone)
	for _, id := range []_Ctype_uintptr_t{0, _Ctype_uintptr_t(gone), _Ctype_uintptr_t(gone) + 1} {
		require.Zero(t, gomosqGoConnect(id, 0, 0, nil, 0))
		require.Zero(t, gomosqGoDisconnect(id, 0, 0, 0, nil, 0))
		require.Zero(t, gomosqGoPublish(id, 1, 0, nil, 0))
		require.Zero(t, gomosqGoMessage(id, nil, 0, nil, 0))
		require.Zero(t, gomosqGoSubscribe(id, 1, 0, nil, nil, 0))
		require.Zero(t, gomosqGoUnsubscribe(id, 1, 0, nil, nil, 0))
		require.Zero(t, gomosqGoLog(id, 1, nil))
		require.Zero(t, gomosqGoPreConnect(id))
		require.Zero(t, gomosqGoExtAuth(id, nil, 0, nil, nil, 0, nil))
		require.Zero(t, gomosqGoPassword(id, nil, 0, 0, nil))
	}
}

func TestGate_LastCallFreesTheClient(t *testing.T) {
	var g gate
	require.NoError(t, g.enter())
	require.NoError(t, g.enter())
	require.False(t, g.leave())
	require.False(t, g.closed())
	require.True(t, g.shut())
	require.True(t, g.closed())
	require.False(t, g.shut(), "only one call can close the gate")
	require.ErrorIs(t, g.enter(), ErrClosed)
	require.False(t, g.leave(), "the call that closes the gate is still inside")
	require.True(t, g.leave(), "the last call frees the client")
}

func TestGate_AloneExcludesOtherCalls(t *testing.T) {
	var g gate
	require.False(t, g.alone(), "no call is inside")
	require.NoError(t, g.enter())
	require.NoError(t, g.enter())
	require.False(t, g.alone(), "two calls are inside")
	require.False(t, g.leave())
	require.True(t, g.alone())
	require.ErrorIs(t, g.enter(), ErrBusy)
	require.True(t, g.shut(), "Close is always possible")
	require.ErrorIs(t, g.enter(), ErrClosed)
	g.together()
	require.True(t, g.closed())
	require.False(t, g.leave())
	require.True(t, g.leave())
}

func TestGate_OpensAgainAfterAlone(t *testing.T) {
	var g gate
	require.NoError(t, g.enter())
	require.True(t, g.alone())
	g.together()
	require.NoError(t, g.enter())
	require.False(t, g.leave())
	require.False(t, g.leave())
}

// Many calls run during a Close. Exactly one call frees the client, no call is inside
// then, and no call enters later.
func TestGate_FreesTheClientOnce(t *testing.T) {
	for range 200 {
		var g gate
		var inside, destroyed, wrong atomic.Int32
		out := func() {
			inside.Add(-1)
			if g.leave() {
				destroyed.Add(1)
				if inside.Load() != 0 {
					wrong.Add(1)
				}
			}
		}
		call := func() {
			for range 50 {
				if g.enter() != nil {
					return
				}
				inside.Add(1)
				if destroyed.Load() != 0 {
					wrong.Add(1)
				}
				out()
			}
		}
		wait.AtOnce(10, func(i int) {
			if i < 8 {
				call()
			} else if g.shut() {
				inside.Add(1)
				out()
			}
		})
		require.EqualValues(t, 1, destroyed.Load())
		require.Zero(t, wrong.Load())
	}
}
