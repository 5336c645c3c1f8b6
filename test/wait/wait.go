// Package wait is how tests wait: for what a callback sends, or until a
// condition holds. A wait in vain fails the test, at the line that waits.
package wait

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience bounds every wait; nothing takes that long. The TestMain of tests that
// need more of it sets it before they run.
var Patience = 10 * time.Second

// For receives from a channel that a callback or a goroutine sends on.
func For[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(Patience):
		require.FailNow(t, "waited in vain for "+what)
	}
	return v
}

// None asserts that nothing was sent on the channel.
func None[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		require.FailNow(t, "unexpected "+what, "%+v", v)
	default:
	}
}

// Until polls a condition that nothing tells of.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain for "+what)
		}
	}
}

// Soon is a context that bounds a call of a test.
func Soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}
