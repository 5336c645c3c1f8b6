//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestLifetime_EndReachesDerivedContexts(t *testing.T) {
	t.Parallel()
	l := &lifetime{client: &Client{}}
	derived, cancel := context.WithTimeout(l, time.Hour)
	defer cancel()
	deferred := make(chan bool, 1)
	context.AfterFunc(derived, func() { deferred <- true })
	full := l.full()
	require.NoError(t, l.Err())
	require.NoError(t, derived.Err())
	require.Equal(t, l.client, FromContext(derived))
	require.Equal(t, l.client, FromContext(full))

	l.end(ErrConnectTimeout)
	l.end(errors.New("a later reason"))
	require.ErrorIs(t, l.Err(), context.Canceled)
	require.ErrorIs(t, derived.Err(), context.Canceled)
	require.ErrorIs(t, context.Cause(full), ErrConnectTimeout)
	wait.For(t, deferred, "the function of AfterFunc")
	for _, ctx := range []context.Context{l, derived, full} {
		wait.For(t, ctx.Done(), "the end of the context")
	}
}

func TestLifetime_ContextsThatDeriveAfterTheEndHaveEnded(t *testing.T) {
	t.Parallel()
	l := &lifetime{}
	l.end(context.Canceled)
	derived, cancel := context.WithCancel(l)
	defer cancel()
	wait.For(t, derived.Done(), "the end of the context")
	wait.For(t, l.full().Done(), "the end of the context")
	ran := make(chan bool, 1)
	require.False(t, l.AfterFunc(func() { ran <- true })())
	wait.For(t, ran, "the function of AfterFunc")
}

func TestLifetime_CancelledContextsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	l := &lifetime{}
	for range 3 {
		_, cancel := context.WithCancel(l)
		cancel()
	}
	stop := l.AfterFunc(func() { t.Error("a stopped function ran") })
	require.NotNil(t, l.atEnd)
	require.Nil(t, l.atEnd.next)
	require.True(t, stop())
	require.False(t, stop())
	require.Nil(t, l.atEnd)
	l.end(context.Canceled)
}
