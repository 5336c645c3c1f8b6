package test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "a", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a/#", 2)
	_, err := c.Publish("a/b", []byte("hello"), 2, false)
	require.NoError(t, err)
	require.Equal(t, "hello", string(await(t, e.message, "m").Payload))
	require.NoError(t, c.Disconnect())
	require.NoError(t, await(t, ended, "loop"))
	c2, e2 := newV5(t, "", true)
	require.NoError(t, c2.LoopStart())
	require.NoError(t, c2.Connect("127.0.0.1", b.Port, keepalive))
	await(t, e2.connect, "c")
	require.NoError(t, c2.LoopStop(false))
}
