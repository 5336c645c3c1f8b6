package mosquitto

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// LibCleanup only reverts LibInit. Clients still work.
func TestLibInit_CleanupKeepsClients(t *testing.T) {
	require.NoError(t, LibCleanup(), "without LibInit")
	c := newClient(t)
	require.NoError(t, LibInit())
	require.NoError(t, LibInit())
	require.Equal(t, 2, userInits.n)
	require.NoError(t, LibCleanup())
	require.NoError(t, LibCleanup())
	require.NoError(t, LibCleanup(), "more often than LibInit")
	require.Zero(t, userInits.n)
	require.NoError(t, c.IntOption(OptProtocolVersion, ProtocolV5))
	require.NoError(t, newClient(t).Close())
}
